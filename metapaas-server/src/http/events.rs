//! `GET /v1/events`: the history of changes, in pages and as a stream.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metapaas_core::authz::{Projects, authorize};
use metapaas_core::descriptor::Action;
use metapaas_core::error::Error;
use metapaas_core::registry::Registry;
use metapaas_core::request::RequestContext;
use metapaas_core::store::events::{Event, EventFilter, EventOrder, EventRange};
use metapaas_core::watch::{Begin, EventWatchRequest};
use serde::Serialize;

use super::Answer;
use super::headers::{RequestId, bearer};
use super::query::Query;
use super::resources::{authenticate, is_stream_wanted, json};
use super::state::App;
use super::stream::{last_event_id, respond};

const FILTERS: [&str; 10] = [
    "project_id",
    "type",
    "plural",
    "resource_id",
    "instance_id",
    "action",
    "actor",
    "request_id",
    "since",
    "until",
];

#[derive(Serialize)]
struct Page<'a> {
    items: &'a [Event],
    next_page_token: Option<String>,
}

/// `GET /v1/events`
pub(super) async fn list(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    let context = authenticate(&app, &parts.headers, id).await?;
    if is_stream_wanted(&parts.headers) {
        return watch(&app, &context, &parts).await;
    }
    let mut query = Query::parse(parts.uri.query(), &known(&["limit", "page_token", "order_by"]));
    let limit = query.limit();
    let order = order(&mut query);
    let from = token(&mut query, order);
    let filter = filter(&app.registry, &mut query);
    query.finish()?;
    let (after, upto) = match order {
        EventOrder::NewestFirst => (0, from.map_or(i64::MAX, |from| from - 1)),
        // What is read is never gone back for, so it ends where the order is decided.
        EventOrder::OldestFirst => (from.unwrap_or_default(), app.hub.decided().await?),
    };
    let readable = readable(&app.registry, &context, Action::Read);
    // One more than asked for tells whether there is a next page.
    let range = EventRange { order, after, upto, limit: limit + 1 };
    let mut items = app.store.events(&readable, &filter, range).await?;
    let has_more = items.len() > usize::from(limit);
    items.truncate(limit.into());
    let last = items.last().filter(|_| has_more);
    let next_page_token = last.map(|last| write_token(order, last.seq));
    Ok(json(StatusCode::OK, &Page { items: &items, next_page_token }))
}

async fn watch(app: &App, context: &RequestContext, parts: &axum::http::request::Parts) -> Answer {
    let mut query = Query::parse(parts.uri.query(), &known(&["last_event_id"]));
    let resume = last_event_id(&parts.headers, &mut query);
    let filter = filter(&app.registry, &mut query);
    query.finish()?;
    let readable = readable(&app.registry, context, Action::Watch);
    let (registry, watched) = (app.registry.clone(), readable.clone());
    let still_allowed = move |context: &RequestContext| {
        let now = self::readable(&registry, context, Action::Watch);
        let lost = watched.iter().zip(&now).find(|((_, _, before), (_, _, now))| !now.covers(before));
        lost.map_or(Ok(()), |((slug, plural, _), _)| Err(Error::forbidden(&format!("{slug}.{plural}.watch"))))
    };
    let request = EventWatchRequest {
        readable,
        begin: resume.map(Begin::After).or_else(|| filter.since.map(|_| Begin::Whole)),
        filter,
        bearer: bearer(&parts.headers)?,
        request_id: context.request_id.clone(),
        still_allowed: Box::new(still_allowed),
    };
    let watch = app.hub.watch_events(request).await?;
    Ok(respond(watch, |mut watch| async move { watch.next().await.map(|text| (text, watch)) }))
}

fn known<'a>(others: &[&'a str]) -> Vec<&'a str> {
    FILTERS.iter().chain(others).copied().collect()
}

/// Where the caller may read the rows of each type.
fn readable(
    registry: &Registry,
    context: &RequestContext,
    action: Action,
) -> Vec<(&'static str, &'static str, Projects)> {
    let types = registry.types().iter().map(|registered| registered.ty);
    types.map(|ty| (ty.slug, ty.plural, authorize(context, ty, action).reach())).collect()
}

fn order(query: &mut Query) -> EventOrder {
    match query.text("order_by").as_deref().map(str::trim) {
        None | Some("" | "seq desc") => EventOrder::NewestFirst,
        Some("seq" | "seq asc") => EventOrder::OldestFirst,
        Some(_) => {
            query.wrong("?order_by", "INVALID_VALUE", "expected `seq` (oldest first) or `seq desc`");
            EventOrder::NewestFirst
        }
    }
}

fn filter(registry: &Registry, query: &mut Query) -> EventFilter {
    let slug = query.word("type");
    if let Some(slug) = &slug
        && registry.root(slug).is_none()
    {
        let known: Vec<&str> = registry.roots().map(|root| root.ty.slug).collect();
        query.wrong("?type", "INVALID_VALUE", &format!("expected one of {}", known.join(", ")));
    }
    EventFilter {
        project_id: query.id("project_id"),
        slug,
        plural: query.word("plural"),
        resource_id: query.id("resource_id"),
        instance_id: query.id("instance_id"),
        action: query.word("action"),
        actor: query.word("actor"),
        request_id: query.word("request_id"),
        since: query.time("since"),
        until: query.time("until"),
    }
}

fn write_token(order: EventOrder, seq: i64) -> String {
    let way = if order == EventOrder::NewestFirst { "<" } else { ">" };
    URL_SAFE_NO_PAD.encode(format!("{way}{seq}"))
}

/// The event that the page begins after.
fn token(query: &mut Query, order: EventOrder) -> Option<i64> {
    let text = query.text("page_token").filter(|text| !text.is_empty())?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let way = if order == EventOrder::NewestFirst { '<' } else { '>' };
    let seq = text.strip_prefix(way).and_then(|seq| seq.parse().ok()).filter(|seq: &i64| *seq >= 0);
    if seq.is_none() {
        let detail = "take it unchanged from next_page_token of the page before, with the same order_by";
        query.wrong("?page_token", "INVALID_VALUE", detail);
    }
    seq
}
