//! Bindings of an instance in a pass: what those it has give it, and whom it has to accept.

use chrono::{DateTime, Utc};
use metapaas_protocol::ItemError;
use uuid::Uuid;

use super::Reconciler;
use super::summary;
use crate::authz::authorize;
use crate::descriptor::Action;
use crate::field_type::Secret;
use crate::offer::{Link, LinkState, Ties};
use crate::plan::Planned;
use crate::registry::RegisteredType;
use crate::request::RequestContext;
use crate::resource::Resource;
use crate::store::links::{Denied, LinkRow};
use crate::store::{StoreError, now};

/// What is waited for wakes the instance; the pause is for a change that nobody told of.
const LOOK_AGAIN: chrono::Duration = chrono::Duration::seconds(10);

/// What a pass found of bindings.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) ties: Ties,
    /// Those on their way out whose credentials are still accepted, and why, for people.
    leaving: Vec<(Uuid, String)>,
}

impl Reconciler {
    /// Looks at all bindings of an instance, and forgets those that have come to their end.
    pub(super) async fn ties(&self, root: &RegisteredType, instance: &Resource) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let registry = self.store.registry();
        if registry.offer(root.ty.slug).is_some() && !instance.is_deleting() {
            found.ties.bound = self.store.bound_to(instance.meta.id).await?;
        }
        if !registry.binds(root.index) {
            return Ok(found);
        }
        for link in self.store.links_of(instance.meta.id).await? {
            if instance.is_deleting() {
                self.let_go(&link).await?;
            } else if link.is_leaving {
                match self.revoked(&link).await? {
                    None => self.store.forget_link(link.id).await?,
                    Some(why) => found.leaving.push((link.id, why)),
                }
            } else {
                let state = self.state(&link).await?;
                found.ties.links.push(Link { id: link.id, key: link.key().to_owned(), state });
            }
        }
        Ok(found)
    }

    /// The other instance is told before this one is gone.
    async fn let_go(&self, link: &LinkRow) -> Result<(), StoreError> {
        let Some(root) = self.store.registry().root(&link.target_slug).filter(|_| !link.is_leaving) else {
            return Ok(());
        };
        let allowed = authorize(&RequestContext::system("reconcile"), root.ty, Action::Update);
        self.store.unbind(&allowed, link).await
    }

    /// Forgets what an instance was bound to, when nothing else is left of it.
    pub(super) async fn forget_ties(&self, instance: &Resource) -> Result<(), StoreError> {
        match self.store.registry().of(instance.ty) {
            Some(root) if self.store.registry().binds(root.index) => {
                self.store.forget_links(instance.meta.id).await
            }
            _ => Ok(()),
        }
    }

    /// Why the other instance may still accept the credentials of a binding on its way out.
    async fn revoked(&self, link: &LinkRow) -> Result<Option<String>, StoreError> {
        let target = self.store.linked(link).await?;
        let target = target.filter(|target| target.meta.observed_generation < link.generation);
        Ok(target.map(|target| format!("{} has yet to revoke the credentials", of(&target))))
    }

    async fn state(&self, link: &LinkRow) -> Result<LinkState, StoreError> {
        let Some(target) = self.store.linked(link).await? else {
            return Ok(LinkState::Refused("what it leads to is gone".into()));
        };
        let accepts = target.meta.observed_generation >= link.generation;
        let bound = self.store.bound(link)?;
        Ok(match self.store.offered(&target, &bound).await? {
            Err(Denied::Refused(error)) => LinkState::Refused(error.detail),
            _ if !accepts => {
                let status = &target.meta.status;
                LinkState::Waiting(format!("{} is {status} and does not accept it yet", of(&target)))
            }
            Err(Denied::Later(why)) => LinkState::Away(why),
            Ok(environment) => LinkState::Ready(Secret::new(environment)),
        })
    }
}

fn of(target: &Resource) -> String {
    format!("{}/{}", target.ty.slug, target.key())
}

impl Found {
    /// Says of the rows of bindings what is waited for, and which cannot be served.
    pub(super) fn tell(&self, planned: &mut Planned, children: &[Vec<Resource>]) {
        for row in children.iter().flatten() {
            if let Some((_, why)) = self.leaving.iter().find(|(id, _)| *id == row.meta.id) {
                planned.waiting.insert(summary::item(row), why.clone());
            }
            let link = self.ties.links.iter().find(|link| link.id == row.meta.id);
            match link.map(|link| &link.state) {
                Some(LinkState::Waiting(why)) => {
                    planned.waiting.insert(summary::item(row), why.clone());
                }
                Some(LinkState::Refused(why)) => planned.errors.push(ItemError {
                    item: summary::item(row),
                    code: "OFFER_REFUSED".into(),
                    message: why.clone(),
                }),
                Some(LinkState::Ready(_) | LinkState::Away(_)) | None => {}
            }
        }
    }

    /// When to look again if nobody tells.
    pub(super) fn look_again_at(&self) -> Option<DateTime<Utc>> {
        let waits = self.ties.links.iter().any(|link| !matches!(link.state, LinkState::Ready(_)));
        (waits || !self.leaving.is_empty()).then(|| now() + LOOK_AGAIN)
    }
}
