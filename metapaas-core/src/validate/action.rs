//! Bodies of actions, and what an action changes of a row: its function is run and its answer held to the type's rules.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{default, kind, object};
use crate::action::{ActionCall, ActionDescriptor, ActionError, ActionRun, rotatable};
use crate::authz::Allowed;
use crate::descriptor::{FieldDescriptor, Key, Spec, Unique};
use crate::error::{Error, ErrorCode, Problem};
use crate::plan::DesiredTree;
use crate::registry::{RegisteredType, compile};
use crate::resource::{Change, Resource};
use crate::validate::canonical;

/// What an action changes.
#[derive(Clone, Debug)]
pub struct Acted {
    /// The action.
    pub verb: &'static str,
    /// The fields that change. There may be none: the generation rises all the same.
    pub change: Change,
    /// Fields whose secret is new, to be shown once: indexes into the type's fields.
    pub generated: Vec<usize>,
}

/// Checks the body of an action. Every parameter is in the answer.
///
/// # Errors
/// `InvalidRequest` with every problem.
pub fn parameters(action: &ActionDescriptor, body: &Value) -> Result<Spec, Error> {
    let body = object(body)?;
    let known: Vec<&str> = action.parameters.iter().map(|parameter| parameter.name).collect();
    let mut problems = Vec::new();
    for name in body.keys().filter(|name| !known.contains(&name.as_str())) {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let takes = if known.is_empty() { "nothing".into() } else { known.join(", ") };
        let detail = format!("the action {} has no such parameter; it takes {takes}", action.verb);
        problems.push(Problem::new(pointer, "UNKNOWN_FIELD", detail));
    }
    let mut checked = Spec::new();
    for parameter in &action.parameters {
        let value = match body.get(parameter.name) {
            Some(value) if !value.is_null() => one(parameter, value, None, &mut problems),
            given => match default(parameter) {
                Some(default) => default,
                None if parameter.nullable => Value::Null,
                None => {
                    let what = if given.is_some() { "may not be null; " } else { "" };
                    let detail = format!("{what}give {}", kind::expects(&parameter.kind));
                    problems.push(Problem::new(format!("/{}", parameter.name), "REQUIRED", detail));
                    Value::Null
                }
            },
        };
        checked.insert(parameter.name.into(), value);
    }
    if problems.is_empty() { Ok(checked) } else { Err(Error::invalid(problems)) }
}

/// What an action is given beside its row.
#[derive(Debug)]
pub struct ActionInput {
    /// As [`parameters`] answered them.
    pub parameters: Spec,
    /// The row's instance with all below it.
    pub tree: Arc<DesiredTree>,
    /// When it is run.
    pub now: DateTime<Utc>,
}

/// Runs an action on a row. `stored` is the row's spec, secrets in the open.
///
/// # Errors
/// `InvalidState` when the action refuses or its answer breaks a rule of the type, `InvalidRequest` for a parameter
/// that does not fit the row, `Forbidden` for a secret that the caller may not set.
pub fn action(
    registered: &RegisteredType,
    allowed: &Allowed,
    current: &Resource,
    stored: &Spec,
    action: &ActionDescriptor,
    input: ActionInput,
) -> Result<Acted, Error> {
    let ActionInput { parameters, tree, now } = input;
    let fields = registered.ty.fields;
    let changed = match &action.run {
        ActionRun::Command(_) => {
            return Err(Error::internal(format!("the action {} changes nothing", action.verb)));
        }
        ActionRun::Rotate => rotate(registered, allowed, current, stored, &parameters)?,
        ActionRun::Declared(run) => {
            let status = current.meta.status.clone();
            let call = ActionCall { meta: current.into(), status, parameters, now, tree };
            let answered = run(stored, &call).map_err(|error| refusal(action.verb, error))?;
            differences(registered, stored, &answered).map_err(|problems| broken(action, problems))?
        }
    };
    let is_new_secret = |index: &usize| fields[*index].is_secret() && fields[*index].default.is_some();
    let generated: Vec<usize> = changed.iter().map(|(index, _)| *index).filter(is_new_secret).collect();
    // They are shown, to those alone who might have set them.
    let guarded = generated.iter().map(|index| &fields[*index]);
    if let Some(field) = guarded.into_iter().find(|field| !allowed.may_set(field, current.meta.project_id)) {
        return Err(Error::forbidden(&registered.ty.field_permission(field.name)));
    }
    Ok(Acted { verb: action.verb, change: Change { fields: changed, ..Change::default() }, generated })
}

fn rotate(
    registered: &RegisteredType,
    allowed: &Allowed,
    current: &Resource,
    stored: &Spec,
    parameters: &Spec,
) -> Result<Vec<(usize, Value)>, Error> {
    let fields = registered.ty.fields;
    let all: Vec<usize> = rotatable(fields).collect();
    let chosen = match parameters.get("fields").and_then(Value::as_array) {
        None => all,
        Some(names) => {
            let mut problems = Vec::new();
            let mut chosen = Vec::new();
            for (place, name) in names.iter().enumerate() {
                match all.iter().find(|index| Some(fields[**index].name) == name.as_str()) {
                    Some(index) => chosen.push(*index),
                    None => {
                        let known: Vec<&str> = all.iter().map(|index| fields[*index].name).collect();
                        let detail = format!("expected a generated secret: {}", known.join(", "));
                        problems.push(Problem::new(format!("/fields/{place}"), "INVALID_VALUE", detail));
                    }
                }
            }
            if names.is_empty() {
                problems.push(Problem::new(
                    "/fields",
                    "TOO_SHORT",
                    "name at least one field, or leave it out",
                ));
            }
            if !problems.is_empty() {
                return Err(Error::invalid(problems));
            }
            chosen.sort_unstable();
            chosen.dedup();
            chosen
        }
    };
    let forbidden = chosen
        .iter()
        .map(|index| &fields[*index])
        .find(|field| !allowed.may_set(field, current.meta.project_id));
    if let Some(field) = forbidden {
        return Err(Error::forbidden(&registered.ty.field_permission(field.name)));
    }
    let fresh = |index: usize| {
        let old = stored.get(fields[index].name);
        // A default that is a constant cannot be rotated; a few tries tell it from bad luck.
        let value = (0..3).filter_map(|_| default(&fields[index])).find(|value| Some(value) != old);
        value.map(|value| (index, value)).ok_or_else(|| {
            let text = format!("the default of {} is the same every time", fields[index].name);
            Error::new(ErrorCode::InvalidState, text)
        })
    };
    chosen.into_iter().map(fresh).collect()
}

/// What differs, in canonical form and held to the type's rules.
pub(super) fn differences(
    registered: &RegisteredType,
    stored: &Spec,
    answered: &Spec,
) -> Result<Vec<(usize, Value)>, Vec<Problem>> {
    let ty = registered.ty;
    let mut problems = Vec::new();
    let mut changed = Vec::new();
    let mut spec = stored.clone();
    for (index, field) in ty.fields.iter().enumerate() {
        let old = stored.get(field.name).unwrap_or(&Value::Null);
        let new = answered.get(field.name).unwrap_or(&Value::Null);
        if new == old {
            continue;
        }
        let new = if new.is_null() && (field.nullable || field.output) {
            Value::Null
        } else {
            one(field, new, Some(old), &mut problems)
        };
        if new == *old {
            continue;
        }
        if ty.key == Key::Field(field.name) {
            let detail = "an action cannot change what the row is named by";
            problems.push(Problem::new(format!("/{}", field.name), "IMMUTABLE", detail));
        }
        spec.insert(field.name.into(), new.clone());
        changed.push((index, new));
    }
    if problems.is_empty()
        && !changed.is_empty()
        && let Some(check) = ty.check
    {
        let found = check(&spec, Some(stored));
        problems.extend(
            found.into_iter().map(|problem| Problem::new(problem.field, "INVALID_VALUE", problem.detail)),
        );
    }
    if problems.is_empty() { Ok(changed) } else { Err(problems) }
}

/// The canonical form of a value, after the field's own rules.
fn one(field: &FieldDescriptor, value: &Value, old: Option<&Value>, problems: &mut Vec<Problem>) -> Value {
    let before = problems.len();
    let pointer = format!("/{}", field.name);
    let value = canonical(&field.kind, value, &pointer, problems);
    if problems.len() == before {
        kind::rules(field, field.unique != Unique::No, &value, problems);
    }
    if problems.len() == before
        && let Some(check) = field.check
        && let Err(detail) = check(&value, old)
    {
        problems.push(Problem::new(pointer, "INVALID_VALUE", detail));
    }
    if problems.len() == before {
        let pattern = field.pattern.and_then(|pattern| compile(pattern).ok());
        problems.extend(kind::mismatches(field, pattern.as_ref(), &value));
    }
    value
}

pub(crate) fn refusal(verb: &str, error: ActionError) -> Error {
    match error {
        ActionError::Refused(reason) => Error::new(ErrorCode::InvalidState, reason),
        ActionError::RefusedWith { reason, members } => {
            Error { extra: members, ..Error::new(ErrorCode::InvalidState, reason) }
        }
        ActionError::Parameter { name, detail } => {
            Error::invalid_at(format!("/{name}"), "INVALID_VALUE", detail)
        }
        ActionError::Field(error) => Error::internal(format!("the action {verb}: {error}")),
    }
}

fn broken(action: &ActionDescriptor, problems: Vec<Problem>) -> Error {
    let each = problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.detail));
    let detail = format!("{} is not possible: {}", action.verb, each.collect::<Vec<_>>().join("; "));
    Error::new(ErrorCode::InvalidState, detail)
}

#[cfg(test)]
mod tests;
