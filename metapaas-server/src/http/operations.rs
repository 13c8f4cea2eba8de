//! `/v1/operations`: what became of actions.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use metapaas_core::error::Error;
use metapaas_core::operations::{self, Asked};
use metapaas_core::query::{Fields, Order};
use metapaas_core::request::RequestContext;
use uuid::Uuid;

use super::Answer;
use super::body::no_members;
use super::change::effect;
use super::headers::RequestId;
use super::lists::{ListOf, ListRequest};
use super::query::Query;
use super::resources::{authenticate, json as answer};
use super::state::App;

/// Longest wait that a request may ask for, in seconds.
const WAIT_MAX: u64 = 60;

/// `GET /v1/operations`
pub(super) async fn list(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let context = caller(&app, &parts).await?;
    let list = ListOf {
        fields: Fields::new(operations::FIELDS),
        members: operations::MEMBERS.to_vec(),
        hidden: Vec::new(),
        more: &["project_id"],
        order: Order::NEWEST_FIRST,
        place: "operations".into(),
    };
    let (request, ()) = ListRequest::of(&list, parts.uri.query(), |_| ())?;
    let asked = Asked { project: request.project, page: request.page() };
    Ok(request.answer(&app.operations.list(&context, asked).await?))
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

fn operation_id(text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::not_found(format_args!("operation {text:?}")))
}

async fn caller(app: &App, parts: &Parts) -> Result<RequestContext, Error> {
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    authenticate(app, &parts.headers, id).await
}
