//! list, create, read, update, replace and delete for every hosted type, from its descriptor.

mod watch;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use metapaas_core::action::ActionRun;
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::query::{Selected, Selection};
use metapaas_core::registry::RegisteredType;
use metapaas_core::request::RequestContext;
use metapaas_core::resource::{Change, Resource, member_names};
use metapaas_core::store::{Locator, WriteOptions, Written, now};
use metapaas_core::validate::{self, UpdateMode};
use serde::Serialize;
use serde_json::Value;

use super::Answer;
use super::body::{parse, read_bytes};
use super::change::{Begun, Wishes, changed, created, replay};
use super::denials;
use super::headers::{Preconditions, RequestId, Tags, bearer, etag};
use super::lists::ListRequest;
use super::path::{Target, resolve};
use super::query::Query;
use super::state::App;
use super::{error::wrong_method, types};

pub(super) use self::watch::{is_wanted as is_stream_wanted, reach, split};

/// How often a change is tried again when somebody else was faster.
const UPDATE_ATTEMPTS: usize = 20;

/// Everything below `/v1/types/`.
///
/// All but a read are boxed: the future of a request is as large as its largest part, and is moved several times.
pub(super) async fn dispatch(State(app): State<App>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    if let Ok(Target::OpenApi(root)) = resolve(&app.registry, parts.uri.path()) {
        return match parts.method {
            Method::GET | Method::HEAD => types::openapi_of(&app, root.ty.slug),
            ref method => Err(wrong_method(method, parts.uri.path()).into()),
        };
    }
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    let context = authenticate(&app, &parts.headers, id).await?;
    let path = parts.uri.path();
    let call = Call { app: &app, context, headers: &parts.headers, path, query: parts.uri.query() };
    // The server leaves out the body of an answer to HEAD.
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    match (method, resolve(&app.registry, path)?) {
        (&Method::POST, target @ Target::Collection(RegisteredType { is_managed: true, .. }, _))
        | (
            &Method::PATCH | &Method::PUT | &Method::DELETE,
            target @ Target::Item(RegisteredType { is_managed: true, .. }, _),
        ) => Err(wrong_method(method, path).with("allowed", methods(&target)).into()),
        (&Method::GET, Target::Type(root)) => types::one(&app, &call.context, root).boxed().await,
        (&Method::GET, Target::Versions(root)) => types::versions(root),
        (&Method::GET, Target::Collection(registered, locator))
            if parts.method == Method::GET && is_stream_wanted(&parts.headers) =>
        {
            call.watch(registered, locator).boxed().await
        }
        (&Method::GET, Target::Collection(registered, locator)) => {
            call.list(registered, locator).boxed().await
        }
        (&Method::POST, Target::Collection(registered, locator)) => {
            call.create(registered, locator, body).boxed().await
        }
        (&Method::GET, Target::Item(registered, locator)) => call.read(registered, locator).await,
        (&Method::PATCH, Target::Item(registered, locator)) => {
            call.update(registered, locator, body, UpdateMode::Merge).boxed().await
        }
        (&Method::PUT, Target::Item(registered, locator)) => {
            call.update(registered, locator, body, UpdateMode::Replace).boxed().await
        }
        (&Method::POST, Target::Action(registered, locator, action)) => match &action.run {
            ActionRun::Command(choose) => call.run(registered, locator, action, choose, body).boxed().await,
            _ => call.act(registered, locator, action, body).boxed().await,
        },
        (&Method::GET, Target::Logs(registered, locator)) if parts.method == Method::GET => {
            call.logs(registered, locator).boxed().await
        }
        (&Method::GET, Target::Upload(registered, locator, digest)) => {
            call.upload(registered, locator, &digest).boxed().await
        }
        (&Method::PUT, Target::Upload(registered, locator, digest)) => {
            call.receive(registered, locator, &digest, body).boxed().await
        }
        (&Method::DELETE, Target::Item(registered, locator)) => {
            call.delete(registered, locator).boxed().await
        }
        (&Method::OPTIONS, target) => Ok(options(methods(&target))),
        (method, target) => Err(wrong_method(method, path).with("allowed", methods(&target)).into()),
    }
}

/// What a path takes, as the header `Allow` says it.
const fn methods(target: &Target<'_>) -> &'static str {
    match target {
        Target::Type(_) | Target::Versions(_) | Target::OpenApi(_) => "GET, HEAD, OPTIONS",
        Target::Collection(RegisteredType { is_managed: true, .. }, _)
        | Target::Item(RegisteredType { is_managed: true, .. }, _) => "GET, HEAD, OPTIONS",
        Target::Collection(..) => "GET, HEAD, OPTIONS, POST",
        Target::Logs(..) => "GET, OPTIONS",
        Target::Upload(..) => "GET, HEAD, OPTIONS, PUT",
        Target::Action(..) => "OPTIONS, POST",
        Target::Item(..) => "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    }
}

/// The answer to OPTIONS.
fn options(methods: &'static str) -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, methods)]).into_response()
}

/// Who asks.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    id: RequestId,
) -> Result<RequestContext, Error> {
    let actor = app.authenticator.authenticate(bearer(headers)?).await?;
    app.rates.principal(actor.id)?;
    let context = RequestContext { actor, request_id: id.0 };
    denials::caller_is(&context);
    Ok(context)
}

/// One request, past authentication.
pub(super) struct Call<'a> {
    pub(super) app: &'a App,
    pub(super) context: RequestContext,
    pub(super) headers: &'a HeaderMap,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

#[derive(Serialize)]
struct ListAnswer<'a> {
    items: Vec<Selected<'a>>,
    next_page_token: Option<String>,
}

impl Call<'_> {
    pub(super) fn allowed(&self, registered: &RegisteredType, action: Action) -> Allowed {
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
        let request = ListRequest::read(self.query, registered, &locator)?;
        locator.project = request.project;
        let allowed = self.allowed(registered, Action::List);
        let parent = self.parent(registered, &locator).await?;
        if let Some(parent) = &parent {
            allowed.on_row(parent.meta.project_id, &parent.key())?;
        }
        let store = &self.app.store;
        let (listing, project) = (&request.listing, request.project);
        let page = store.find(&allowed, registered, parent.as_ref(), project, listing, request.limit).await?;
        let selection = request.selection.as_ref();
        let items = page.items.iter().map(|row| Selected { row, selection }).collect();
        let last = page.items.last().filter(|_| page.has_more);
        let next_page_token = last.map(|last| request.token_after(last));
        Ok(json(StatusCode::OK, &ListAnswer { items, next_page_token }))
    }

    async fn create(&self, registered: &RegisteredType, mut locator: Locator, body: Body) -> Answer {
        let wishes = Wishes::of_create(self.query, self.headers)?;
        locator.project = wishes.project;
        let bytes = read_bytes(&Method::POST, self.headers, body, self.app.body_limit).await?;
        let body = parse(&bytes)?;
        let allowed = self.allowed(registered, Action::Create);
        let render = created();
        let (options, _held) = match self.begin(&Method::POST, &bytes, &wishes, render.clone()).await? {
            Begun::Before(answer) => return Ok(replay(answer, &allowed)?),
            Begun::Now(options, held) => (options, held),
        };
        let parent = self.parent(registered, &locator).await?;
        let project = match &parent {
            Some(parent) => parent.meta.project_id,
            None => validate::project_of(registered, &allowed, &body)?,
        };
        allowed.in_project(project)?;
        let new = validate::create(registered, &allowed, project, &body)?;
        if registered.ty.is_instance() {
            self.app.placement.check(project, &new.labels)?;
        }
        let made = self.app.store.create(&allowed, registered, parent.as_ref(), new, &options).await?;
        Ok(self.written(made, &allowed, &render)?)
    }

    async fn read(&self, registered: &RegisteredType, mut locator: Locator) -> Answer {
        let mut query = Query::parse(self.query, &["project_id", "fields"]);
        locator.project = query.id("project_id");
        let members = member_names(registered.ty);
        let fields = query.text("fields").map(|text| Selection::parse(&members, &text).map(Some));
        let selection = query.keep(fields.unwrap_or(Ok(None)));
        query.finish()?;
        let allowed = self.allowed(registered, Action::Read);
        let found = self.app.store.get(&allowed, registered, &locator).await?;
        let tag = etag(found.meta.revision);
        if Tags::of(self.headers, &header::IF_NONE_MATCH)?.is_some_and(|tags| tags.match_weakly(&tag)) {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            insert_etag(&mut response, &tag);
            return Ok(response);
        }
        let selected = Selected { row: &found, selection: selection.as_ref() };
        let mut response = json(StatusCode::OK, &selected);
        insert_etag(&mut response, &tag);
        Ok(response)
    }

    async fn update(
        &self,
        registered: &RegisteredType,
        mut locator: Locator,
        body: Body,
        mode: UpdateMode,
    ) -> Answer {
        let wishes = Wishes::of_row(self.query, self.headers)?;
        locator.project = wishes.project;
        let method = if mode == UpdateMode::Merge { Method::PATCH } else { Method::PUT };
        let bytes = read_bytes(&method, self.headers, body, self.app.body_limit).await?;
        let body = parse(&bytes)?;
        let allowed = self.allowed(registered, Action::Update);
        let render = changed(StatusCode::OK);
        let (options, _held) = match mode {
            UpdateMode::Merge => match self.begin(&method, &bytes, &wishes, render.clone()).await? {
                Begun::Before(answer) => return Ok(replay(answer, &allowed)?),
                Begun::Now(options, held) => (options, held),
            },
            UpdateMode::Replace => (wishes.options(), None),
        };
        let (store, allowed, body, options) = (&self.app.store, &allowed, &body, &options);
        if options.is_plain()
            && let Some(updated) =
                self.update_recent(registered, allowed, &locator, body, mode, &wishes).await
        {
            return Ok(self.written(updated, allowed, &render)?);
        }
        let updated = self
            .with_fresh(registered, allowed, &locator, &wishes.preconditions, |current| {
                async move {
                    let stored = store.reveal(&current)?;
                    let change = validate::update(registered, allowed, &current, &stored, body, mode)?;
                    store.update(allowed, registered, &current, change, options).await
                }
                .boxed()
            })
            .await?;
        Ok(self.written(updated, allowed, &render)?)
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
        wishes: &Wishes,
    ) -> Option<Written> {
        let store = &self.app.store;
        let row = store.recent(registered, locator)?;
        wishes.preconditions.hold(&row).ok()?;
        allowed.on_row(row.meta.project_id, &row.meta.id).ok()?;
        let stored = store.reveal(&row).ok()?;
        let change = validate::update(registered, allowed, &row, &stored, body, mode).ok()?;
        // That nothing changes can only be said of the row as it is.
        if change.is_empty() {
            return None;
        }
        store.update(allowed, registered, &row, change, &WriteOptions::PLAIN).await.ok()
    }

    async fn delete(&self, registered: &RegisteredType, mut locator: Locator) -> Answer {
        let (wishes, force) = Wishes::of_delete(registered, self.query, self.headers)?;
        locator.project = wishes.project;
        let allowed = self.allowed(registered, Action::Delete);
        let (store, allowed, options) = (&self.app.store, &allowed, &wishes.options());
        let deleted = self
            .with_fresh(registered, allowed, &locator, &wishes.preconditions, |current| {
                async move {
                    let change = match registered.hooks.leave {
                        None => Change::default(),
                        Some(_) => {
                            validate::leave(registered, &current, &store.reveal(&current)?, force, now())?
                        }
                    };
                    store.let_go(allowed, registered, &current, change, options).await
                }
                .boxed()
            })
            .await?;
        Ok(self.written(deleted, allowed, &changed(StatusCode::ACCEPTED))?)
    }

    /// Reads the row, holds it to what the caller wants of it, and changes it; again when somebody else was faster.
    pub(super) async fn with_fresh<'a, T>(
        &self,
        registered: &RegisteredType,
        allowed: &Allowed,
        locator: &Locator,
        preconditions: &Preconditions,
        change: impl Fn(Resource) -> BoxFuture<'a, Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let mut attempt = 1;
        loop {
            let current = self.app.store.get(allowed, registered, locator).await?;
            preconditions.hold(&current)?;
            match change(current).await {
                Err(error) if error.code == ErrorCode::PreconditionFailed && attempt < UPDATE_ATTEMPTS => {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }
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
