//! Events for watches: which rows changed between two positions, and the rows as they are now.

use std::collections::HashMap;

use sea_query::{Alias, ExprTrait, Order, Query};
use uuid::Uuid;

use super::{col, table};
use crate::authz::Projects;
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::store::resources::rows::read_resource;
use crate::store::resources::statements::select;
use crate::store::statement::{Statement, slot};
use crate::store::value::{Arg, Required};
use crate::store::{Store, StoreError};

/// Rows read by id in one statement.
const IDS_MAX: usize = 256;

/// That a row changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that the change gave the row.
    pub position: i64,
    /// The row's type: its place in the registry.
    pub type_index: usize,
    /// The row.
    pub id: Uuid,
    /// Its project.
    pub project_id: Uuid,
    /// The instance at its root.
    pub instance_id: Uuid,
    /// The row above it.
    pub parent_id: Uuid,
    /// What paths name it by.
    pub key: String,
    /// What happened.
    pub action: ChangeAction,
}

/// All changes from one position to another.
#[derive(Clone, Debug)]
pub struct Changes {
    /// In their order.
    pub changes: Vec<Change>,
    /// Up to here there are no others.
    pub upto: i64,
}

/// What happened to a row, as far as watches care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeAction {
    /// It was made.
    Created,
    /// It is gone.
    Deleted,
    /// Anything else.
    Changed,
}

/// Whose changes are read.
#[derive(Clone, Copy, Debug)]
pub enum ChangesOf<'a> {
    /// All hosted rows.
    Everything,
    /// Rows of one type.
    Rows(RowsOf<'a>),
}

/// The rows of one collection.
#[derive(Clone, Copy, Debug)]
pub struct RowsOf<'a> {
    /// Their type.
    pub registered: &'a RegisteredType,
    /// The instance and the row that they are under, for children.
    pub under: Option<(Uuid, Uuid)>,
    /// The projects that they are in.
    pub projects: &'a Projects,
}

impl Store {
    /// Changes with positions after `after` and up to `upto`, in their order, at most about `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn changes_between(
        &self,
        of: ChangesOf<'_>,
        after: i64,
        upto: i64,
        limit: u16,
    ) -> Result<Changes, StoreError> {
        let columns = [
            "seq",
            "type",
            "plural",
            "resource_id",
            "project_id",
            "instance_id",
            "parent_id",
            "name",
            "action",
        ];
        let mut query = Query::select();
        query
            .columns(columns.map(Alias::new))
            .from(table())
            .and_where(col("seq").gt(slot(0)))
            .and_where(col("seq").lte(slot(1)))
            .order_by(Alias::new("seq"), Order::Asc)
            // Slot 2, as all numbers in statements are slots.
            .limit(2);
        let mut args = vec![Arg::from(after), Arg::from(upto), Arg::from(i64::from(limit))];
        if let ChangesOf::Rows(rows) = of {
            // An empty list in SQL is written with numbers, and numbers in statements are slots.
            if rows.projects.is_empty() {
                return Ok(Changes { changes: Vec::new(), upto });
            }
            let mut add = |arg: Arg| {
                args.push(arg);
                slot(args.len() - 1)
            };
            query.and_where(col("type").eq(add(Arg::from(rows.registered.ty.slug))));
            query.and_where(col("plural").eq(add(Arg::from(rows.registered.ty.plural))));
            if let Some((instance, parent)) = rows.under {
                query.and_where(col("instance_id").eq(add(Arg::from(instance))));
                query.and_where(col("parent_id").eq(add(Arg::from(parent))));
            }
            if let Projects::Some(projects) = rows.projects {
                let slots: Vec<_> = projects.iter().map(|project| add(Arg::from(*project))).collect();
                query.and_where(col("project_id").is_in(slots));
            }
        }
        let statement = Statement::new(self.database.dialect(), &query);
        let rows = self.database.fetch("read changes", &statement, &args).await?;
        let mut changes = Vec::with_capacity(rows.len());
        let mut last = after;
        for row in &rows {
            last = row.int(0).required("seq")?;
            let (slug, plural) = (row.text(1).required("type")?, row.text(2).required("plural")?);
            // A type that this distribution does not host has no watchers.
            let Some(registered) = self.registry.find(&slug, &plural) else { continue };
            let id = row.uuid(3).required("resource_id")?;
            let instance_id = row.uuid(5)?.unwrap_or(id);
            changes.push(Change {
                position: last,
                type_index: registered.index,
                id,
                project_id: row.uuid(4).required("project_id")?,
                instance_id,
                // Events of before there was the column have none; what is right below an instance is under it.
                parent_id: row.uuid(6)?.unwrap_or(instance_id),
                key: row.text(7).required("name")?,
                action: match row.text(8).required("action")?.as_str() {
                    "created" => ChangeAction::Created,
                    "deleted" => ChangeAction::Deleted,
                    _ => ChangeAction::Changed,
                },
            });
        }
        let is_full = rows.len() >= usize::from(limit);
        Ok(Changes { changes, upto: if is_full { last } else { upto } })
    }

    /// The rows with these ids, as they are now. Those that are gone are not there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn rows_by_id(
        &self,
        registered: &RegisteredType,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, Resource>, StoreError> {
        let mut found = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(IDS_MAX) {
            // A few lengths make a few statements, which the databases keep prepared.
            let length = [1, 4, 16, 64].into_iter().find(|length| ids.len() <= *length).unwrap_or(IDS_MAX);
            let mut args: Vec<Arg> = ids.iter().map(|id| Arg::from(*id)).collect();
            let last = args.last().cloned().unwrap_or(Arg::Uuid(None));
            args.resize(length, last);
            let mut query = select(registered.ty);
            query.and_where(col("id").is_in((0..length).map(slot)));
            let statement = Statement::new(self.database.dialect(), &query);
            for row in self.database.fetch("read changed rows", &statement, &args).await? {
                let resource = read_resource(registered.ty, &row)?;
                found.insert(resource.meta.id, resource);
            }
        }
        Ok(found)
    }
}
