//! A control plane with one node.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use metapaas_agent::NodeDocument;
use metapaas_protocol::NodeReport;
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) const TOKEN: &str = "the node's token";

#[derive(Clone)]
pub(crate) struct Control {
    document: watch::Sender<Option<NodeDocument>>,
    reports: Arc<Mutex<Vec<NodeReport>>>,
}

impl Control {
    /// Serves on a free port; answers its base URL too.
    pub(crate) async fn start() -> (Self, String) {
        let control = Self { document: watch::channel(None).0, reports: Arc::default() };
        let routes = axum::Router::new()
            .route("/v1/agents/document", get(document))
            .route("/v1/nodes/{id}/status", put(status))
            .with_state(control.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (control, base)
    }

    pub(crate) fn say(&self, document: NodeDocument) {
        self.document.send_replace(Some(document));
    }

    pub(crate) fn last_report(&self) -> Option<NodeReport> {
        self.reports.lock().unwrap().last().cloned()
    }

    pub(crate) fn reports(&self) -> Vec<NodeReport> {
        self.reports.lock().unwrap().clone()
    }
}

#[derive(serde::Deserialize)]
struct Asked {
    after: String,
    wait: u64,
}

async fn document(
    State(control): State<Control>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    if !knows_token(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut documents = control.document.subscribe();
    let news = documents.wait_for(|held| held.as_ref().is_some_and(|held| held.digest != asked.after));
    match tokio::time::timeout(Duration::from_secs(asked.wait), news).await {
        Ok(held) => Json(held.unwrap().clone()).into_response(),
        Err(_) => StatusCode::NOT_MODIFIED.into_response(),
    }
}

async fn status(
    State(control): State<Control>,
    Path(_): Path<Uuid>,
    headers: HeaderMap,
    Json(report): Json<NodeReport>,
) -> StatusCode {
    if !knows_token(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    control.reports.lock().unwrap().push(report);
    StatusCode::NO_CONTENT
}

fn knows_token(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}"))
}
