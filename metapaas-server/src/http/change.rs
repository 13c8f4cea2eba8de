//! What a request asks of a change besides the change: that it is only tried, made once, made only when the row is as
//! the caller knows it. And the answers to changes.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use metapaas_core::authz::Allowed;
use metapaas_core::error::Error;
use metapaas_core::reconcile::forecast;
use metapaas_core::reconcile::plan::Step;
use metapaas_core::registry::RegisteredType;
use metapaas_core::request::RequestContext;
use metapaas_core::resource::Resource;
use metapaas_core::store::{
    Answer, Effect, InFlight, Once, OnceKey, Render, RequestHash, Store, WouldBe, WriteOptions, Written,
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::headers::{IDEMPOTENCY_KEY, Preconditions, etag};
use super::query::Query;
use super::resources::Call;

/// Says that the answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What the parameters and headers of a change ask for.
pub(super) struct Wishes {
    /// The project that names of instances are looked up in.
    pub(super) project: Option<Uuid>,
    /// What becomes of the change.
    pub(super) effect: Effect,
    /// What must hold of the row.
    pub(super) preconditions: Preconditions,
}

/// A request that makes a change.
pub(super) enum Begun {
    /// It was carried out before.
    Before(Answer),
    /// It is to be carried out; the key is held as long as it takes.
    Now(WriteOptions, Option<InFlight>),
}

impl Wishes {
    /// Reads those of a change of a row that is there.
    ///
    /// # Errors
    /// `InvalidRequest` with every problem.
    pub(super) fn of_row(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Error> {
        Self::read(Query::parse(query, &["project_id", "dry_run", "if_generation_match"]), headers)
    }

    fn read(mut query: Query, headers: &HeaderMap) -> Result<Self, Error> {
        let project = query.id("project_id");
        let effect = effect(&mut query);
        let generation = query.number("if_generation_match", i64::MAX.unsigned_abs());
        query.finish()?;
        let generation = generation.map(u64::cast_signed);
        Ok(Self { project, effect, preconditions: Preconditions::of(headers, generation)? })
    }

    /// Reads those of a delete, and whether it is to be done by force, where the type knows such a thing.
    ///
    /// # Errors
    /// `InvalidRequest` with every problem.
    pub(super) fn of_delete(
        registered: &RegisteredType,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(Self, bool), Error> {
        if registered.hooks.leave.is_none() {
            return Ok((Self::of_row(query, headers)?, false));
        }
        let mut query = Query::parse(query, &["project_id", "dry_run", "if_generation_match", "force"]);
        let force = query.flag("force");
        Ok((Self::read(query, headers)?, force))
    }

    /// Reads those of a create: there is no row yet to ask anything of.
    ///
    /// # Errors
    /// `InvalidRequest` with every problem.
    pub(super) fn of_create(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Error> {
        let mut query = Query::parse(query, &["project_id", "dry_run"]);
        let (project, effect) = (query.id("project_id"), effect(&mut query));
        query.finish()?;
        Ok(Self { project, effect, preconditions: Preconditions::of_create(headers)? })
    }

    /// A change that is made once whatever its key: PUT and DELETE leave the same when they are repeated.
    pub(super) fn options(&self) -> WriteOptions {
        WriteOptions::of(self.effect)
    }
}

/// What becomes of the change, by the parameter `dry_run`.
pub(super) fn effect(query: &mut Query) -> Effect {
    if query.flag("dry_run") { Effect::DryRun } else { Effect::Kept }
}

impl Call<'_> {
    /// Takes the `Idempotency-Key` of a request, if it has one, and looks whether it was used. A dry run uses none.
    ///
    /// # Errors
    /// `InvalidRequest` when the key is none, `IdempotencyKeyReused`, `IdempotencyInProgress`, `Unavailable`.
    pub(super) async fn begin(
        &self,
        method: &Method,
        body: &[u8],
        wishes: &Wishes,
        render: Render,
    ) -> Result<Begun, Error> {
        let options = wishes.options();
        let sent = Sent { context: &self.context, headers: self.headers, path: self.path, query: self.query };
        match sent.turn(&self.app.store, method, body, wishes.effect).await? {
            Turn::Before(answer) => Ok(Begun::Before(answer)),
            Turn::Now(None) => Ok(Begun::Now(options, None)),
            Turn::Now(Some((key, held))) => Ok(Begun::Now(options.once(Once { key, render }), Some(held))),
        }
    }

    /// The answer to a change; `render` makes it from the row.
    pub(super) fn written(
        &self,
        written: Written,
        allowed: &Allowed,
        render: &Render,
    ) -> Result<Response, Error> {
        match written {
            Written::Kept(row) => Ok(respond(render(&row))),
            Written::WouldBe(would_be) => Ok(tried(&self.app.store, &would_be, render(&would_be.row).status)),
            Written::Replayed(answer) => replay(answer, allowed),
            Written::Gone => Ok(StatusCode::NO_CONTENT.into_response()),
        }
    }
}

/// A request as its sender made it.
pub(super) struct Sent<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) headers: &'a HeaderMap,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

/// What is to be done about a request that may have been sent before.
pub(super) enum Turn {
    /// It was carried out; this was the answer.
    Before(Answer),
    /// It is to be carried out; if it has a key, that is held as long as it takes.
    Now(Option<(OnceKey, InFlight)>),
}

impl Sent<'_> {
    /// Takes the `Idempotency-Key`, if there is one, and looks whether it was used. A dry run uses none.
    ///
    /// # Errors
    /// `InvalidRequest` when the key is none, `IdempotencyKeyReused`, `IdempotencyInProgress`, `Unavailable`.
    pub(super) async fn turn(
        &self,
        store: &Store,
        method: &Method,
        body: &[u8],
        effect: Effect,
    ) -> Result<Turn, Error> {
        let key = idempotency_key(self.headers)?.filter(|_| effect == Effect::Kept);
        let Some(key) = key else { return Ok(Turn::Now(None)) };
        let actor = &self.context.actor;
        let key = OnceKey {
            principal: format!("{}:{}", actor.kind.as_str(), actor.id).into(),
            key: key.into(),
            request_hash: RequestHash(self.hash(method, body).into()),
        };
        let held = store.begin_once(&key)?;
        Ok(match store.recall(&key).await? {
            Some(answer) => Turn::Before(answer),
            None => Turn::Now(Some((key, held))),
        })
    }

    /// Tells a request from all others: what it asks for, and where.
    fn hash(&self, method: &Method, body: &[u8]) -> String {
        let mut hash = Sha256::new();
        for part in
            [method.as_str().as_bytes(), self.path.as_bytes(), self.query.unwrap_or_default().as_bytes()]
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(body);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The answer of then, for those who may still see what it tells of.
pub(super) fn replay(answer: Answer, allowed: &Allowed) -> Result<Response, Error> {
    let body: Value = serde_json::from_str(&answer.body).map_err(Error::internal)?;
    if let Some(project) = body["project_id"].as_str().and_then(|project| project.parse().ok()) {
        allowed.on_row(project, &body["id"])?;
    }
    Ok(replayed(answer))
}

/// The answer of then, marked as such.
pub(super) fn replayed(answer: Answer) -> Response {
    let mut response = respond(answer);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The answer to a create.
pub(super) fn created() -> Render {
    Arc::new(|row| {
        let mut answer = shown(StatusCode::CREATED, row);
        answer.headers.push((header::LOCATION.as_str().into(), location(row)));
        answer
    })
}

/// The answer to a change of a row.
pub(super) fn changed(status: StatusCode) -> Render {
    Arc::new(move |row| shown(status, row))
}

/// A row as an answer.
pub(super) fn shown(status: StatusCode, row: &Resource) -> Answer {
    Answer {
        status: status.as_u16(),
        headers: vec![(header::ETAG.as_str().into(), etag(row.meta.revision))],
        // A row is made of values that serialise.
        body: serde_json::to_string(row).unwrap_or_default(),
    }
}

/// Where a row is, by ids.
fn location(row: &Resource) -> String {
    let root = format!("/v1/types/{}/instances/{}", row.ty.slug, row.meta.instance_id);
    match row.ty.depth() {
        0 => root,
        1 => format!("{root}/{}/{}", row.ty.segment(), row.meta.id),
        _ => {
            let above = row.ty.parent.map_or("", |parent| parent.segment());
            format!("{root}/{above}/{}/{}/{}", row.meta.parent_id, row.ty.segment(), row.meta.id)
        }
    }
}

/// An answer on its way out.
pub(super) fn respond(answer: Answer) -> Response {
    let mut response = answer.body.into_response();
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

#[derive(Serialize)]
struct Tried<'a> {
    #[serde(flatten)]
    row: &'a Resource,
    plan: Vec<Step>,
}

/// The answer to a dry run: what would be and what it would lead to. It has neither tag nor place, as there is nothing.
fn tried(store: &Store, would_be: &WouldBe, status: u16) -> Response {
    let tried = Tried { row: &would_be.row, plan: forecast(store, would_be) };
    match serde_json::to_string(&tried) {
        Ok(body) => respond(Answer { status, headers: Vec::new(), body }),
        Err(error) => super::error::ApiError(Error::internal(error)).into_response(),
    }
}

/// The caller's own name for its request.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut given = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let fits = |text: &&str| {
        (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    };
    match first.to_str().ok().filter(fits) {
        Some(key) if given.next().is_none() => Ok(Some(key)),
        _ => Err(Error::invalid_at(
            "Idempotency-Key:",
            "INVALID_VALUE",
            "expected one key of 1 to 255 printable ASCII characters, such as a new UUID",
        )),
    }
}
