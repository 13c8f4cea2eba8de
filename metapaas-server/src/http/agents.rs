//! The orchestration API and the status API, for agents with node tokens.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use metapaas_core::error::Error;
use metapaas_protocol::NodeReport;
use metapaas_protocol::calls::CallOutput;
use uuid::Uuid;

use super::Answer;
use super::body::read_json;
use super::headers::bearer;
use super::query::Query;
use super::resources::json;
use super::state::App;
use crate::limits::BodyLimit;

/// Longest wait that an agent may ask for, in seconds.
const WAIT_MAX: u64 = 60;
/// Agents send no more than this; what tenants may send is another matter.
const BODY_MAX: usize = 1 << 20;

/// `GET /v1/agents/document?after=<digest>&wait=<seconds>`
pub(super) async fn document(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let node = app.agents.authenticate(bearer(&headers)?)?;
    let mut query = Query::parse(query.as_deref(), &["after", "wait"]);
    let after = query.text("after").unwrap_or_default();
    let wait = Duration::from_secs(query.number("wait", WAIT_MAX).unwrap_or_default());
    query.finish()?;
    let mut stop = app.stop.clone();
    let found = tokio::select! {
        found = app.agents.document(node, &after, wait) => found?,
        // Waiting agents must not hold up a shutdown; they ask again, here or elsewhere.
        _ = stop.wait_for(|stop| *stop) => None,
    };
    Ok(match found {
        Some(document) => json(StatusCode::OK, &document),
        None => StatusCode::NOT_MODIFIED.into_response(),
    })
}

/// `PUT /v1/nodes/{id}/status`
pub(super) async fn report(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let node = app.agents.authenticate(bearer(&headers)?)?;
    let id = id.parse().map_err(|_| Error::not_found(format_args!("node {id:?}")))?;
    let body = read_json(&Method::PUT, &headers, body, body_limit(&app)).await?;
    let report: NodeReport = serde_json::from_value(body)
        .map_err(|error| Error::invalid_at("", "INVALID_TYPE", format!("not a node report: {error}")))?;
    app.agents.report(node, id, report).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /v1/agents/calls?agent=<id>&wait=<seconds>`
pub(super) async fn calls(State(app): State<App>, RawQuery(query): RawQuery, headers: HeaderMap) -> Answer {
    let node = app.agents.authenticate(bearer(&headers)?)?;
    let mut query = Query::parse(query.as_deref(), &["agent", "wait"]);
    let agent = query.id("agent");
    let wait = Duration::from_secs(query.number("wait", WAIT_MAX).unwrap_or_default());
    query.finish()?;
    let mut stop = app.stop.clone();
    let told = tokio::select! {
        told = app.calls.listen(node, agent, wait) => told,
        _ = stop.wait_for(|stop| *stop) => Default::default(),
    };
    if told.begin.is_empty() && told.end.is_empty() {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(json(StatusCode::OK, &told))
}

/// `POST /v1/agents/calls/{id}`
pub(super) async fn answer(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let node = app.agents.authenticate(bearer(&headers)?)?;
    let id: Uuid = id.parse().map_err(|_| Error::not_found(format_args!("call {id:?}")))?;
    let body = read_json(&Method::POST, &headers, body, body_limit(&app)).await?;
    let output: CallOutput = serde_json::from_value(body).map_err(|error| {
        Error::invalid_at("", "INVALID_TYPE", format!("not a part of an answer: {error}"))
    })?;
    app.calls.deliver(node, id, output).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn body_limit(app: &App) -> BodyLimit {
    BodyLimit { bytes: app.body_limit.bytes.max(BODY_MAX), ..app.body_limit }
}
