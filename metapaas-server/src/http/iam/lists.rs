//! Lists of IAM, as pages and as streams.

use std::sync::Arc;

use futures::FutureExt;
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::Action;
use metapaas_core::error::Error;
use metapaas_core::iam::{Iam, IamList, Listed, PageAt};
use metapaas_core::request::RequestContext;
use metapaas_core::watch::{Begin, ListWatchRequest, RowsPage};
use serde::Serialize;
use uuid::Uuid;

use super::Call;
use crate::http::Answer;
use crate::http::headers::bearer;
use crate::http::lists::{ListOf, ListRequest, select};
use crate::http::query::Query;
use crate::http::resources::{is_stream_wanted, reach, split};
use crate::http::stream::{last_event_id, respond};

/// Rows that a stream reads at a time.
const PAGE: u16 = 100;

/// A part of a list, and who asks for it.
pub(super) struct Part {
    pub(super) iam: Arc<Iam>,
    pub(super) allowed: Allowed,
    pub(super) project: Option<Uuid>,
    pub(super) page: PageAt,
}

impl Call<'_> {
    /// `GET` on a collection: `page` reads a part of it, `whose` tells a row's id and project.
    pub(super) async fn list<T, F, W>(
        &self,
        list: &'static IamList,
        whose: W,
        page: impl Fn(Part) -> F + Send + Sync + 'static,
    ) -> Answer
    where
        T: Serialize + Send + 'static,
        F: Future<Output = Result<Listed<T>, Error>> + Send + 'static,
        W: Fn(&T) -> (Uuid, Option<Uuid>) + Send + Sync + 'static,
    {
        if is_stream_wanted(self.headers) {
            return self.watch(list, whose, page).await;
        }
        let of = ListOf::iam(list, self.path);
        let (request, ()) = ListRequest::of(&of, self.query, |_| ())?;
        let allowed = self.allowed(list.ty, Action::List);
        let (iam, project) = (self.app.iam.clone(), request.project);
        Ok(request.answer(&page(Part { iam, allowed, project, page: request.page() }).await?))
    }

    async fn watch<T, F, W>(
        &self,
        list: &'static IamList,
        whose: W,
        page: impl Fn(Part) -> F + Send + Sync + 'static,
    ) -> Answer
    where
        T: Serialize + Send + 'static,
        F: Future<Output = Result<Listed<T>, Error>> + Send + 'static,
        W: Fn(&T) -> (Uuid, Option<Uuid>) + Send + Sync + 'static,
    {
        let ty = list.ty;
        let (own, of_list) = split(self.query);
        let mut query = Query::parse(Some(&own), &["last_event_id"]);
        let resume = last_event_id(self.headers, &mut query);
        query.finish()?;
        let list = ListOf::iam(list, self.path);
        let (request, ()) = ListRequest::of(&list, Some(&of_list), |_| ())?;
        let ListRequest { listing, project, selection, .. } = request;
        let selection = Arc::new(selection);
        // Rows that the caller may list, of projects in which it may watch.
        let watched = Arc::new(reach(&self.allowed(ty, Action::Watch), project)?);
        let still = watched.clone();
        let still_allowed = move |context: &RequestContext| {
            let covers = authorize(context, ty, Action::Watch).reach().covers(&still);
            if covers { Ok(()) } else { Err(Error::forbidden(&ty.permission(Action::Watch))) }
        };
        let (iam, allowed, whose) = (self.app.iam.clone(), self.allowed(ty, Action::List), Arc::new(whose));
        let read = move |after: Option<Uuid>| {
            let at = PageAt { listing: listing.clone(), limit: PAGE }.after(after);
            let found = page(Part { iam: iam.clone(), allowed: allowed.clone(), project, page: at });
            let (watched, whose, selection) = (watched.clone(), whose.clone(), selection.clone());
            async move {
                let found = found.await?;
                let next = found.items.last().filter(|_| found.has_more).map(|last| whose(last).0);
                let shown = found.items.iter().filter_map(|row| {
                    let (id, project) = whose(row);
                    let shown = || (id, select(selection.as_ref().as_ref(), row));
                    project.is_none_or(|project| watched.contains(project)).then(shown)
                });
                Ok(RowsPage { rows: shown.collect(), next })
            }
            .boxed()
        };
        let request = ListWatchRequest {
            page: Box::new(read),
            begin: resume.map_or(Begin::Whole, Begin::After),
            bearer: bearer(self.headers)?,
            request_id: self.context.request_id.clone(),
            still_allowed: Box::new(still_allowed),
        };
        let watch = self.app.hub.watch_list(request).await?;
        Ok(respond(watch, |mut watch| async move { watch.next().await.map(|text| (text, watch)) }))
    }
}
