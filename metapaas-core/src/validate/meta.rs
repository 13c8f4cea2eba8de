//! The framework's own members of a body: name, version, description, labels, and those it ignores.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::descriptor::TypeDescriptor;
use crate::error::Problem;
use crate::field_type::is_dns_name;
use crate::placement::{PROVIDER_LABEL, RESERVED_PREFIX};
use crate::registry::RegisteredType;
use crate::resource::{Resource, type_name};

/// Members that answers have and requests may repeat; they change nothing.
pub(crate) const IGNORED: [&str; 14] = [
    "id",
    "type",
    "status",
    "conditions",
    "nodes",
    "generation",
    "observed_generation",
    "revision",
    "created_at",
    "updated_at",
    "instance_id",
    "parent_id",
    "project_id",
    "plan",
];

/// Greatest length of a description, in characters.
pub(crate) const DESCRIPTION_MAX: usize = 1024;
const LABELS_MAX: usize = 64;

pub(super) fn unknown_members(ty: &TypeDescriptor, body: &Map<String, Value>) -> Vec<Problem> {
    let known = |name: &str| {
        ty.field(name).is_some()
            || IGNORED.contains(&name)
            || matches!(name, "description" | "labels")
            || (name == "name" && ty.has_framework_name())
            || (matches!(name, "version" | "deletion_protection") && ty.is_instance())
    };
    let names: Vec<&str> = ty.fields.iter().filter(|field| !field.output).map(|field| field.name).collect();
    body.keys()
        .filter(|name| !known(name))
        .map(|name| {
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            let detail = format!("{} has no such field; it has {}", type_name(ty), names.join(", "));
            Problem::new(pointer, "UNKNOWN_FIELD", detail)
        })
        .collect()
}

pub(super) fn name(
    ty: &TypeDescriptor,
    body: &Map<String, Value>,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    if !ty.has_framework_name() {
        if let Some(key) = ty.key_name() {
            not_an_id(key, body.get(key), problems);
        }
        return None;
    }
    match body.get("name") {
        Some(Value::String(name)) if is_dns_name(name) && name.parse::<Uuid>().is_err() => Some(name.clone()),
        Some(_) => {
            problems.push(Problem::new(
                "/name",
                "INVALID_NAME",
                "expected 1 to 63 lower-case letters, digits and hyphens, starting with a letter, \
                 not ending with a hyphen, and no UUID",
            ));
            None
        }
        None => {
            problems.push(Problem::new("/name", "REQUIRED", "give a name"));
            None
        }
    }
}

/// A key that looks like an id would make paths ambiguous.
fn not_an_id(key: &str, value: Option<&Value>, problems: &mut Vec<Problem>) {
    if let Some(Value::String(text)) = value
        && (text.is_empty() || text.parse::<Uuid>().is_ok())
    {
        problems.push(Problem::new(
            format!("/{key}"),
            "INVALID_NAME",
            "may not be empty or look like a UUID",
        ));
    }
}

pub(super) fn version(
    registered: &RegisteredType,
    given: Option<&Value>,
    current: Option<&str>,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    if !registered.ty.is_instance() {
        return None;
    }
    match given {
        None | Some(Value::Null) => {
            current.map(str::to_owned).or_else(|| registered.versions.first().map(|&version| version.into()))
        }
        // A version that is no longer in the catalogue may stay.
        Some(Value::String(version))
            if registered.versions.contains(&version.as_str()) || current == Some(version) =>
        {
            Some(version.clone())
        }
        Some(_) => {
            let detail = format!("expected one of {}", registered.versions.join(", "));
            problems.push(Problem::new("/version", "INVALID_VALUE", detail));
            None
        }
    }
}

pub(super) fn description(given: Option<&Value>, problems: &mut Vec<Problem>) -> Option<String> {
    match given? {
        Value::Null => Some(String::new()),
        Value::String(text) if text.chars().count() <= DESCRIPTION_MAX && !text.contains('\0') => {
            Some(text.clone())
        }
        _ => {
            let detail = format!("expected text of at most {DESCRIPTION_MAX} characters");
            problems.push(Problem::new("/description", "INVALID_VALUE", detail));
            None
        }
    }
}

/// Null goes back to the default: an instance may be deleted.
pub(super) fn deletion_protection(
    ty: &TypeDescriptor,
    given: Option<&Value>,
    problems: &mut Vec<Problem>,
) -> Option<bool> {
    match given.filter(|_| ty.is_instance())? {
        Value::Null => Some(false),
        Value::Bool(protection) => Some(*protection),
        _ => {
            problems.push(Problem::new("/deletion_protection", "INVALID_TYPE", "expected true or false"));
            None
        }
    }
}

/// Labels as in Kubernetes: an optional DNS prefix and a slash, then up to 63 characters; values the same or empty.
pub(super) fn labels(
    ty: &TypeDescriptor,
    given: Option<&Value>,
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    let given = match given? {
        Value::Null => return Some(Value::Object(Map::new())),
        given => given,
    };
    let word = |text: &str| {
        text.len() <= 63
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.ends_with(|last: char| last.is_ascii_alphanumeric())
    };
    let key = |text: &str| match text.split_once('/') {
        Some((prefix, name)) => word(name) && prefix.len() <= 253 && prefix.split('.').all(is_prefix_label),
        None => word(text),
    };
    let Some(labels) = given.as_object().filter(|labels| labels.len() <= LABELS_MAX) else {
        let detail = format!("expected an object of at most {LABELS_MAX} labels");
        problems.push(Problem::new("/labels", "INVALID_TYPE", detail));
        return None;
    };
    let before = problems.len();
    for (name, value) in labels {
        let fits = key(name) && value.as_str().is_some_and(|text| text.is_empty() || word(text));
        if !fits {
            let pointer = format!("/labels/{}", name.replace('~', "~0").replace('/', "~1"));
            let detail = "expected up to 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit, for the name (after an optional prefix and '/') as for the value";
            problems.push(Problem::new(pointer, "INVALID_VALUE", detail));
        } else if name.starts_with(RESERVED_PREFIX) && !(name == PROVIDER_LABEL && ty.is_instance()) {
            let pointer = format!("/labels/{}", name.replace('~', "~0").replace('/', "~1"));
            let detail = format!(
                "names that begin with {RESERVED_PREFIX} are the platform's; there is {PROVIDER_LABEL}, of instances"
            );
            problems.push(Problem::new(pointer, "INVALID_VALUE", detail));
        }
    }
    (problems.len() == before).then(|| given.clone())
}

/// An instance's provider stays what it is. A PUT that leaves it out does not speak of it.
pub(super) fn kept_provider(
    old: &Value,
    mut new: Value,
    replace: bool,
    problems: &mut Vec<Problem>,
) -> Value {
    let (before, after) = (old.get(PROVIDER_LABEL), new.get(PROVIDER_LABEL));
    if before == after {
        return new;
    }
    let is_left_out = replace && after.is_none();
    match (before, new.as_object_mut()) {
        (Some(before), Some(labels)) if is_left_out => {
            labels.insert(PROVIDER_LABEL.to_owned(), before.clone());
        }
        _ => {
            let pointer = format!("/labels/{}", PROVIDER_LABEL.replace('/', "~1"));
            let detail = "the provider of an instance cannot change after create";
            problems.push(Problem::new(pointer, "IMMUTABLE", detail));
        }
    }
    new
}

fn is_prefix_label(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Name and project stay what they are; repeating them is fine.
pub(super) fn unchanged_identity(
    ty: &TypeDescriptor,
    current: &Resource,
    body: &Map<String, Value>,
    problems: &mut Vec<Problem>,
) {
    let mut unchanged = |member: &str, now: &str| {
        if body.get(member).is_some_and(|given| given.as_str() != Some(now)) {
            let detail = format!("{member} cannot change after create; it is {now:?}");
            problems.push(Problem::new(format!("/{member}"), "IMMUTABLE", detail));
        }
    };
    if let (true, Some(name)) = (ty.has_framework_name(), &current.meta.name) {
        unchanged("name", name);
    }
    unchanged("project_id", &current.meta.project_id.to_string());
}
