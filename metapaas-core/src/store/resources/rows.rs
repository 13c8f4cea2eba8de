//! Rows out of the database: by id, by name, by path.

use uuid::Uuid;

use super::slots;
use crate::authz::Allowed;
use crate::descriptor::{FieldKind, Key, TypeDescriptor};
use crate::error::{Error, ErrorCode};
use crate::registry::RegisteredType;
use crate::resource::{Meta, Resource};
use crate::store::Store;
use crate::store::codec;
use crate::store::error::StoreError;
use crate::store::value::{Arg, Required, Row};

/// Where a row is, as a path says it: keys or ids, the instance first.
#[derive(Clone, Debug, Default)]
pub struct Locator {
    /// Key or id of each row on the way, the wanted row's last.
    pub keys: Vec<String>,
    /// The project that names of instances are looked up in; all that the caller sees when absent.
    pub project: Option<Uuid>,
}

impl Locator {
    /// The wanted row's own key.
    pub(super) fn last(&self) -> String {
        self.keys.last().cloned().unwrap_or_default()
    }
}

/// Reads a row in the order of columns that the statements of the type select.
pub(in crate::store) fn read_resource(
    ty: &'static TypeDescriptor,
    row: &Row,
) -> Result<Resource, StoreError> {
    let mut columns = 0..;
    let mut next = || columns.next().unwrap_or_default();
    let id = row.uuid(next()).required("id")?;
    let project_id = row.uuid(next()).required("project_id")?;
    let instance_id = row.uuid(next()).required("instance_id")?;
    let parent_id = row.uuid(next()).required("parent_id")?;
    let held_generation = row.int(next()).required("held_generation")?;
    let (version, nodes, deletion_protection) = if ty.is_instance() {
        let version = row.text(next()).required("version")?;
        let nodes = row.json(next()).required("nodes")?;
        (version, Some(nodes), row.bool(next())?.unwrap_or_default())
    } else {
        (String::new(), None, false)
    };
    let meta = Meta {
        id,
        project_id,
        instance_id,
        parent_id,
        held_generation,
        version,
        nodes,
        deletion_protection,
        description: row.text(next()).required("description")?,
        labels: row.json(next()).required("labels")?,
        status: row.text(next()).required("status")?,
        conditions: row.json(next()).required("conditions")?,
        generation: row.int(next()).required("generation")?,
        observed_generation: row.int(next()).required("observed_generation")?,
        revision: row.int(next()).required("revision")?,
        created_at: row.time(next()).required("created_at")?,
        updated_at: row.time(next()).required("updated_at")?,
        deleting_at: row.time(next())?,
        name: if ty.has_framework_name() { row.text(next())? } else { None },
    };
    let fields =
        ty.fields.iter().map(|field| codec::decode(row, next(), &field.kind)).collect::<Result<_, _>>()?;
    Ok(Resource { ty, meta, fields })
}

impl Store {
    /// Finds the row that a path names, whoever asks for it; rows that the caller may not see do not count when
    /// a name fits several.
    pub(super) async fn locate(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        locator: &Locator,
    ) -> Result<Resource, Error> {
        let missing = || Error::not_found(format_args!("{} {}", registered.ty.name, locator.last()));
        let (last, above) = locator.keys.split_last().ok_or_else(missing)?;
        let parent = match registered.parent {
            None => None,
            Some(index) => {
                let parent = &self.registry.types()[index];
                let above = Locator { keys: above.to_vec(), project: locator.project };
                Some(self.parent_id(allowed, parent, &above).await?)
            }
        };
        let statements = self.statements(registered);
        let key = key_arg(registered.ty, last);
        let mut args = vec![Arg::Uuid(None); slots::KEY + 1];
        args[slots::PARENT] = Arg::Uuid(parent);
        args[slots::PROJECT] = Arg::Uuid(locator.project);
        let statement = match last.parse::<Uuid>() {
            Ok(id) => {
                args[slots::ID] = Arg::from(id);
                &statements.by_id
            }
            Err(_) => {
                args[slots::KEY] = key.ok_or_else(missing)?;
                match (&statements.by_key, &statements.by_key_in_project, locator.project) {
                    (_, Some(in_project), Some(_)) => in_project,
                    (Some(by_key), _, _) => by_key,
                    (None, ..) => return Err(missing()),
                }
            }
        };
        let rows = self.database.fetch("read", statement, &args).await?;
        let mut seen = Vec::new();
        for row in &rows {
            let resource = read_resource(registered.ty, row)?;
            if allowed.sees().contains(resource.meta.project_id)
                && parent.is_none_or(|parent| resource.meta.parent_id == parent)
            {
                seen.push(resource);
            }
        }
        if seen.len() > 1 {
            let ids: Vec<String> = seen.iter().map(|one| one.meta.id.to_string()).collect();
            let detail = format!(
                "several projects have a {} {last:?}; use the id or ?project_id=",
                registered.ty.name
            );
            return Err(Error::new(ErrorCode::AmbiguousName, detail).with("ids", ids));
        }
        seen.pop().ok_or_else(missing)
    }

    /// The id of a row above. An id is taken as it stands: the row below is looked up under it, and carries the
    /// project that decides who sees it.
    async fn parent_id(
        &self,
        allowed: &Allowed,
        parent: &RegisteredType,
        locator: &Locator,
    ) -> Result<Uuid, Error> {
        match locator.keys.last().and_then(|key| key.parse().ok()) {
            Some(id) if parent.parent.is_none() => Ok(id),
            _ => Ok(Box::pin(self.locate(allowed, parent, locator)).await?.meta.id),
        }
    }
}

/// A key from a path as a value of its column; `None` when no row can have it.
fn key_arg(ty: &TypeDescriptor, key: &str) -> Option<Arg> {
    let kind = match ty.key {
        Key::Name => return Some(Arg::from(key)),
        Key::Id => return None,
        Key::Field(name) => ty.field(name)?.kind,
    };
    match kind {
        FieldKind::Integer { .. } => key.parse::<i64>().ok().map(Arg::from),
        _ => Some(Arg::from(key)),
    }
}
