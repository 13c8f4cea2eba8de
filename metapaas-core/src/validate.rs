//! Request bodies to checked values. Every problem is found at once, each with its JSON pointer.

mod action;
mod hook;
mod kind;
mod meta;

use serde_json::{Map, Value};
use uuid::Uuid;

pub(crate) use self::action::refusal;
pub use self::action::{Acted, ActionInput, action, parameters};
pub use self::hook::leave;
pub use self::kind::{canonical, whole_number};
pub(crate) use self::kind::{duration_millis, timestamp, whole_numbers};
pub(crate) use self::meta::{DESCRIPTION_MAX, IGNORED};
use crate::authz::Allowed;
use crate::descriptor::{FieldDescriptor, FieldKind, Key, Scope, Spec, TypeCheck, Unique};
use crate::error::{Error, ErrorCode, Problem};
use crate::registry::RegisteredType;
use crate::resource::{Change, NewResource, Resource};
use crate::role::PLATFORM_PROJECT;

/// How a body is laid over what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// PATCH: JSON Merge Patch (RFC 7396).
    Merge,
    /// PUT: what is not given goes back to its default.
    Replace,
}

/// The project a new row goes to, from the body or the caller's only one.
///
/// # Errors
/// When the body names none that is one, or the caller has several or none.
pub fn project_of(registered: &RegisteredType, allowed: &Allowed, body: &Value) -> Result<Uuid, Error> {
    if registered.ty.scope == Scope::Platform {
        return Ok(PLATFORM_PROJECT);
    }
    match body.get("project_id") {
        Some(Value::String(text)) if let Ok(id) = text.parse() => Ok(id),
        Some(_) => {
            Err(Error::invalid_at("/project_id", "INVALID_VALUE", "expected the id (UUID) of a project"))
        }
        None => match **allowed.context().actor.grants.projects() {
            [only] => Ok(only),
            _ => Err(Error::invalid_at(
                "/project_id",
                "REQUIRED",
                "say which project it goes to; `GET /v1/iam/projects` lists those you may see",
            )),
        },
    }
}

/// Checks the body of a create request.
///
/// # Errors
/// `InvalidRequest` with every problem, or `Forbidden` when only guarded fields are in the way.
pub fn create(
    registered: &RegisteredType,
    allowed: &Allowed,
    project_id: Uuid,
    body: &Value,
) -> Result<NewResource, Error> {
    let ty = registered.ty;
    let body = object(body)?;
    let mut problems = meta::unknown_members(ty, body);
    let name = meta::name(ty, body, &mut problems);
    let version = meta::version(registered, body.get("version"), None, &mut problems);
    let description = meta::description(body.get("description"), &mut problems);
    let labels = meta::labels(ty, body.get("labels"), &mut problems);
    let deletion_protection = meta::deletion_protection(ty, body.get("deletion_protection"), &mut problems);
    let mut forbidden = Vec::new();
    let mut generated = Vec::new();
    let mut spec = Spec::new();
    for (index, field) in ty.fields.iter().enumerate() {
        let given = if field.output { None } else { body.get(field.name) };
        let value = match given {
            Some(value) if !value.is_null() || field.nullable => {
                if !allowed.may_set(field, project_id) {
                    forbidden.push(field);
                }
                checked(registered, index, value, None, &mut problems)
            }
            _ => match default(field) {
                Some(default) => {
                    if field.is_secret() {
                        generated.push(index);
                    }
                    default
                }
                None if field.is_required() => {
                    let what = if given.is_some() { "may not be null; " } else { "" };
                    let detail = format!("{what}give {}", kind::expects(&field.kind));
                    problems.push(Problem::new(pointer(field), "REQUIRED", detail));
                    Value::Null
                }
                None => Value::Null,
            },
        };
        spec.insert(field.name.into(), value);
    }
    finish(ty.check, &spec, None, problems, &forbidden, registered)?;
    let (completed, shown) = hook::complete(registered, &spec, None)?;
    spec.extend(completed.into_iter().map(|(index, value)| (ty.fields[index].name.to_owned(), value)));
    generated.extend(shown);
    let fields = ty.fields.iter().map(|field| spec.remove(field.name).unwrap_or(Value::Null)).collect();
    Ok(NewResource {
        project_id,
        name,
        description: description.unwrap_or_default(),
        version: version.unwrap_or_default(),
        deletion_protection: deletion_protection.unwrap_or_default(),
        labels: labels.unwrap_or_else(|| Value::Object(Map::new())),
        fields,
        generated,
    })
}

/// Checks the body of an update against what is stored. `stored` is the row's spec, secrets in the open.
///
/// # Errors
/// As [`create`]; a changed immutable field is a problem with its pointer.
pub fn update(
    registered: &RegisteredType,
    allowed: &Allowed,
    current: &Resource,
    stored: &Spec,
    body: &Value,
    mode: UpdateMode,
) -> Result<Change, Error> {
    let ty = registered.ty;
    let body = object(body)?;
    let mut problems = meta::unknown_members(ty, body);
    meta::unchanged_identity(ty, current, body, &mut problems);
    let replace = mode == UpdateMode::Replace;
    let mut change = Change::default();

    let old_labels: Value = serde_json::from_str(current.meta.labels.get()).unwrap_or_default();
    let new_labels = match (body.get("labels"), replace) {
        (None, true) => Some(Value::Object(Map::new())),
        (None, false) => None,
        (Some(labels), true) => meta::labels(ty, Some(labels), &mut problems),
        (Some(labels), false) => {
            let mut merged = old_labels.clone();
            merge(&mut merged, labels);
            meta::labels(ty, Some(&merged), &mut problems)
        }
    };
    let new_labels = new_labels.map(|new| meta::kept_provider(&old_labels, new, replace, &mut problems));
    change.labels = new_labels.filter(|labels| *labels != old_labels);
    let new_description = match (body.get("description"), replace) {
        (None, true) => Some(String::new()),
        (given, _) => meta::description(given, &mut problems),
    };
    change.description = new_description.filter(|text| *text != current.meta.description);
    let new_protection = match (body.get("deletion_protection"), replace) {
        (None, true) => Some(false),
        (given, _) => meta::deletion_protection(ty, given, &mut problems),
    };
    change.deletion_protection = new_protection.filter(|new| *new != current.meta.deletion_protection);
    if let Some(given) = body.get("version") {
        let version = meta::version(registered, Some(given), Some(&current.meta.version), &mut problems);
        change.version = version.filter(|version| *version != current.meta.version);
    }

    let mut forbidden = Vec::new();
    let mut spec = stored.clone();
    for (index, field) in ty.fields.iter().enumerate() {
        if field.output {
            continue;
        }
        let old = stored.get(field.name).unwrap_or(&Value::Null);
        let new = match body.get(field.name) {
            // A secret is never shown, so a client that sends back what it got does not have it.
            None if !replace || field.is_secret() => continue,
            None if !field.is_mutable() => continue,
            Some(value) if !value.is_null() || field.nullable => {
                let mut merged = old.clone();
                match (mode, &field.kind) {
                    (UpdateMode::Merge, FieldKind::Json | FieldKind::Map(_)) => merge(&mut merged, value),
                    _ => merged = value.clone(),
                }
                checked(registered, index, &merged, Some(old), &mut problems)
            }
            // Null, or left out of a PUT: back to the default.
            given => match default(field) {
                Some(default) => default,
                None if field.nullable => Value::Null,
                None => {
                    let what = if given.is_some() { "may not be null" } else { "is missing" };
                    let detail = format!("{what}; give {}", kind::expects(&field.kind));
                    problems.push(Problem::new(pointer(field), "REQUIRED", detail));
                    continue;
                }
            },
        };
        if new == *old {
            continue;
        }
        if !field.is_mutable() {
            let detail = format!("{} cannot change after create", field.name);
            problems.push(Problem::new(pointer(field), "IMMUTABLE", detail));
            continue;
        }
        if !allowed.may_set(field, current.meta.project_id) {
            forbidden.push(field);
        }
        spec.insert(field.name.into(), new.clone());
        change.fields.push((index, new));
    }
    let check = if change.fields.is_empty() { None } else { ty.check };
    finish(check, &spec, Some(stored), problems, &forbidden, registered)?;
    if !change.fields.is_empty() {
        let (completed, shown) = hook::complete(registered, &spec, Some(stored))?;
        change.fields.retain(|(index, _)| !completed.iter().any(|(other, _)| other == index));
        change.fields.extend(completed);
        change.fields.sort_unstable_by_key(|(index, _)| *index);
        change.generated = shown;
    }
    Ok(change)
}

fn object(body: &Value) -> Result<&Map<String, Value>, Error> {
    body.as_object().ok_or_else(|| Error::invalid_at("", "INVALID_TYPE", "expected a JSON object"))
}

/// The canonical form of a field's default; an author's mistake in it stays as it is.
fn default(field: &FieldDescriptor) -> Option<Value> {
    let value = field.default?();
    let mut problems = Vec::new();
    let checked = canonical(&field.kind, &value, "", &mut problems);
    Some(if problems.is_empty() { checked } else { value })
}

fn pointer(field: &FieldDescriptor) -> String {
    format!("/{}", field.name)
}

/// The canonical form of a given value, after the field's own rules.
fn checked(
    registered: &RegisteredType,
    index: usize,
    value: &Value,
    old: Option<&Value>,
    problems: &mut Vec<Problem>,
) -> Value {
    let field = &registered.ty.fields[index];
    if value.is_null() && field.nullable {
        return Value::Null;
    }
    let before = problems.len();
    let value = canonical(&field.kind, value, &pointer(field), problems);
    if problems.len() == before {
        let is_indexed = field.unique != Unique::No || registered.ty.key == Key::Field(field.name);
        kind::rules(field, is_indexed, &value, problems);
    }
    if problems.len() == before
        && let Some(check) = field.check
        && let Err(detail) = check(&value, old)
    {
        problems.push(Problem::new(pointer(field), "INVALID_VALUE", detail));
    }
    // A check says in words what a pattern can only show, so that it comes first.
    if problems.len() == before {
        problems.extend(kind::mismatches(field, registered.patterns[index].as_ref(), &value));
    }
    value
}

fn finish(
    check: Option<TypeCheck>,
    spec: &Spec,
    old: Option<&Spec>,
    mut problems: Vec<Problem>,
    forbidden: &[&FieldDescriptor],
    registered: &RegisteredType,
) -> Result<(), Error> {
    // A rule across fields speaks of values that are right one by one.
    if problems.is_empty()
        && let Some(check) = check
    {
        problems.extend(check(spec, old).into_iter().map(crate::hook::problem));
    }
    if !problems.is_empty() {
        return Err(Error::invalid(problems));
    }
    if let [first, ..] = forbidden {
        let names: Vec<&str> = forbidden.iter().map(|field| field.name).collect();
        let mut error =
            Error::new(ErrorCode::Forbidden, format!("your role may not set {}", names.join(", ")))
                .with("permission", registered.ty.field_permission(first.name));
        error.problems = forbidden
            .iter()
            .map(|field| {
                let role = field.iam.map_or("owner", |role| role.as_str());
                Problem::new(pointer(field), "FORBIDDEN", format!("only the role {role} may set it"))
            })
            .collect();
        return Err(error);
    }
    Ok(())
}

/// JSON Merge Patch, RFC 7396 section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Some(target) = target.as_object_mut() {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}
