//! What the hooks of a type make of a change, held to the type's rules.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::action::{differences, refusal};
use crate::descriptor::{FieldDescriptor, Spec};
use crate::error::{Error, Problem};
use crate::hook::LeaveCall;
use crate::registry::RegisteredType;
use crate::resource::{Change, Resource};

/// The fields that a hook changes, and those of them whose secret is shown once.
pub(super) type Completed = (Vec<(usize, Value)>, Vec<usize>);

/// What the type's hook fills in.
pub(super) fn complete(
    registered: &RegisteredType,
    spec: &Spec,
    old: Option<&Spec>,
) -> Result<Completed, Error> {
    let Some(hook) = &registered.hooks.complete else { return Ok((Vec::new(), Vec::new())) };
    let fields = registered.ty.fields;
    let completed = hook(spec, old).map_err(|error| broken(registered, "complete", &error))?;
    let changed = differences(registered, spec, &completed)
        .map_err(|problems| broken(registered, "complete", &texts(&problems)))?;
    let is_frozen = |field: &FieldDescriptor| old.is_some() && !field.is_mutable();
    if let Some((index, _)) = changed.iter().find(|(index, _)| is_frozen(&fields[*index])) {
        let text = format!("it sets {}, which no update can", fields[*index].name);
        return Err(broken(registered, "complete", &text));
    }
    let is_shown = |index: &usize| fields[*index].is_secret() && !fields[*index].output;
    let set = changed.iter().filter(|(_, value)| !value.is_null()).map(|(index, _)| *index);
    let shown = set.filter(is_shown).collect();
    Ok((changed, shown))
}

/// What a row that is to go has changed by its type's hook. `stored` is its spec, secrets in the open.
///
/// # Errors
/// `InvalidState` when the hook refuses.
pub fn leave(
    registered: &RegisteredType,
    current: &Resource,
    stored: &Spec,
    force: bool,
    now: DateTime<Utc>,
) -> Result<Change, Error> {
    let Some(hook) = &registered.hooks.leave else { return Ok(Change::default()) };
    if current.is_deleting() && !force {
        return Ok(Change::default());
    }
    let call = LeaveCall { meta: current.into(), force, now };
    let left = hook(stored, &call).map_err(|error| refusal("delete", error))?;
    let fields = differences(registered, stored, &left)
        .map_err(|problems| broken(registered, "leave", &texts(&problems)))?;
    match fields.iter().find(|(index, _)| !registered.ty.fields[*index].output) {
        Some((index, _)) => {
            let text = format!("it sets {}, which is no output", registered.ty.fields[*index].name);
            Err(broken(registered, "leave", &text))
        }
        None => Ok(Change { fields, ..Change::default() }),
    }
}

fn texts(problems: &[Problem]) -> String {
    let each = problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.detail));
    each.collect::<Vec<_>>().join("; ")
}

fn broken(registered: &RegisteredType, hook: &str, why: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("the hook {hook} of {}: {why}", registered.ty.name))
}
