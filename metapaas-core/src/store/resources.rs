//! Rows of the hosted types: what requests do to them. Every function takes the [`Allowed`] token.

pub(super) mod references;
pub(super) mod rows;
pub(super) mod statements;

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

pub use self::rows::Locator;
use self::rows::read_resource;
use self::statements::{holder, is_dropped_reference, list, slots, uniques};
use super::Store;
use super::error::StoreError;
use super::schema::index_name;
use super::statement::Statement;
use super::value::{Arg, Required, Row, raw_json};
use super::{codec, resources::statements::TypeStatements};
use crate::authz::{Allowed, Projects};
use crate::descriptor::{Action, FieldDescriptor, Spec};
use crate::error::{Error, ErrorCode, Problem};
use crate::registry::RegisteredType;
use crate::resource::{Change, Datum, Meta, NewResource, Resource};
use crate::status::{Condition, Ready};

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The rows.
    pub items: Vec<Resource>,
    /// Whether more follow.
    pub has_more: bool,
}

/// What a delete came to.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// There is work left; the row as it stands.
    Underway(Box<Resource>),
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

    /// Reads a page of the rows that the caller may see, oldest first; `parent` is the row above for children.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        parent: Option<&Resource>,
        project: Option<Uuid>,
        after: Option<Uuid>,
        limit: u16,
    ) -> Result<Page, Error> {
        if let Some(parent) = parent {
            let above = allowed.for_type(parent.ty).also(Action::Read);
            above.on_row(parent.meta.project_id, &parent.key())?;
            allowed.in_project(parent.meta.project_id)?;
        }
        let statements = self.statements(registered);
        let later = usize::from(after.is_some());
        let mut args = vec![
            Arg::Uuid(parent.map(|parent| parent.meta.id)),
            Arg::Uuid(after),
            // One more than asked for tells whether there is a next page.
            Arg::from(i64::from(limit) + 1),
        ];
        let dynamic: Statement;
        let narrowed = match (project, allowed.sees()) {
            // Children belong to their parent's project, which was looked at.
            _ if parent.is_some() => Projects::All,
            (Some(project), sees) if sees.contains(project) => Projects::Some([project].into()),
            (Some(_), _) => Projects::Some([].into()),
            (None, sees) => sees.clone(),
        };
        let statement = match &narrowed {
            Projects::All => &statements.list_all[later],
            Projects::Some(projects) => {
                args.extend(projects.iter().map(|project| Arg::from(*project)));
                match projects.len() {
                    0 => return Ok(Page { items: Vec::new(), has_more: false }),
                    1 => &statements.list_one[later],
                    _ => {
                        let select = list(registered.ty, &narrowed, after.is_some(), false);
                        dynamic = Statement::new(self.database.dialect(), &select);
                        &dynamic
                    }
                }
            }
        };
        let rows = self.database.fetch("list", statement, &args).await?;
        let has_more = rows.len() > usize::from(limit);
        let items = rows
            .iter()
            .take(limit.into())
            .map(|row| read_resource(registered.ty, row))
            .collect::<Result<_, StoreError>>()?;
        Ok(Page { items, has_more })
    }

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
    ) -> Result<Resource, Error> {
        let ty = registered.ty;
        // A child belongs where its parent does.
        let project_id = parent.map_or(new.project_id, |parent| parent.meta.project_id);
        allowed.in_project(project_id)?;
        if let Some(parent) = parent.filter(|parent| parent.is_deleting()) {
            return Err(deleting(parent));
        }
        let id = Uuid::now_v7();
        let now = now();
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
        let rows = self.statements(registered).create.run(&self.database, "create", args.clone()).await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => return Err(self.explain_conflict(allowed, registered, error, &args, &key).await),
        };
        let Some(row) = rows.first() else {
            self.missing_references(registered, &args).await?;
            return Err(parent.map_or_else(|| Error::internal("a create answered no row"), deleting));
        };
        resource.meta.revision = row.int(0).required("revision")?;
        resource.meta.held_generation = held(registered, row)?;
        for (index, value) in new.fields.into_iter().enumerate() {
            let field = &ty.fields[index];
            resource.fields[index] = if new.generated.contains(&index) {
                Datum::Written(value)
            } else {
                datum(field, value, &args[slots::FIELDS + index])
            };
        }
        self.changed(resource.meta.instance_id);
        Ok(resource)
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
    ) -> Result<Resource, Error> {
        let ty = registered.ty;
        let key = current.key();
        allowed.on_row(current.meta.project_id, &key)?;
        if current.is_deleting() {
            return Err(deleting(current));
        }
        if change.is_empty() {
            return Ok(current.clone());
        }
        let mut updated = current.clone();
        let changes_spec = change.changes_spec();
        let mut names: Vec<&str> = change.fields.iter().map(|(index, _)| ty.fields[*index].name).collect();
        names.extend(change.version.is_some().then_some("version"));
        names.extend(change.description.is_some().then_some("description"));
        names.extend(change.labels.is_some().then_some("labels"));
        names.extend(change.deletion_protection.is_some().then_some("deletion_protection"));
        let detail = json!({ "changed": names });
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
        let mut args = self.arguments(allowed, &updated, &key, "updated", Some(&detail));
        args[slots::GENERATION_STEP] = Arg::from(i64::from(changes_spec));
        let mut changed = change.fields.into_iter().peekable();
        for (index, field) in ty.fields.iter().enumerate() {
            let value = changed.next_if(|(at, _)| *at == index).map(|(_, value)| value);
            args.push(match (&value, &current.fields[index]) {
                (Some(value), _) => codec::encode(&self.keys, ty, field, current.meta.id, value),
                (None, Datum::Sealed(sealed)) => {
                    codec::keep(&self.keys, ty, field, current.meta.id, sealed)
                }
                (None, Datum::Json(raw)) => Arg::from(raw.clone()),
                (None, datum) => codec::encode(&self.keys, ty, field, current.meta.id, &datum.to_json()),
            });
            if let Some(value) = value {
                updated.fields[index] = datum(field, value, &args[slots::FIELDS + index]);
            }
        }
        let rows = self.statements(registered).update.run(&self.database, "update", args.clone()).await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => return Err(self.explain_conflict(allowed, registered, error, &args, &key).await),
        };
        let Some(row) = rows.first() else {
            self.missing_references(registered, &args).await?;
            return Err(changed_meanwhile(current));
        };
        updated.meta.revision = row.int(0).required("revision")?;
        updated.meta.generation = row.int(1).required("generation")?;
        updated.meta.held_generation = held(registered, row)?;
        self.recent.insert(updated.meta.id, updated.clone());
        self.changed(updated.meta.instance_id);
        Ok(updated)
    }

    /// The row as its last update by this process left it, where the path names it by id. It may be out of date: it
    /// is good only to try a change on, since [`Self::update`] holds the row to its revision.
    pub fn recent(&self, registered: &RegisteredType, locator: &Locator) -> Option<Resource> {
        let [id] = locator.keys.as_slice() else { return None };
        let row = self.recent.get(&id.parse::<Uuid>().ok()?)?;
        std::ptr::eq(row.ty, registered.ty).then_some(row)
    }

    /// Asks for a row to go away. A repeat finds it on its way.
    ///
    /// # Errors
    /// `Forbidden`, `PreconditionFailed` when the row has changed since, `InUse` when a row that would not go with it
    /// refers to it or to one below it, `Unavailable`.
    pub async fn delete(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        current: &Resource,
    ) -> Result<Deleted, Error> {
        let key = current.key();
        allowed.on_row(current.meta.project_id, &key)?;
        if current.is_deleting() {
            return Ok(Deleted::Underway(Box::new(current.clone())));
        }
        let mut going = current.clone();
        let now = now();
        going.meta.updated_at = now;
        going.meta.deleting_at = Some(now);
        going.meta.status = "DELETING".into();
        let args = self.arguments(allowed, &going, &key, "deleting", None);
        for (field, datum) in registered.ty.fields.iter().zip(&mut going.fields) {
            if is_dropped_reference(field) {
                *datum = Datum::Null;
            }
        }
        let rows = self.mark_deleting(registered, current, args).await?;
        let row = rows.first().ok_or_else(|| changed_meanwhile(current))?;
        going.meta.revision = row.int(0).required("revision")?;
        going.meta.held_generation = held(registered, row)?;
        self.changed(going.meta.instance_id);
        Ok(Deleted::Underway(Box::new(going)))
    }

    /// Marks a row when nobody refers to it, which takes a transaction where somebody may.
    async fn mark_deleting(
        &self,
        registered: &RegisteredType,
        current: &Resource,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, Error> {
        let operation = &self.statements(registered).mark_deleting;
        let references = self.references[registered.index].clone();
        if !references.may_be_used() {
            return Ok(operation.run(&self.database, "delete", args).await?);
        }
        let (operation, current) = (operation.clone(), current.clone());
        self.database
            .write("delete", move |tx| {
                Box::pin(async move {
                    references.unused(tx, &current, &args).await?;
                    let rows = operation.run_in(tx, "delete", &args).await?;
                    if rows.is_empty() { Err(changed_meanwhile(&current)) } else { Ok(rows) }
                })
            })
            .await
    }

    /// Refuses references that cannot be kept; for writes that did not happen.
    async fn missing_references(&self, registered: &RegisteredType, args: &[Arg]) -> Result<(), Error> {
        let references = &self.references[registered.index];
        let problems = references.missing(registered.ty, &self.database, args).await?;
        if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems)) }
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
        ];
        debug_assert_eq!(args.len(), slots::FIELDS);
        args
    }

    /// Which unique value is taken, in the client's words, and by which row, when the caller may see it; or what the
    /// row refers to and is not there.
    async fn explain_conflict(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        error: StoreError,
        args: &[Arg],
        key: &str,
    ) -> Error {
        let ty = registered.ty;
        if let StoreError::Reference { .. } = &error {
            // Of what the row refers to, either a reference went just now, or the project was never there.
            if let Err(missing) = self.missing_references(registered, args).await {
                return missing;
            }
            return Error::invalid_at("/project_id", "MISSING_REFERENCE", "there is no project with this id");
        }
        let StoreError::Taken { constraint, .. } = &error else { return error.into() };
        let taken = uniques(ty).find(|(_, columns)| {
            let in_sqlite: Vec<String> =
                columns.iter().map(|name| format!("{}.{name}", ty.table())).collect();
            *constraint == index_name(&ty.table(), columns, true)
                || constraint.ends_with(&format!(": {}", in_sqlite.join(", ")))
        });
        let Some((column, columns)) = taken else { return error.into() };
        let is_key = ty.key_name() == Some(column);
        let detail = if is_key {
            format!("the {column} {key:?} is taken")
        } else {
            format!("another one has this {column}")
        };
        let mut answer = Error::new(ErrorCode::NameTaken, detail.clone());
        answer.problems.push(Problem::new(format!("/{column}"), "TAKEN", detail));
        let select = Statement::new(self.database.dialect(), &holder(ty, column, &columns));
        // Without the id the answer is right as well.
        let rows =
            self.database.fetch("find the row that has a value", &select, args).await.unwrap_or_default();
        let Some(row) = rows.first() else { return answer };
        match (row.uuid(0), row.uuid(1), row.time(2)) {
            (Ok(Some(id)), Ok(Some(project)), Ok(deleting_at)) if allowed.sees().contains(project) => {
                let answer = answer.with("id", id.to_string());
                if deleting_at.is_none() {
                    return answer;
                }
                answer.with("hint", "it is being deleted; what it has is free when it is gone")
            }
            _ => answer,
        }
    }
}

fn held(registered: &RegisteredType, row: &super::value::Row) -> Result<i64, StoreError> {
    if registered.ty.is_instance() {
        row.int(1).required("generation")
    } else {
        row.int(2).required("held_generation")
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
fn waiting(now: DateTime<Utc>) -> Box<RawValue> {
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

fn deleting(row: &Resource) -> Error {
    Error::new(ErrorCode::InvalidState, format!("{} {:?} is being deleted", row.ty.name, row.key()))
}

fn changed_meanwhile(row: &Resource) -> Error {
    let detail = format!("{} {:?} has changed since it was read; read it again", row.ty.name, row.key());
    Error::new(ErrorCode::PreconditionFailed, detail)
}
