//! `GET /v1/events`: the history of changes, in pages and as a stream.

use axum::extract::{Request, State};
use metapaas_core::authz::{Projects, authorize};
use metapaas_core::descriptor::Action;
use metapaas_core::error::Error;
use metapaas_core::iam::Listed;
use metapaas_core::query::{Fields, Literal, Order};
use metapaas_core::registry::Registry;
use metapaas_core::request::RequestContext;
use metapaas_core::store::events::{EventFilter, EventOrder, EventRange, FIELDS, MEMBERS};
use metapaas_core::watch::{Begin, EventWatchRequest};

use super::Answer;
use super::headers::{RequestId, bearer};
use super::lists::{ListOf, ListRequest};
use super::query::Query;
use super::resources::{authenticate, is_stream_wanted, split};
use super::state::App;
use super::stream::{last_event_id, respond};

/// `GET /v1/events`
pub(super) async fn list(State(app): State<App>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    let context = authenticate(&app, &parts.headers, id).await?;
    if is_stream_wanted(&parts.headers) {
        return watch(&app, &context, &parts).await;
    }
    let (request, filter) = asked(&app.registry, parts.uri.query())?;
    let descends = request.listing.order.keys().first().is_none_or(|key| key.descends);
    let order = if descends { EventOrder::NewestFirst } else { EventOrder::OldestFirst };
    let from = match request.listing.after.as_ref().and_then(|after| after.keys.first()) {
        Some(Some(Literal::Int(seq))) => Some(*seq),
        _ => None,
    };
    let (after, upto) = match order {
        EventOrder::NewestFirst => (0, from.map_or(i64::MAX, |from| from.saturating_sub(1))),
        // What is read is never gone back for, so it ends where the order is decided.
        EventOrder::OldestFirst => (from.unwrap_or_default(), app.hub.decided().await?),
    };
    let readable = readable(&app.registry, &context, Action::Read);
    // One more than asked for tells whether there is a next page.
    let range = EventRange { order, after, upto, limit: request.limit + 1 };
    let mut items = app.store.events(&readable, &filter, range).await?;
    let has_more = items.len() > usize::from(request.limit);
    items.truncate(request.limit.into());
    Ok(request.answer(&Listed { items, has_more }))
}

async fn watch(app: &App, context: &RequestContext, parts: &axum::http::request::Parts) -> Answer {
    let (own, of_list) = split(parts.uri.query());
    let mut query = Query::parse(Some(&own), &["last_event_id"]);
    let resume = last_event_id(&parts.headers, &mut query);
    query.finish()?;
    let (_, filter) = asked(&app.registry, Some(&of_list))?;
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

/// Where the caller may read the rows of each type.
fn readable(
    registry: &Registry,
    context: &RequestContext,
    action: Action,
) -> Vec<(&'static str, &'static str, Projects)> {
    let types = registry.types().iter().map(|registered| registered.ty);
    types.map(|ty| (ty.slug, ty.plural, authorize(context, ty, action).reach())).collect()
}

/// What a list of events asks for.
fn asked(registry: &Registry, query: Option<&str>) -> Result<(ListRequest, EventFilter), Error> {
    let fields = Fields::new(FIELDS);
    let newest_first = Order::parse(&fields, "seq desc").unwrap_or_default();
    let list = ListOf {
        fields,
        members: MEMBERS.to_vec(),
        hidden: Vec::new(),
        more: &["project_id", "type", "plural", "action", "actor", "request_id", "since", "until"],
        order: newest_first,
        place: "events".into(),
    };
    let (request, filter) = ListRequest::of(&list, query, |query| filter(registry, query))?;
    let (project_id, also) = (request.project, request.listing.filter.clone());
    Ok((request, EventFilter { project_id, also, ..filter }))
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
        slug,
        plural: query.word("plural"),
        action: query.word("action"),
        actor: query.word("actor"),
        request_id: query.word("request_id"),
        since: query.time("since"),
        until: query.time("until"),
        ..EventFilter::default()
    }
}
