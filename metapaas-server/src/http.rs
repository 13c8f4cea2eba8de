//! The HTTP surface: routes, and what every request goes through.

mod actions;
mod agents;
mod allow;
mod body;
mod change;
mod denials;
mod error;
mod events;
mod guard;
mod headers;
mod iam;
mod lists;
mod operations;
mod origin;
mod pages;
mod path;
mod query;
mod quotas;
mod resources;
mod state;
mod stream;
mod types;

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use tower::{Layer, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};
use tracing::Instrument;

pub use self::allow::Methods;
use self::error::ApiError;
use self::headers::request_id;
pub use self::state::{App, State};
use metapaas_core::error::{Error, ErrorCode};

/// Every route of the control plane. With or without a trailing slash answers the same.
pub fn router(app: App) -> NormalizePath<Router> {
    let routes = Router::new()
        .route("/v1/types", get(types::list).fallback(error::method_not_allowed))
        .route("/v1/types/{*path}", any(resources::dispatch))
        .route("/v1/events", get(events::list).fallback(error::method_not_allowed))
        .route("/v1/openapi.json", get(types::openapi).fallback(error::method_not_allowed))
        .route("/v1/operations", get(operations::list).fallback(error::method_not_allowed))
        .route("/v1/operations/{id}", get(operations::read).fallback(error::method_not_allowed))
        .route(
            "/v1/operations/{id}/actions/cancel",
            post(operations::cancel).fallback(error::method_not_allowed),
        )
        .route(
            "/v1/projects/{project}/quota",
            get(quotas::read).put(quotas::set).fallback(error::method_not_allowed),
        )
        .route("/v1/iam/{*path}", any(iam::dispatch))
        .route("/v1/agents/document", get(agents::document).fallback(error::method_not_allowed))
        .route("/v1/nodes/{id}/status", put(agents::report).fallback(error::method_not_allowed))
        .route("/docs", get(pages::docs).fallback(error::method_not_allowed))
        .route("/docs/{file}", get(pages::docs_asset).fallback(error::method_not_allowed))
        .route("/healthz", get(pages::healthz).fallback(error::method_not_allowed))
        .route("/readyz", get(pages::readyz).fallback(error::method_not_allowed))
        .route("/metrics", get(pages::metrics).fallback(error::method_not_allowed))
        .fallback(error::no_such_path)
        .with_state(app.clone())
        .layer(from_fn_with_state(app.clone(), allow::allow))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app.clone(), denials::note))
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(app, observe))
                .layer(CatchPanicLayer::custom(error::panicked)),
        );
    NormalizePathLayer::trim_trailing_slash().layer(routes)
}

/// Gives the request its id and span, counts it, and hardens the answer.
async fn observe(Shared(app): Shared<App>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    // Spans are for those who look closely; at the usual level, failures carry the id themselves.
    let span = tracing::debug_span!("request", id = %id.0, %method, %path);
    let started = Instant::now();
    let answering = async {
        match guard::admit(&app, &request) {
            Ok(guarded) => guarded.run(&app, next.run(request)).await,
            Err(error) => ApiError(error).into_response(),
        }
    };
    let mut response = error::in_request(id.clone(), answering).instrument(span.clone()).await;
    let elapsed = started.elapsed();
    record(&method, response.status().as_u16(), elapsed);
    span.in_scope(|| {
        if response.status().is_server_error() {
            let status = response.status().as_u16();
            tracing::error!(request_id = %id.0, %method, %path, status, ?elapsed, "answered");
        } else {
            tracing::debug!(status = response.status().as_u16(), ?elapsed, "answered");
        }
    });
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert("x-request-id", value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn record(method: &axum::http::Method, status: u16, elapsed: Duration) {
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE") => known.to_owned(),
        // A client chooses the method; it must not be able to make endless series.
        _ => "OTHER".to_owned(),
    };
    metrics::counter!("metapaas_http_requests_total", "method" => method.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("metapaas_http_request_seconds", "method" => method).record(elapsed.as_secs_f64());
}

/// An error of a handler.
type Answer = Result<Response, ApiError>;

fn no_such_path(path: &str) -> Error {
    Error::new(ErrorCode::NotFound, format!("there is nothing at {path}; /docs lists what there is"))
}
