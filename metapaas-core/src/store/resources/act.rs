//! Actions: an update of any fields, and the operation that tells what becomes of it, in one transaction.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::change::{changed_meanwhile, deleting, waiting};
use super::statements::slots;
use super::write::{Companion, Effect, Write, WriteOptions, Written};
use super::{diff, now};
use crate::action::ActionDescriptor;
use crate::authz::Allowed;
use crate::descriptor::Spec;
use crate::error::Error;
use crate::hook::ChangeKind;
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::resource::ids::new_id;
use crate::store::operations::{OperationRecord, OperationStatements, OperationStatus};
use crate::store::value::Arg;
use crate::store::{Store, Tx, raw_json};
use crate::validate::Acted;

/// An action that is about to be accepted, with the operation that it begins.
#[derive(Clone, Debug)]
pub struct ActionBegun {
    operation: OperationRecord,
    acted: Acted,
}

impl ActionBegun {
    /// The operation of `acted` on `current`.
    pub fn new(
        allowed: &Allowed,
        current: &Resource,
        action: &ActionDescriptor,
        parameters: &Spec,
        acted: Acted,
    ) -> Self {
        let context = allowed.context();
        let now = now();
        let operation = OperationRecord {
            id: new_id(now),
            project_id: current.meta.project_id,
            slug: current.ty.slug.into(),
            plural: current.ty.plural.into(),
            resource_id: current.meta.id,
            instance_id: current.meta.instance_id,
            name: current.key(),
            action: acted.verb.into(),
            status: OperationStatus::Pending,
            generation: 0,
            parameters: Some(raw_json(&kept(action, parameters))),
            error: None,
            actor_kind: context.actor.kind.as_str().into(),
            actor_id: (!context.actor.id.is_nil()).then_some(context.actor.id),
            actor_name: context.actor.name.to_string(),
            request_id: context.request_id.to_string(),
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        Self { operation, acted }
    }

    /// The id of the operation.
    pub const fn id(&self) -> Uuid {
        self.operation.id
    }

    /// The operation, for the first answer: with the secrets that are shown this once, unless nothing is kept.
    pub fn answer(&self, row: &Resource, effect: Effect) -> Map<String, Value> {
        let operation = OperationRecord { generation: row.meta.held_generation, ..self.operation.clone() };
        let mut answer = match serde_json::to_value(&operation) {
            Ok(Value::Object(answer)) => answer,
            _ => Map::new(),
        };
        let fields = &self.acted.change.fields;
        let shown = fields.iter().filter(|(index, _)| self.acted.generated.contains(index));
        let secrets: Map<String, Value> =
            shown.map(|(index, value)| (row.ty.fields[*index].name.to_owned(), value.clone())).collect();
        if !secrets.is_empty() && effect == Effect::Kept {
            answer.insert("secrets".into(), Value::Object(secrets));
        }
        answer
    }
}

/// The parameters as the operation keeps them: without secrets, and without what was not given.
fn kept(action: &ActionDescriptor, parameters: &Spec) -> Spec {
    let shown = action.parameters.iter().filter(|parameter| !parameter.is_secret());
    let given = shown.filter_map(|parameter| Some((parameter.name, parameters.get(parameter.name)?)));
    given
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

/// Keeps the operation beside its change.
#[derive(Debug)]
struct KeepOperation {
    statements: Arc<OperationStatements>,
    operation: OperationRecord,
}

impl Companion for KeepOperation {
    fn after<'t>(&'t self, tx: &'t mut Tx, row: &'t Resource) -> BoxFuture<'t, Result<(), Error>> {
        Box::pin(async move {
            let generation = row.meta.held_generation;
            let operation = OperationRecord { generation, ..self.operation.clone() };
            Ok(self.statements.insert(tx, &operation).await?)
        })
    }
}

impl Store {
    /// Writes what an action changes onto `current`, when the row still has its revision, and begins its operation.
    /// The generation rises also when no field changes.
    ///
    /// # Errors
    /// `Forbidden`, `PreconditionFailed` when the row has changed since, `NameTaken`, `InvalidState`,
    /// `QuotaExceeded`, `Unavailable`.
    pub async fn act(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        current: &Resource,
        begun: &ActionBegun,
        options: &WriteOptions,
    ) -> Result<Written, Error> {
        let key = current.key();
        allowed.on_row(current.meta.project_id, &key)?;
        if current.is_deleting() {
            return Err(deleting(current));
        }
        let mut row = current.clone();
        row.meta.updated_at = now();
        if matches!(row.meta.status.as_str(), "ACTIVE" | "ERROR") {
            row.meta.status = "UPDATING".into();
        }
        row.meta.conditions = waiting(row.meta.updated_at);
        let mut args = self.arguments(allowed, &row, &key, "updated", None);
        args[slots::GENERATION_STEP] = Arg::from(1);
        self.field_arguments(current, begun.acted.change.fields.clone(), &mut args, &mut row);
        let mut detail = diff::detail(current, &row);
        detail["action"] = json!(begun.acted.verb);
        detail["operation_id"] = json!(begun.id());
        args[slots::DETAIL] = Arg::from(raw_json(&detail));
        let keep =
            KeepOperation { statements: Arc::clone(&self.operation), operation: begun.operation.clone() };
        let options =
            self.admitting(registered, ChangeKind::Update, current, &options.with(Arc::new(keep)))?;
        let operation = Some(&self.statements(registered).act);
        let write = Write { action: "act", operation, args: &args, row, removal: None };
        match self.write(write, &options).await {
            Ok(written) => {
                if let Written::Kept(row) = &written {
                    self.recent.insert(row.meta.id, (**row).clone());
                }
                Ok(written)
            }
            Err(reason) => {
                let guarded = || changed_meanwhile(current);
                Err(self.explain(allowed, registered, reason, &args, &key, guarded).await)
            }
        }
    }
}
