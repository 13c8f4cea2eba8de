//! The HTTP surface: routes, and what every request goes through.

mod actions;
mod agents;
mod allow;
mod body;
mod change;
mod counts;
mod denials;
mod error;
mod events;
mod guard;
mod headers;
mod iam;
mod lists;
mod logs;
mod operations;
mod origin;
mod pages;
mod path;
mod query;
mod quotas;
mod resources;
mod routers;
mod run;
mod state;
mod stream;
mod types;
mod uploads;

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use futures::FutureExt;
use tower::{Layer, Service};
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};
use tracing::Instrument;

pub use self::allow::Methods;
pub use self::counts::Counts;
use self::error::ApiError;
use self::headers::request_id;
pub use self::state::{App, State};
use metapaas_core::error::{Error, ErrorCode};

/// The control plane over HTTP: every route, and what every request goes through on its way there and back.
///
/// One future around the router, not layers of middleware: each of those costs every request a boxed copy of all that
/// is inside it.
#[derive(Clone)]
pub struct Http {
    routes: NormalizePath<Router>,
    app: App,
}

impl Http {
    /// The surface of `app`. With or without a trailing slash a path answers the same.
    pub fn new(app: App) -> Self {
        let routes = routes().with_state(app.clone());
        Self { routes: NormalizePathLayer::trim_trailing_slash().layer(routes), app }
    }

    /// What agents in containers may call: of all routes, theirs alone.
    pub fn for_agents(app: App) -> Self {
        let routes = agent_routes().fallback(error::no_such_path).with_state(app.clone());
        Self { routes: NormalizePathLayer::trim_trailing_slash().layer(routes), app }
    }

    /// Gives the request its id and span, answers it, counts it, and hardens the answer.
    pub async fn answer(&self, mut request: Request) -> Response {
        let id = request_id(request.headers());
        request.extensions_mut().insert(id.clone());
        let method = request.method().clone();
        let uri = request.uri().clone();
        let path = uri.path();
        // Spans are for those who look closely; at the usual level, failures carry the id themselves.
        let span = tracing::debug_span!("request", id = %id.0, %method, %path);
        let started = Instant::now();
        let answering = self.guarded(&method, path, request);
        let mut response = error::in_request(id.clone(), answering).instrument(span.clone()).await;
        let elapsed = started.elapsed();
        self.app.counts.record(&method, response.status(), elapsed);
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

    /// The answer of the route, when the request is let in.
    async fn guarded(&self, method: &Method, path: &str, request: Request) -> Response {
        let app = &self.app;
        let guarded = match guard::admit(app, &request) {
            Ok(guarded) => guarded,
            Err(error) => return ApiError(error).into_response(),
        };
        let handling = async {
            let Ok(mut response) = self.routes.clone().call(request).await;
            allow::allow(app, path, &mut response);
            response
        };
        let noting = denials::note(app, method, path, handling);
        guarded
            .run(app, AssertUnwindSafe(noting).catch_unwind().map(|ran| ran.unwrap_or_else(error::panicked)))
            .await
    }
}

fn routes() -> Router<App> {
    Router::new()
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
        .route("/v1/routers/table", get(routers::table).fallback(error::method_not_allowed))
        .merge(agent_routes())
        .route("/docs", get(pages::docs).fallback(error::method_not_allowed))
        .route("/docs/{file}", get(pages::docs_asset).fallback(error::method_not_allowed))
        .route("/healthz", get(pages::healthz).fallback(error::method_not_allowed))
        .route("/readyz", get(pages::readyz).fallback(error::method_not_allowed))
        .route("/metrics", get(pages::metrics).fallback(error::method_not_allowed))
        .fallback(error::no_such_path)
}

fn agent_routes() -> Router<App> {
    Router::new()
        .route("/v1/agents/document", get(agents::document).fallback(error::method_not_allowed))
        .route("/v1/agents/calls", get(agents::calls).fallback(error::method_not_allowed))
        .route("/v1/agents/calls/{id}", post(agents::answer).fallback(error::method_not_allowed))
        .route("/v1/agents/uploads/{digest}", get(uploads::fetch).fallback(error::method_not_allowed))
        .route("/v1/nodes/{id}/status", put(agents::report).fallback(error::method_not_allowed))
}

/// An error of a handler.
type Answer = Result<Response, ApiError>;

fn no_such_path(path: &str) -> Error {
    Error::new(ErrorCode::NotFound, format!("there is nothing at {path}; /docs lists what there is"))
}
