//! Pages beside the API: docs, liveness, readiness, metrics.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use metapaas_core::error::{Error, ErrorCode};
use serde_json::json;

use super::Answer;
use super::resources::json as answer;
use super::state::App;

const DOCS: &str = include_str!("../../assets/docs.html");
const DOCS_CSS: &str = include_str!("../../assets/docs.css");
const DOCS_JS: &str = include_str!("../../assets/docs.js");

/// The page to read the API; needs no outside host.
pub(super) async fn docs() -> Response {
    let mut response = static_file("text/html; charset=utf-8", DOCS);
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    );
    response
}

/// Its style and script.
pub(super) async fn docs_asset(Path(file): Path<String>) -> Answer {
    match file.as_str() {
        "docs.css" => Ok(static_file("text/css; charset=utf-8", DOCS_CSS)),
        "docs.js" => Ok(static_file("text/javascript; charset=utf-8", DOCS_JS)),
        _ => Err(super::no_such_path(&format!("/docs/{file}")).into()),
    }
}

fn static_file(media_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// The process answers.
pub(super) async fn healthz() -> Response {
    answer(StatusCode::OK, &json!({ "status": "ok" }))
}

/// The process can serve: its database answers and it is not stopping.
pub(super) async fn readyz(State(app): State<App>) -> Answer {
    if *app.stop.borrow() {
        return Err(Error::new(ErrorCode::Unavailable, "this control plane is stopping").into());
    }
    app.store.ping().await?;
    Ok(answer(StatusCode::OK, &json!({ "status": "ok" })))
}

/// Prometheus text format.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    app.metrics.run_upkeep();
    let of_instances = app.instance_metrics.text().await.unwrap_or_else(|error| {
        // The process has metrics all the same, and they matter most when the database does not answer.
        tracing::warn!(%error, "reading the metrics of instances failed");
        Arc::default()
    });
    let text = app.metrics.render() + &of_instances;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
