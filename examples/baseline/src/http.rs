//! Routes, handlers and the answers to mistakes.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::auth::{Caller, Verifier};
use crate::database::Database;
use crate::instance::{Instance, InstanceChange, NewInstance};

/// What every handler may use.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) database: Database,
    pub(crate) verifier: Verifier,
}

/// The whole interface.
pub(crate) fn routes(service: Service) -> Router {
    Router::new()
        .route("/v1/types/demo/instances", get(list).post(create))
        .route("/v1/types/demo/instances/{id}", get(read).patch(update))
        .route("/readyz", get(ready))
        .with_state(service)
}

async fn ready(State(service): State<Service>) -> Result<&'static str, Problem> {
    service.database.ping().await?;
    Ok("ready\n")
}

async fn read(_: Caller, State(service): State<Service>, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    let instance = service.database.get(id).await?.ok_or(Problem::NotFound)?;
    Ok(shown(StatusCode::OK, &instance))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    #[serde(default = "default_limit")]
    limit: i64,
    page_token: Option<String>,
}

const fn default_limit() -> i64 {
    50
}

#[derive(Serialize)]
struct Page {
    items: Vec<Instance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

async fn list(
    _: Caller,
    State(service): State<Service>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let Query(PageQuery { limit, page_token }) =
        query.map_err(|error| Problem::Invalid(error.body_text()))?;
    if !(1..=1000).contains(&limit) {
        return Err(Problem::Invalid("limit must be from 1 to 1000".into()));
    }
    let after = match page_token {
        Some(token) => BASE64_URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| Uuid::from_slice(&bytes).ok())
            .ok_or_else(|| Problem::Invalid("page_token is not one of ours".into()))?,
        None => Uuid::nil(),
    };
    // One more than wanted tells whether there is a next page.
    let mut items = service.database.list(after, limit + 1).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = items.len() > wanted;
    items.truncate(wanted);
    let last = items.last().filter(|_| has_more);
    let next_page_token = last.map(|instance| BASE64_URL_SAFE_NO_PAD.encode(instance.id));
    Ok(Json(Page { items, next_page_token }))
}

async fn create(
    _: Caller,
    State(service): State<Service>,
    body: Result<Json<NewInstance>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(new) = body?;
    if let Some(problem) = new.problem() {
        return Err(Problem::Invalid(problem.into()));
    }
    let instance = service.database.insert(new).await?;
    let mut response = shown(StatusCode::CREATED, &instance);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/types/demo/instances/{}", instance.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn update(
    _: Caller,
    State(service): State<Service>,
    Path(id): Path<Uuid>,
    body: Result<Json<InstanceChange>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(change) = body?;
    if let Some(problem) = change.problem() {
        return Err(Problem::Invalid(problem.into()));
    }
    let instance = service.database.update(id, change).await?.ok_or(Problem::NotFound)?;
    Ok(shown(StatusCode::OK, &instance))
}

fn shown(status: StatusCode, instance: &Instance) -> Response {
    let etag = [(ETAG, format!("\"{}\"", instance.revision))];
    (status, etag, Json(instance)).into_response()
}

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) enum Problem {
    Unauthenticated,
    NotFound,
    NameTaken,
    Invalid(String),
    Body(JsonRejection),
    Unavailable,
    Database,
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::Body(rejection)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::NameTaken,
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => Self::Unavailable,
            _ => Self::Database,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, detail) = match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "no valid token".into()),
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "no such instance".into()),
            Self::NameTaken => {
                (StatusCode::CONFLICT, "NAME_TAKEN", "the project has that name already".into())
            }
            Self::Invalid(detail) => (StatusCode::BAD_REQUEST, "INVALID", detail),
            Self::Body(rejection) => {
                // A body of the wrong shape is as wrong as one that is no JSON.
                let status = match rejection.status() {
                    StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                    status => status,
                };
                (status, "INVALID", rejection.body_text())
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the database is away".into())
            }
            Self::Database => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the database failed".into()),
        };
        let body = json!({
            "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
            "code": code, "detail": detail,
        });
        let media_type = [(CONTENT_TYPE, "application/problem+json")];
        (status, media_type, body.to_string()).into_response()
    }
}
