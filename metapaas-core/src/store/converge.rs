//! What the reconciler reads and writes of instances and their children.

use uuid::Uuid;

use super::desired::{desired, observed};
use super::error::StoreError;
use super::resources::diff;
use super::resources::rows::read_resource;
use super::resources::statements::slots;
use super::value::{Arg, Row};
use super::work::Claim;
use super::{Store, codec, now};
use crate::authz::authorize;
use crate::descriptor::Action;
use crate::error::Error;
use crate::plan::DesiredTree;
use crate::registry::RegisteredType;
use crate::request::RequestContext;
use crate::resource::{Datum, Resource};
use crate::store::statement::Statement;

impl Store {
    /// An instance and all rows below it, by type.
    pub(crate) async fn tree(
        &self,
        root: &RegisteredType,
        id: Uuid,
    ) -> Result<Option<(Resource, Vec<Vec<Resource>>)>, StoreError> {
        let mut args = vec![Arg::Uuid(None); slots::INSTANCE + 1];
        args[slots::ID] = Arg::from(id);
        args[slots::INSTANCE] = Arg::from(id);
        let rows = self.database.fetch("read an instance", &self.statements(root).by_id, &args).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let instance = read_resource(root.ty, row)?;
        let mut children = Vec::new();
        for child in self.registry.below(root.index) {
            let rows =
                self.database.fetch("read children", &self.statements(child).of_instance, &args).await?;
            children.push(rows.iter().map(|row| read_resource(child.ty, row)).collect::<Result<_, _>>()?);
        }
        Ok(Some((instance, children)))
    }

    /// The instance of `row` and all rows below it as plans and actions see them, without nodes.
    ///
    /// # Errors
    /// `NotFound` when the instance is no more, `Unavailable`.
    pub async fn desired_tree(&self, row: &Resource) -> Result<DesiredTree, Error> {
        let root = self.registry.root(row.ty.slug);
        let missing = || Error::not_found(format_args!("{} {}", row.ty.name, row.key()));
        let root = root.ok_or_else(missing)?;
        let (instance, children) = self.tree(root, row.meta.instance_id).await?.ok_or_else(missing)?;
        Ok(desired(&self.registry, &self.keys, root, &instance, &children, &[])?)
    }

    /// The same with the nodes that the instance has.
    ///
    /// # Errors
    /// As [`Store::desired_tree`].
    pub(crate) async fn observed_tree(&self, row: &Resource) -> Result<DesiredTree, Error> {
        let tree = self.desired_tree(row).await?;
        let nodes = self.nodes(row.meta.instance_id).await?;
        Ok(DesiredTree { nodes: nodes.iter().map(observed).collect(), ..tree })
    }

    /// Writes status, conditions, nodes and outputs of `row` over `before`, which has the same revision. `false` when
    /// the row has changed meanwhile, or the lease is lost.
    pub(crate) async fn write_observed(
        &self,
        lease: &Claim,
        before: &Resource,
        row: &Resource,
    ) -> Result<bool, StoreError> {
        let registered = self.registered(row)?;
        let detail = diff::detail(before, row);
        let allowed = authorize(&RequestContext::system("reconcile"), row.ty, Action::Update);
        let mut args = self.arguments(&allowed, row, &row.key(), "status", Some(&detail));
        args[slots::NOW] = Arg::from(now());
        args[slots::EPOCH] = Arg::from(lease.epoch);
        for (field, datum) in row.ty.fields.iter().zip(&row.fields) {
            // Only outputs are written; a secret's slot is not in the statement.
            let value = if field.output { datum.to_json() } else { serde_json::Value::Null };
            args.push(codec::encode(&self.keys, row.ty, field, row.meta.id, &value));
        }
        let statements = self.statements(registered);
        let rows = statements.observe.run(&self.database, "write a status", args).await?;
        if !rows.is_empty() {
            self.wake_waiting(row.meta.id).await?;
            self.wake_bound(row).await?;
            self.changed(row.meta.id);
        }
        Ok(!rows.is_empty())
    }

    /// Removes a row that was asked to go and has nothing left.
    pub(crate) async fn remove(&self, row: &Resource) -> Result<(), StoreError> {
        let registered = self.registered(row)?;
        let allowed = authorize(&RequestContext::system("reconcile"), row.ty, Action::Delete);
        let mut args = self.arguments(&allowed, row, &row.key(), "deleted", None);
        args[slots::NOW] = Arg::from(now());
        args[slots::GENERATION_STEP] = Arg::from(row.meta.generation);
        args.extend(row.fields.iter().map(|_: &Datum| Arg::Text(None)));
        let operation = &self.statements(registered).remove;
        if row.ty.is_instance() {
            let (operation, quotas, instance) = (operation.clone(), self.quotas.clone(), row.meta.id);
            let removed: Result<(), StoreError> = self
                .database
                .write("remove an instance", move |tx| {
                    Box::pin(async move {
                        operation.run_in(tx, "remove an instance", &args).await?;
                        quotas.release(tx, instance).await
                    })
                })
                .await;
            removed?;
            self.wake_bound(row).await?;
        } else {
            operation.run(&self.database, "remove a row", args).await?;
        }
        self.changed(row.meta.id);
        Ok(())
    }

    pub(super) fn registered(&self, row: &Resource) -> Result<&RegisteredType, StoreError> {
        self.registry.of(row.ty).ok_or_else(|| StoreError::Corrupt {
            action: "find a type",
            detail: format!("{} is not registered", row.ty.name),
        })
    }

    /// Runs one statement in a transaction of its own.
    pub(super) async fn run_write(
        &self,
        action: &'static str,
        statement: &Statement,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, StoreError> {
        if self.database.dialect() == super::Dialect::Postgres {
            return self.database.fetch(action, statement, &args).await;
        }
        let statement = statement.clone();
        self.database
            .write(action, move |tx| Box::pin(async move { tx.fetch(action, &statement, &args).await }))
            .await
    }
}
