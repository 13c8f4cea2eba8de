//! What requests do to rows: make them, change them, let them go.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::references::References;
use super::statements::{is_dropped_reference, slots};
use super::write::{Companion, Effect, Unwritten, Write, WriteOptions, Written};
use super::{diff, now};
use crate::authz::Allowed;
use crate::descriptor::FieldDescriptor;
use crate::error::{Error, ErrorCode};
use crate::hook::ChangeKind;
use crate::registry::RegisteredType;
use crate::resource::ids::new_id;
use crate::resource::{Change, Datum, Meta, NewResource, Resource};
use crate::status::{Condition, Ready};
use crate::store::value::{Arg, raw_json};
use crate::store::{Store, StoreError, Tx, codec};

impl Store {
    /// Makes a row, below `parent` for children.
    ///
    /// # Errors
    /// `Forbidden`, `NameTaken`, `InvalidState` when the instance is on its way out, `Unavailable`.
    pub async fn create(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        parent: Option<&Resource>,
        new: NewResource,
        options: &WriteOptions,
    ) -> Result<Written, Error> {
        let ty = registered.ty;
        // A child belongs where its parent does.
        let project_id = parent.map_or(new.project_id, |parent| parent.meta.project_id);
        allowed.in_project(project_id)?;
        if let Some(parent) = parent.filter(|parent| parent.is_deleting()) {
            return Err(deleting(parent));
        }
        let now = now();
        let id = new_id(now);
        let meta = Meta {
            id,
            project_id,
            instance_id: parent.map_or(id, |parent| parent.meta.instance_id),
            parent_id: parent.map_or(id, |parent| parent.meta.id),
            name: new.name,
            description: new.description,
            version: new.version,
            deletion_protection: new.deletion_protection,
            labels: raw_json(&new.labels),
            status: "PENDING".into(),
            conditions: waiting(now),
            nodes: ty.is_instance().then(|| raw_json(&json!([]))),
            generation: 1,
            observed_generation: 0,
            held_generation: 0,
            revision: 0,
            created_at: now,
            updated_at: now,
            deleting_at: None,
        };
        let mut resource = Resource { ty, meta, fields: new.fields.iter().map(|_| Datum::Null).collect() };
        let key = key_of(&resource, &new.fields);
        let mut args = self.arguments(allowed, &resource, &key, "created", None);
        for (field, value) in ty.fields.iter().zip(&new.fields) {
            args.push(codec::encode(&self.keys, ty, field, id, value));
        }
        for (index, value) in new.fields.into_iter().enumerate() {
            let field = &ty.fields[index];
            // What a dry run generates is never used, so it is nothing to show.
            let is_shown = new.generated.contains(&index) && options.effect == Effect::Kept;
            resource.fields[index] = if is_shown {
                Datum::Written(value)
            } else {
                datum(field, value, &args[slots::FIELDS + index])
            };
        }
        let options = self.admitting(registered, ChangeKind::Create, &resource, options)?;
        let (options, linked) = self.binding(allowed, registered, parent, &resource, options).await?;
        let operation = Some(&self.statements(registered).create);
        let write = Write { action: "create", operation, args: &args, row: resource, removal: None };
        match self.write(write, &options).await {
            Ok(written) => {
                linked.into_iter().for_each(|target| self.changed(target));
                Ok(written)
            }
            Err(reason) => {
                let guarded = || parent.map_or_else(|| Error::internal("a create answered no row"), deleting);
                Err(self.explain(allowed, registered, reason, &args, &key, guarded).await)
            }
        }
    }

    /// Writes a change onto `current`, when the row still has its revision.
    ///
    /// # Errors
    /// `Forbidden`, `PreconditionFailed` when the row has changed since, `NameTaken`, `InvalidState`, `Unavailable`.
    pub async fn update(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        current: &Resource,
        change: Change,
        options: &WriteOptions,
    ) -> Result<Written, Error> {
        let key = current.key();
        allowed.on_row(current.meta.project_id, &key)?;
        if current.is_deleting() {
            return Err(deleting(current));
        }
        if change.is_empty() {
            return self.unchanged("update", current, options).await;
        }
        let mut updated = current.clone();
        let changes_spec = change.changes_spec();
        if let Some(description) = change.description {
            updated.meta.description = description;
        }
        if let Some(labels) = change.labels {
            updated.meta.labels = raw_json(&labels);
        }
        if let Some(version) = change.version {
            updated.meta.version = version;
        }
        if let Some(protection) = change.deletion_protection {
            updated.meta.deletion_protection = protection;
        }
        updated.meta.updated_at = now();
        if changes_spec {
            if matches!(updated.meta.status.as_str(), "ACTIVE" | "ERROR") {
                updated.meta.status = "UPDATING".into();
            }
            updated.meta.conditions = waiting(updated.meta.updated_at);
        }
        let mut args = self.arguments(allowed, &updated, &key, "updated", None);
        args[slots::GENERATION_STEP] = Arg::from(i64::from(changes_spec));
        let new_secrets: Vec<(usize, Value)> =
            change.fields.iter().filter(|(index, _)| change.generated.contains(index)).cloned().collect();
        self.field_arguments(current, change.fields, &mut args, &mut updated);
        args[slots::DETAIL] = Arg::from(raw_json(&diff::detail(current, &updated)));
        if options.effect == Effect::Kept {
            for (index, value) in &new_secrets {
                updated.fields[*index] = Datum::Written(value.clone());
            }
        }
        let options = self.admitting(registered, ChangeKind::Update, current, options)?;
        let operation = Some(&self.statements(registered).update);
        let write = Write { action: "update", operation, args: &args, row: updated, removal: None };
        match self.write(write, &options).await {
            Ok(written) => {
                match &written {
                    // A row that shows a secret this once is not to be answered again.
                    Written::Kept(row) if new_secrets.is_empty() => {
                        self.recent.insert(row.meta.id, (**row).clone());
                    }
                    _ => self.recent.invalidate(&current.meta.id),
                }
                Ok(written)
            }
            Err(reason) => {
                let guarded = || changed_meanwhile(current);
                Err(self.explain(allowed, registered, reason, &args, &key, guarded).await)
            }
        }
    }

    /// Adds the values of all fields, those of `changed` new, and puts the new ones into `updated`.
    pub(super) fn field_arguments(
        &self,
        current: &Resource,
        changed: Vec<(usize, Value)>,
        args: &mut Vec<Arg>,
        updated: &mut Resource,
    ) {
        let ty = current.ty;
        let mut changed = changed.into_iter().peekable();
        for (index, field) in ty.fields.iter().enumerate() {
            let value = changed.next_if(|(at, _)| *at == index).map(|(_, value)| value);
            args.push(match (&value, &current.fields[index]) {
                (Some(value), _) => codec::encode(&self.keys, ty, field, current.meta.id, value),
                (None, Datum::Sealed(sealed)) => codec::keep(&self.keys, ty, field, current.meta.id, sealed),
                (None, Datum::Json(raw)) => Arg::from(raw.clone()),
                (None, datum) => codec::encode(&self.keys, ty, field, current.meta.id, &datum.to_json()),
            });
            if let Some(value) = value {
                updated.fields[index] = datum(field, value, &args[slots::FIELDS + index]);
            }
        }
    }

    /// Asks for a row to go away, and takes it away at once when nothing is left of it. A repeat finds it on its way.
    ///
    /// # Errors
    /// `Forbidden`, `PreconditionFailed` when the row has changed since, `InvalidState` when it is protected against
    /// deletion, `InUse` when a row that would not go with it
    /// refers to it or to one below it, `Unavailable`.
    pub async fn delete(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        current: &Resource,
        options: &WriteOptions,
    ) -> Result<Written, Error> {
        self.let_go(allowed, registered, current, Change::default(), options).await
    }

    /// The same, with what the type's hook notes on the row for its nodes.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub async fn let_go(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        current: &Resource,
        change: Change,
        options: &WriteOptions,
    ) -> Result<Written, Error> {
        let key = current.key();
        allowed.on_row(current.meta.project_id, &key)?;
        if current.is_deleting() && change.is_empty() {
            return self.unchanged("delete", current, options).await;
        }
        // Whoever sets it meanwhile raises the revision, which the statement names.
        if current.meta.deletion_protection {
            let detail = format!(
                "{} {key:?} is protected against deletion; set deletion_protection to false first",
                current.ty.name
            );
            return Err(Error::new(ErrorCode::InvalidState, detail));
        }
        let mut going = current.clone();
        let now = now();
        going.meta.updated_at = now;
        going.meta.deleting_at = Some(now);
        going.meta.status = "DELETING".into();
        let mut args = self.arguments(allowed, &going, &key, "deleting", None);
        self.field_arguments(current, change.fields, &mut args, &mut going);
        for (field, datum) in registered.ty.fields.iter().zip(&mut going.fields) {
            if is_dropped_reference(field) {
                *datum = Datum::Null;
            }
        }
        args[slots::DETAIL] = Arg::from(raw_json(&diff::detail(current, &going)));
        let options = &self.admitting(registered, ChangeKind::Delete, current, options)?;
        let (options, linked) = &self.unbinding(allowed, registered, current, options).await?;
        let options = &self.unless_bound(current, options);
        let references = &self.references[registered.index];
        let unused = references.may_be_used().then(|| {
            let (references, row, args) = (references.clone(), current.clone(), args.clone());
            options.with(Arc::new(Unused { references, row, args }))
        });
        let operation = Some(&self.statements(registered).mark_deleting);
        let removal = self.removal(allowed, registered, &going);
        let options = unused.as_ref().unwrap_or(options);
        let write = |removal, row| Write { action: "delete", operation, args: &args, row, removal };
        let written = match self.write(write(removal, going.clone()), options).await {
            // A row that is on its way out still refers to it: a worker removes them in turn.
            Err(Unwritten::Failed(StoreError::Reference { .. })) => {
                self.write(write(None, going), options).await
            }
            written => written,
        };
        if written.is_ok() {
            linked.iter().for_each(|target| self.changed(*target));
        }
        written.map_err(|reason| match reason {
            Unwritten::Guarded => changed_meanwhile(current),
            Unwritten::Refused(error) => error,
            Unwritten::Failed(error) => error.into(),
        })
    }

    /// A change to what a row is already, which is no change; what goes with it happens all the same.
    async fn unchanged(
        &self,
        action: &'static str,
        current: &Resource,
        options: &WriteOptions,
    ) -> Result<Written, Error> {
        let write = Write { action, operation: None, args: &[], row: current.clone(), removal: None };
        self.write(write, options).await.map_err(|reason| match reason {
            Unwritten::Guarded => changed_meanwhile(current),
            Unwritten::Refused(error) => error,
            Unwritten::Failed(error) => error.into(),
        })
    }
}

/// Nobody refers to a row that is about to go, and nobody begins to.
#[derive(Debug)]
struct Unused {
    references: Arc<References>,
    row: Resource,
    args: Vec<Arg>,
}

impl Companion for Unused {
    fn before<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), Error>> {
        Box::pin(self.references.unused(tx, &self.row, &self.args))
    }
}

fn key_of(resource: &Resource, fields: &[Value]) -> String {
    let ty = resource.ty;
    match (&resource.meta.name, ty.key_name()) {
        (Some(name), _) => name.clone(),
        (None, Some(key)) => {
            let index = ty.fields.iter().position(|field| field.name == key);
            match index.map(|index| &fields[index]) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => resource.meta.id.to_string(),
            }
        }
        (None, None) => resource.meta.id.to_string(),
    }
}

/// The conditions of a row whose change nobody has looked at yet.
pub(super) fn waiting(now: DateTime<Utc>) -> Box<RawValue> {
    raw_json(&[Condition::ready(Ready::no("Pending", "waiting for a worker"), &[], now)])
}

/// A canonical value, written as `arg`, as the store would read it back.
fn datum(field: &FieldDescriptor, value: Value, arg: &Arg) -> Datum {
    match (arg, value) {
        (Arg::Text(Some(sealed)), _) if field.is_secret() => Datum::Sealed(sealed.clone()),
        (_, Value::Null) => Datum::Null,
        (_, other) => Datum::Written(other),
    }
}

pub(super) fn deleting(row: &Resource) -> Error {
    Error::new(ErrorCode::InvalidState, format!("{} {:?} is being deleted", row.ty.name, row.key()))
}

pub(super) fn changed_meanwhile(row: &Resource) -> Error {
    let detail = format!("{} {:?} has changed since it was read; read it again", row.ty.name, row.key());
    Error::new(ErrorCode::PreconditionFailed, detail)
}
