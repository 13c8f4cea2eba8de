//! list, create, read, update, replace and delete for every hosted type, from its descriptor.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::registry::RegisteredType;
use metapaas_core::request::RequestContext;
use metapaas_core::resource::Resource;
use metapaas_core::store::{Locator, WriteOptions, Written};
use metapaas_core::validate::{self, UpdateMode};
use serde::Serialize;
use serde_json::Value;

use super::Answer;
use super::body::read_json;
use super::headers::{RequestId, Tags, bearer, etag};
use super::path::{Target, resolve};
use super::query::{Query, write_token};
use super::state::App;
use super::{error::wrong_method, types};

/// How often an update without `If-Match` is tried again when somebody else was faster.
const UPDATE_ATTEMPTS: usize = 20;

/// Nothing is asked of a change but the change.
const PLAIN: WriteOptions = WriteOptions::PLAIN;

fn kept(written: Written) -> Result<Resource, Error> {
    written.into_row().ok_or_else(|| Error::internal("a plain change answered no row"))
}

/// Everything below `/v1/types/`.
pub(super) async fn dispatch(State(app): State<App>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET
        && let Ok(Target::OpenApi(root)) = resolve(&app.registry, parts.uri.path())
    {
        return types::openapi_of(&app, root.ty.slug);
    }
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    let context = authenticate(&app, &parts.headers, id).await?;
    let call = Call { app: &app, context, headers: &parts.headers, query: parts.uri.query() };
    let path = parts.uri.path();
    match (&parts.method, resolve(&app.registry, path)?) {
        (&Method::GET, Target::Type(root)) => types::one(&app, &call.context, root).await,
        (&Method::GET, Target::Versions(root)) => types::versions(root),
        (&Method::GET, Target::Collection(registered, locator)) => call.list(registered, locator).await,
        (&Method::POST, Target::Collection(registered, locator)) => {
            call.create(registered, locator, body).await
        }
        (&Method::GET, Target::Item(registered, locator)) => call.read(registered, locator).await,
        (&Method::PATCH, Target::Item(registered, locator)) => {
            call.update(registered, locator, body, UpdateMode::Merge).await
        }
        (&Method::PUT, Target::Item(registered, locator)) => {
            call.update(registered, locator, body, UpdateMode::Replace).await
        }
        (&Method::DELETE, Target::Item(registered, locator)) => call.delete(registered, locator).await,
        (method, _) => Err(wrong_method(method, path).into()),
    }
}

/// Who asks.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    id: RequestId,
) -> Result<RequestContext, Error> {
    let actor = app.authenticator.authenticate(bearer(headers)?).await?;
    Ok(RequestContext { actor, request_id: id.0 })
}

/// One request, past authentication.
struct Call<'a> {
    app: &'a App,
    context: RequestContext,
    headers: &'a HeaderMap,
    query: Option<&'a str>,
}

#[derive(Serialize)]
struct ListAnswer<'a> {
    items: &'a [Resource],
    next_page_token: Option<String>,
}

impl Call<'_> {
    fn allowed(&self, registered: &RegisteredType, action: Action) -> Allowed {
        authorize(&self.context, registered.ty, action)
    }

    /// The row that a collection hangs under, when it hangs under one. The caller must be able to see it.
    async fn parent(
        &self,
        registered: &RegisteredType,
        locator: &Locator,
    ) -> Result<Option<Resource>, Error> {
        let Some(index) = registered.parent else { return Ok(None) };
        let parent = &self.app.registry.types()[index];
        let allowed = self.allowed(parent, Action::Read);
        Ok(Some(self.app.store.get(&allowed, parent, locator).await?))
    }

    async fn list(&self, registered: &RegisteredType, mut locator: Locator) -> Answer {
        let mut query = Query::parse(self.query, &["limit", "page_token", "project_id"]);
        let (limit, after, project) = (query.limit(), query.page_token(), query.id("project_id"));
        query.finish()?;
        locator.project = project;
        let allowed = self.allowed(registered, Action::List);
        let parent = self.parent(registered, &locator).await?;
        if let Some(parent) = &parent {
            allowed.on_row(parent.meta.project_id, &parent.key())?;
        }
        let store = &self.app.store;
        let page = store.list(&allowed, registered, parent.as_ref(), project, after, limit).await?;
        let last = page.items.last().filter(|_| page.has_more);
        let next_page_token = last.map(|last| write_token(last.meta.id));
        Ok(json(StatusCode::OK, &ListAnswer { items: &page.items, next_page_token }))
    }

    async fn create(&self, registered: &RegisteredType, mut locator: Locator, body: Body) -> Answer {
        locator.project = self.project_parameter()?;
        let body = read_json(&Method::POST, self.headers, body, self.app.body_limit).await?;
        let allowed = self.allowed(registered, Action::Create);
        let parent = self.parent(registered, &locator).await?;
        let project = match &parent {
            Some(parent) => parent.meta.project_id,
            None => validate::project_of(registered, &allowed, &body)?,
        };
        allowed.in_project(project)?;
        let new = validate::create(registered, &allowed, project, &body)?;
        let made = self.app.store.create(&allowed, registered, parent.as_ref(), new, &PLAIN).await?;
        let made = kept(made)?;
        let mut response = resource(StatusCode::CREATED, &made);
        if let Ok(location) = HeaderValue::from_str(&location(registered, &made)) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    }

    async fn read(&self, registered: &RegisteredType, mut locator: Locator) -> Answer {
        locator.project = self.project_parameter()?;
        let allowed = self.allowed(registered, Action::Read);
        let found = self.app.store.get(&allowed, registered, &locator).await?;
        let tag = etag(found.meta.revision);
        if Tags::of(self.headers, &header::IF_NONE_MATCH).is_some_and(|tags| tags.match_(&tag)) {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            insert_etag(&mut response, &tag);
            return Ok(response);
        }
        Ok(resource(StatusCode::OK, &found))
    }

    async fn update(
        &self,
        registered: &RegisteredType,
        mut locator: Locator,
        body: Body,
        mode: UpdateMode,
    ) -> Answer {
        locator.project = self.project_parameter()?;
        let method = if mode == UpdateMode::Merge { Method::PATCH } else { Method::PUT };
        let body = read_json(&method, self.headers, body, self.app.body_limit).await?;
        let allowed = self.allowed(registered, Action::Update);
        let (store, allowed, body) = (&self.app.store, &allowed, &body);
        if let Some(updated) = self.update_recent(registered, allowed, &locator, body, mode).await {
            return Ok(resource(StatusCode::OK, &updated));
        }
        let updated = self
            .with_fresh(registered, allowed, &locator, |current| {
                async move {
                    let stored = store.reveal(&current)?;
                    let change = validate::update(registered, allowed, &current, &stored, body, mode)?;
                    store.update(allowed, registered, &current, change, &PLAIN).await.and_then(kept)
                }
                .boxed()
            })
            .await?;
        Ok(resource(StatusCode::OK, &updated))
    }

    /// Saves the read before an update of a row that this process has just updated. Whatever does not work out is
    /// done again on the row as it is.
    async fn update_recent(
        &self,
        registered: &RegisteredType,
        allowed: &Allowed,
        locator: &Locator,
        body: &Value,
        mode: UpdateMode,
    ) -> Option<Resource> {
        let store = &self.app.store;
        let row = store.recent(registered, locator)?;
        let tags = Tags::of(self.headers, &header::IF_MATCH);
        if tags.is_some_and(|tags| !tags.match_(&etag(row.meta.revision))) {
            return None;
        }
        allowed.on_row(row.meta.project_id, &row.meta.id).ok()?;
        let stored = store.reveal(&row).ok()?;
        let change = validate::update(registered, allowed, &row, &stored, body, mode).ok()?;
        // That nothing changes can only be said of the row as it is.
        if change.is_empty() {
            return None;
        }
        store.update(allowed, registered, &row, change, &PLAIN).await.and_then(kept).ok()
    }

    async fn delete(&self, registered: &RegisteredType, mut locator: Locator) -> Answer {
        locator.project = self.project_parameter()?;
        let allowed = self.allowed(registered, Action::Delete);
        let (store, allowed) = (&self.app.store, &allowed);
        let row = self
            .with_fresh(registered, allowed, &locator, |current| {
                async move { store.delete(allowed, registered, &current, &PLAIN).await.and_then(kept) }
                    .boxed()
            })
            .await?;
        Ok(resource(StatusCode::ACCEPTED, &row))
    }

    /// Reads the row, holds it to `If-Match`, and changes it; again when somebody else was faster and the caller
    /// did not insist on a revision.
    async fn with_fresh<'a, T>(
        &self,
        registered: &RegisteredType,
        allowed: &Allowed,
        locator: &Locator,
        change: impl Fn(Resource) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let tags = Tags::of(self.headers, &header::IF_MATCH);
        let mut attempt = 1;
        loop {
            let current = self.app.store.get(allowed, registered, locator).await?;
            let tag = etag(current.meta.revision);
            if tags.as_ref().is_some_and(|tags| !tags.match_(&tag)) {
                let detail = format!("If-Match does not hold: the row is at {tag}; read it again");
                return Err(Error::new(ErrorCode::PreconditionFailed, detail).with("etag", tag));
            }
            match change(current).await {
                Err(error)
                    if error.code == ErrorCode::PreconditionFailed
                        && tags.is_none()
                        && attempt < UPDATE_ATTEMPTS =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    fn project_parameter(&self) -> Result<Option<uuid::Uuid>, Error> {
        let mut query = Query::parse(self.query, &["project_id"]);
        let project = query.id("project_id");
        query.finish()?;
        Ok(project)
    }
}

/// Where a row is, by ids.
fn location(registered: &RegisteredType, row: &Resource) -> String {
    let root = format!("/v1/types/{}/instances/{}", row.ty.slug, row.meta.instance_id);
    match registered.ty.depth() {
        0 => root,
        1 => format!("{root}/{}/{}", row.ty.plural, row.meta.id),
        _ => {
            let above = row.ty.parent.map_or("", |parent| parent.plural);
            format!("{root}/{above}/{}/{}/{}", row.meta.parent_id, row.ty.plural, row.meta.id)
        }
    }
}

fn resource(status: StatusCode, row: &Resource) -> Response {
    let mut response = json(status, row);
    insert_etag(&mut response, &etag(row.meta.revision));
    response
}

fn insert_etag(response: &mut Response, tag: &str) {
    if let Ok(value) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

/// An answer of JSON.
pub(super) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = (status, body).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => super::error::ApiError(Error::internal(error)).into_response(),
    }
}
