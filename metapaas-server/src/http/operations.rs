//! `/v1/operations`: what became of actions.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use metapaas_core::error::{Error, Problem};
use metapaas_core::operations::{Asked, OperationStatus};
use metapaas_core::request::RequestContext;
use serde_json::json;
use uuid::Uuid;

use super::Answer;
use super::body::no_members;
use super::change::effect;
use super::headers::RequestId;
use super::query::{Query, write_token};
use super::resources::{authenticate, json as answer};
use super::state::App;

/// Longest wait that a request may ask for, in seconds.
const WAIT_MAX: u64 = 60;

/// `GET /v1/operations`
pub(super) async fn list(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let context = caller(&app, &parts).await?;
    let (statuses, mut problems, rest) = statuses(parts.uri.query().unwrap_or_default());
    let mut query = Query::parse(Some(&rest), &["limit", "page_token", "project_id", "resource_id"]);
    let asked = Asked {
        project: query.id("project_id"),
        resource: query.id("resource_id"),
        statuses,
        before: query.page_token(),
        limit: query.limit(),
    };
    problems.extend(query.finish().err().into_iter().flat_map(|error| error.problems));
    if !problems.is_empty() {
        return Err(Error::invalid(problems).into());
    }
    let found = app.operations.list(&context, asked).await?;
    let last = found.items.last().filter(|_| found.has_more);
    let next_page_token = last.map(|last| write_token(last.id));
    Ok(answer(StatusCode::OK, &json!({ "items": found.items, "next_page_token": next_page_token })))
}

/// `GET /v1/operations/{id}?wait=<seconds>`
pub(super) async fn read(State(app): State<App>, Path(id): Path<String>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let context = caller(&app, &parts).await?;
    let mut query = Query::parse(parts.uri.query(), &["wait"]);
    let wait = Duration::from_secs(query.number("wait", WAIT_MAX).unwrap_or_default());
    query.finish()?;
    let id = operation_id(&id)?;
    let mut stop = app.stop.clone();
    let ended = tokio::select! {
        found = app.operations.get(&context, id, wait) => Some(found?),
        // Those who wait must not hold up a shutdown: they learn how it stands and ask again elsewhere.
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let found = match ended {
        Some(found) => found,
        None => app.operations.get(&context, id, Duration::ZERO).await?,
    };
    Ok(answer(StatusCode::OK, &found))
}

/// `POST /v1/operations/{id}/actions/cancel`
pub(super) async fn cancel(State(app): State<App>, Path(id): Path<String>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let context = caller(&app, &parts).await?;
    let mut query = Query::parse(parts.uri.query(), &["dry_run"]);
    let effect = effect(&mut query);
    query.finish()?;
    no_members(&parts.headers, body, app.body_limit).await?;
    let cancelled = app.operations.cancel(&context, operation_id(&id)?, effect).await?;
    Ok(answer(StatusCode::OK, &cancelled))
}

/// The statuses asked for, what is wrong with them, and the rest of the query.
fn statuses(query: &str) -> (Vec<OperationStatus>, Vec<Problem>, String) {
    let (mut found, mut problems, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for pair in query.split('&') {
        match pair.strip_prefix("status=").map(OperationStatus::parse) {
            Some(Some(status)) => found.push(status),
            Some(None) => {
                let known = OperationStatus::ALL.map(OperationStatus::as_str).join(", ");
                let detail = format!("expected one of {known}");
                problems.push(Problem::new("?status", "INVALID_VALUE", detail));
            }
            None => rest.push(pair),
        }
    }
    (found, problems, rest.join("&"))
}

fn operation_id(text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::not_found(format_args!("operation {text:?}")))
}

async fn caller(app: &App, parts: &Parts) -> Result<RequestContext, Error> {
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    authenticate(app, &parts.headers, id).await
}
