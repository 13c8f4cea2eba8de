//! `Accept: text/event-stream` on a list: the same rows, as they change.

use axum::http::{HeaderMap, header};
use metapaas_core::authz::{Allowed, Projects, authorize};
use metapaas_core::descriptor::Action;
use metapaas_core::error::Error;
use metapaas_core::query::Selected;
use metapaas_core::registry::RegisteredType;
use metapaas_core::request::RequestContext;
use metapaas_core::resource::Resource;
use metapaas_core::store::Locator;
use metapaas_core::watch::{Begin, Render, View, WatchRequest};
use uuid::Uuid;

use super::super::Answer;
use super::super::headers::bearer;
use super::super::lists::ListRequest;
use super::super::query::Query;
use super::super::stream::{last_event_id, respond};
use super::Call;

/// Whether the client wants the list as a stream.
pub(in crate::http) fn is_wanted(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut stream, mut json) = (0.0, 0.0);
    for range in ranges.flat_map(|text| text.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        let quality = quality.unwrap_or_default();
        match media_type.as_str() {
            "text/event-stream" => stream = quality.max(stream),
            "application/json" => json = quality.max(json),
            _ => {}
        }
    }
    stream > 0.0 && stream >= json
}

impl Call<'_> {
    pub(super) async fn watch(&self, registered: &RegisteredType, mut locator: Locator) -> Answer {
        let (own, of_list) = split(self.query);
        let mut query = Query::parse(Some(&own), &["last_event_id"]);
        let resume = last_event_id(self.headers, &mut query);
        query.finish()?;
        let list = ListRequest::read(Some(&of_list), registered, &locator)?;
        let project = list.project;
        locator.project = project;
        let parent = self.parent(registered, &locator).await?;
        let allowed = self.allowed(registered, Action::Watch);
        if let Some(parent) = &parent {
            allowed.on_row(parent.meta.project_id, &parent.key())?;
        }
        let within = parent.as_ref().map(|parent| parent.meta.project_id).or(project);
        let projects = reach(&allowed, within)?;
        let (watched, ty) = (projects.clone(), registered.ty);
        let still_allowed = move |context: &RequestContext| {
            let reach = authorize(context, ty, Action::Watch).reach();
            // Who may not see the row above may not see what is under it either.
            let reach = match ty.parent {
                Some(above) => reach.and(authorize(context, above, Action::Read).sees()),
                None => reach,
            };
            if reach.covers(&watched) { Ok(()) } else { Err(Error::forbidden(&ty.permission(Action::Watch))) }
        };
        let request = WatchRequest {
            registered,
            under: parent.as_ref().map(|parent| (parent.meta.instance_id, parent.meta.id)),
            projects,
            begin: resume.map_or(Begin::Whole, Begin::After),
            view: view(list),
            bearer: bearer(self.headers)?,
            request_id: self.context.request_id.clone(),
            still_allowed: Box::new(still_allowed),
        };
        let watch = self.app.hub.watch(request).await?;
        Ok(respond(watch, |mut watch| async move { watch.next().await.map(|text| (text, watch)) }))
    }
}

/// The parameters of streams alone, with those that a stream cannot have, and those of every list.
pub(in crate::http) fn split(query: Option<&str>) -> (String, String) {
    let is_own = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        ["last_event_id", "limit", "page_token", "order_by"].contains(&name)
    };
    let (own, of_list): (Vec<&str>, Vec<&str>) = query.unwrap_or_default().split('&').partition(is_own);
    (own.join("&"), of_list.join("&"))
}

/// Which rows the watch is shown and what of them.
fn view(list: ListRequest) -> View {
    let ListRequest { listing, selection, .. } = list;
    let filter = (!listing.filter.is_everything()).then_some(listing.filter);
    View {
        filter,
        render: selection.map(|selection| -> Box<Render> {
            let shown =
                move |row: &Resource| serde_json::to_value(Selected { row, selection: Some(&selection) });
            Box::new(move |row| shown(row).unwrap_or_default())
        }),
    }
}

/// The projects whose rows the caller is told of: those in which it may see and watch them.
pub(in crate::http) fn reach(allowed: &Allowed, project: Option<Uuid>) -> Result<Projects, Error> {
    let wanted = project.map_or(Projects::All, |project| Projects::Some([project].into()));
    let seen = allowed.sees().and(&wanted);
    let reach = allowed.reach().and(&wanted);
    if reach.is_empty() && !seen.is_empty() {
        return Err(Error::forbidden(&allowed.ty().permission(allowed.action())));
    }
    Ok(reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_stream_are_told_from_those_of_a_list() {
        let split = |query| {
            let (own, of_list) = split(query);
            format!("{own} {of_list}")
        };
        assert_eq!(
            split(Some("a=1&last_event_id=7&filter=x&limit=5")),
            "last_event_id=7&limit=5 a=1&filter=x"
        );
        assert_eq!(split(None), " ");
    }

    #[test]
    fn a_stream_is_for_those_who_ask_for_it() {
        for (accept, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/json, text/event-stream;q=0.5", false),
            ("text/event-stream, */*;q=0.1", true),
            ("text/event-stream;q=0", false),
            ("*/*", false),
            ("text/*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(is_wanted(&headers), expected, "{accept}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
