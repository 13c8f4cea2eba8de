//! Rows of the hosted types: what requests do to them. Every function takes the [`Allowed`] token.

mod act;
mod admission;
mod change;
mod conflict;
pub(super) mod diff;
mod dry_run;
mod lists;
pub(super) mod references;
mod removal;
pub(super) mod rows;
pub(super) mod statements;
pub(super) mod write;

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::Value;
use uuid::Uuid;

pub use self::act::ActionBegun;
pub use self::dry_run::WouldBe;
pub(in crate::store) use self::lists::{condition, first_args, narrow};
pub use self::rows::Locator;
use self::statements::slots;
pub use self::write::{Effect, WriteOptions, Written};
use super::Store;
use super::error::StoreError;
use super::value::{Arg, raw_json};
use super::{codec, resources::statements::TypeStatements};
use crate::authz::Allowed;
use crate::descriptor::Spec;
use crate::error::Error;
use crate::registry::RegisteredType;
use crate::resource::Resource;

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The rows.
    pub items: Vec<Resource>,
    /// Whether more follow.
    pub has_more: bool,
}

/// The current time in the steps that both databases keep.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

impl Store {
    pub(super) fn statements(&self, registered: &RegisteredType) -> &TypeStatements {
        &self.types[registered.index]
    }

    /// Reads one row.
    ///
    /// # Errors
    /// `NotFound` also when the caller may not see it, `AmbiguousName`, `Unavailable`.
    pub async fn get(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        locator: &Locator,
    ) -> Result<Resource, Error> {
        let found = self.locate(allowed, registered, locator).await?;
        allowed.on_row(found.meta.project_id, &locator.last())?;
        Ok(found)
    }

    /// The row as its last update by this process left it, where the path names it by id. It may be out of date: it
    /// is good only to try a change on, since [`Self::update`] holds the row to its revision.
    pub fn recent(&self, registered: &RegisteredType, locator: &Locator) -> Option<Resource> {
        let [id] = locator.keys.as_slice() else { return None };
        let row = self.recent.get(&id.parse::<Uuid>().ok()?)?;
        std::ptr::eq(row.ty, registered.ty).then_some(row)
    }

    /// The canonical spec of a row, secrets in the open. For validation and plans, never for answers.
    ///
    /// # Errors
    /// When a secret cannot be opened.
    pub fn reveal(&self, resource: &Resource) -> Result<Spec, StoreError> {
        let ty = resource.ty;
        let fields = ty.fields.iter().zip(&resource.fields);
        fields
            .map(|(field, datum)| {
                let value = codec::reveal(&self.keys, ty, field, resource.meta.id, datum)?;
                Ok((field.name.to_owned(), value))
            })
            .collect()
    }

    /// The values before the fields, for any statement that changes a row.
    pub(super) fn arguments(
        &self,
        allowed: &Allowed,
        row: &Resource,
        key: &str,
        action: &str,
        detail: Option<&Value>,
    ) -> Vec<Arg> {
        let meta = &row.meta;
        let context = allowed.context();
        let args = vec![
            Arg::from(meta.id),
            Arg::from(meta.project_id),
            Arg::from(meta.instance_id),
            Arg::from(meta.parent_id),
            Arg::Text(meta.name.clone()),
            Arg::from(meta.description.as_str()),
            Arg::from(meta.version.as_str()),
            Arg::from(meta.labels.clone()),
            Arg::from(meta.status.as_str()),
            Arg::from(meta.conditions.clone()),
            Arg::Json(meta.nodes.clone()),
            Arg::from(meta.updated_at),
            Arg::from(meta.revision),
            Arg::from(0),
            Arg::from(context.actor.kind.as_str()),
            Arg::Uuid((!context.actor.id.is_nil()).then_some(context.actor.id)),
            Arg::from(&*context.actor.name),
            Arg::from(&*context.request_id),
            Arg::from(row.ty.slug),
            Arg::from(row.ty.plural),
            Arg::from(key),
            Arg::from(action),
            Arg::Json(detail.map(raw_json)),
            Arg::from(meta.observed_generation),
            Arg::from(meta.deletion_protection),
            Arg::from(false),
        ];
        debug_assert_eq!(args.len(), slots::FIELDS);
        args
    }
}
