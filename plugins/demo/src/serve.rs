//! The engine `demo-web ADDRESS FILE`: a web server for the site that FILE holds, read anew for each request.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use axum::extract::{FromRequestParts, Path};
use axum::http::{StatusCode, request::Parts};
use axum::response::{Html, IntoResponse};
use axum::{Router, routing::get};
use tokio::net::TcpListener;

use crate::driver::Site;

pub(crate) fn engine(arguments: Vec<OsString>) -> ExitCode {
    let Err(error) = serve(&arguments) else { return ExitCode::SUCCESS };
    // There is nobody to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "demo-web: {error}");
    ExitCode::FAILURE
}

fn serve(arguments: &[OsString]) -> io::Result<()> {
    let [address, file] = arguments else {
        return Err(io::Error::other("usage: metapaas engine demo-web ADDRESS FILE"));
    };
    let routes = Router::new()
        .route("/", get(front))
        .route("/health", get(async |site: Site| site.digest))
        .route("/{*path}", get(page))
        .with_state(PathBuf::from(file));
    let serving = async { axum::serve(TcpListener::bind(&*address.to_string_lossy()).await?, routes).await };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serving)
}

impl FromRequestParts<PathBuf> for Site {
    type Rejection = StatusCode;
    async fn from_request_parts(_: &mut Parts, file: &PathBuf) -> Result<Self, StatusCode> {
        let text = tokio::fs::read(file).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        serde_json::from_slice(&text).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
}

async fn front(site: Site) -> Html<String> {
    let link = |path: &String| format!("<li><a href=\"/{0}\">{0}</a></li>\n", escape(path));
    let (greeting, theme) = (escape(&site.greeting), escape(&site.theme));
    Html(format!(
        "<!doctype html>\n<html lang=\"en\" style=\"color-scheme: {theme}\">\n<meta charset=\"utf-8\">\n\
         <title>{greeting}</title>\n<h1>{greeting}</h1>\n<ul>\n{}</ul>\n",
        site.pages.keys().map(link).collect::<String>()
    ))
}

/// Plain text: whatever a page says, no browser takes it for a program.
async fn page(site: Site, Path(path): Path<String>) -> Result<impl IntoResponse, StatusCode> {
    let text = site.pages.get(&path).cloned().ok_or(StatusCode::NOT_FOUND)?;
    Ok(([("x-content-type-options", "nosniff")], text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
