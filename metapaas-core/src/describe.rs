//! What `GET /v1/types` says of the hosted types: enough to drive a command line or a form.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::action::ActionDescriptor;
use crate::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};
use crate::registry::{RegisteredType, Registry};
use crate::status::Status;

/// How the instances of a type do that the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many have each status, in the order of [`Status::ALL`].
    pub by_status: [i64; Status::ALL.len()],
    /// Whether all were counted.
    pub exact: bool,
    /// For how many seconds the oldest work of the type has waited for a worker, when that is too long.
    pub overdue_seconds: Option<i64>,
}

/// What `health` says of a type.
#[derive(Serialize)]
struct Health {
    /// `ok`, `degraded` or `stalled`.
    status: &'static str,
    message: String,
    instances: Map<String, Value>,
    exact: bool,
}

impl Standing {
    fn instances(&self) -> i64 {
        self.by_status.iter().sum()
    }

    fn of(&self, status: Status) -> i64 {
        let place = Status::ALL.iter().position(|other| *other == status);
        place.map_or(0, |place| self.by_status[place])
    }

    fn health(&self) -> Health {
        let broken = self.of(Status::Error);
        let (status, message) = match self.overdue_seconds {
            Some(seconds) => {
                let text = format!("changes have waited for a worker for {seconds} s");
                ("stalled", text)
            }
            None if broken > 0 => ("degraded", format!("{broken} of {} are in ERROR", self.instances())),
            None => ("ok", String::new()),
        };
        let instances = Status::ALL.iter().zip(self.by_status);
        let instances = instances.map(|(status, count)| (status.as_str().to_owned(), count.into())).collect();
        Health { status, message, instances, exact: self.exact }
    }
}

/// Every instance type with the types below it; `standing` says how the instances do that the caller may see.
pub fn types(registry: &Registry, standing: &dyn Fn(&RegisteredType) -> Standing) -> Value {
    registry.roots().map(|root| one(registry, root, &standing(root))).collect()
}

/// An instance type with the types below it.
pub fn one(registry: &Registry, root: &RegisteredType, standing: &Standing) -> Value {
    let plugin = &registry.plugins()[root.plugin];
    let types: Vec<Value> = std::iter::once(root).chain(registry.below(root.index)).map(ty).collect();
    json!({
        "slug": root.ty.slug,
        "element": root.ty.element,
        "plugin": plugin.name,
        "plugin_version": plugin.version,
        "description": root.ty.doc,
        "counts": { "instances": standing.instances() },
        "health": standing.health(),
        "types": types,
    })
}

/// The path of a type's collection, e.g. `/v1/types/demo/instances/{instance}/pages`.
pub fn collection_path(ty: &TypeDescriptor) -> String {
    let mut parts = Vec::new();
    let mut current = ty;
    while let Some(parent) = current.parent {
        parts.push(format!("/{{{}}}/{}", parameter(parent), current.segment()));
        current = parent;
    }
    parts.push(format!("/v1/types/{}/{}", ty.slug, current.plural));
    parts.reverse();
    parts.concat()
}

/// What paths call the key of a row: `instance`, or the type's name without its slug, e.g. `access_key`.
pub fn parameter(ty: &TypeDescriptor) -> String {
    let Some(mut above) = ty.parent else { return "instance".into() };
    let name = snake_case(ty.name);
    let short = name.strip_prefix(&format!("{}_", ty.slug)).map_or(name.clone(), str::to_owned);
    loop {
        if parameter(above) == short {
            return format!("{short}_{}", ty.depth());
        }
        match above.parent {
            Some(parent) => above = parent,
            None => return short,
        }
    }
}

/// `AccessKey` to `access_key`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let begins_word = letter.is_uppercase()
            && index > 0
            && (!letters[index - 1].is_uppercase()
                || letters.get(index + 1).is_some_and(|next| next.is_lowercase()));
        if begins_word {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// The value that a request without the field gets, when it is the same every time and no secret.
pub fn constant_default(field: &FieldDescriptor) -> Option<Value> {
    let default = field.default?;
    // A default of these kinds is the time of the call or a fresh id, more likely than not.
    if field.output || matches!(field.kind, FieldKind::Secret(_) | FieldKind::Uuid | FieldKind::Timestamp) {
        return None;
    }
    let value = default();
    (value == default()).then_some(value)
}

fn ty(registered: &RegisteredType) -> Value {
    let ty = registered.ty;
    json!({
        "plural": ty.plural,
        "segment": ty.segment(),
        "name": ty.name,
        "parent": ty.parent.map(|parent| parent.plural),
        "path": collection_path(ty),
        "key": ty.key_name().unwrap_or("id"),
        "depth": ty.depth(),
        "description": ty.doc,
        "permissions": registered.permissions(),
        "actions": registered.actions.iter().map(action).collect::<Vec<_>>(),
        "fields": ty.fields.iter().map(field).collect::<Vec<_>>(),
    })
}

fn action(action: &ActionDescriptor) -> Value {
    json!({
        "verb": action.verb,
        "description": action.doc,
        "parameters": action.parameters.iter().map(field).collect::<Vec<_>>(),
    })
}

fn field(field: &FieldDescriptor) -> Value {
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.into(), value);
    set("name", field.name.into());
    set("kind", word(&field.kind).into());
    if !field.doc.is_empty() {
        set("description", field.doc.into());
    }
    set("nullable", field.nullable.into());
    set("mutable", field.is_mutable().into());
    set("output", field.output.into());
    set("required", field.is_required().into());
    set("secret", field.is_secret().into());
    if let Some(default) = constant_default(field) {
        set("default", default);
    }
    if let Some(role) = field.iam {
        set("iam", role.as_str().into());
    }
    let kind = match &field.kind {
        FieldKind::Secret(inner) => inner,
        kind => kind,
    };
    match kind {
        FieldKind::Enum(variants) => {
            set("enum", variants.iter().map(|variant| variant.name).collect());
        }
        FieldKind::List(item) | FieldKind::Map(item) => {
            set("items", word(item).into());
        }
        _ => {}
    }
    let (least, greatest) = lengths(field);
    if let Some(least) = least {
        set("min_length", least.into());
    }
    if let Some(greatest) = greatest {
        set("max_length", greatest.into());
    }
    let (least, greatest) = bounds(kind, field.range);
    if let Some(least) = least {
        set("minimum", least);
    }
    if let Some(greatest) = greatest {
        set("maximum", greatest);
    }
    if let Some(pattern) = field.pattern {
        set("pattern", pattern.into());
    }
    Value::Object(members)
}

/// Least and greatest length, where there is a bound: of characters for text, of items for lists and maps.
pub(crate) fn lengths(field: &FieldDescriptor) -> (Option<u64>, Option<u64>) {
    let of_format = match &field.kind {
        FieldKind::Text(format) | FieldKind::Secret(FieldKind::Text(format)) => Some(format.max_len),
        _ => None,
    };
    let (least, greatest) = field.len.unwrap_or((0, u64::MAX));
    let greatest = greatest.min(of_format.unwrap_or(u64::MAX));
    // As in the messages of validation: past this, a bound is only how "at least" is written.
    ((least > 0).then_some(least), (greatest < u64::from(u32::MAX)).then_some(greatest))
}

/// Least and greatest number, where there is a bound: the narrower of the kind's and the field's.
pub(crate) fn bounds(kind: &FieldKind, range: Option<(f64, f64)>) -> (Option<Value>, Option<Value>) {
    match kind {
        FieldKind::Integer { min, max } => {
            #[expect(clippy::cast_possible_truncation, reason = "a cast of a float to an integer saturates")]
            let (low, high) =
                range.map_or((i64::MIN, i64::MAX), |(low, high)| (low.ceil() as i64, high.floor() as i64));
            let (least, greatest) = (low.max(*min), high.min(*max));
            // The ends of 64 bits are no rule of the type.
            ((least > i64::MIN).then(|| least.into()), (greatest < i64::MAX).then(|| greatest.into()))
        }
        FieldKind::Float => {
            let bound = |value: f64| value.is_finite().then(|| Value::from(value));
            range.map_or((None, None), |(low, high)| (bound(low), bound(high)))
        }
        _ => (None, None),
    }
}

const fn word(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Bool => "boolean",
        FieldKind::Integer { .. } => "integer",
        FieldKind::Float => "number",
        FieldKind::Text(_) => "string",
        FieldKind::Uuid => "uuid",
        FieldKind::Timestamp => "timestamp",
        FieldKind::Duration => "duration",
        FieldKind::Enum(_) => "enum",
        FieldKind::List(_) => "list",
        FieldKind::Map(_) => "map",
        FieldKind::Json => "json",
        FieldKind::Secret(_) => "secret",
        FieldKind::Ref(_) => "ref",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parameters() {
        for (name, expected) in [
            ("Page", "page"),
            ("AccessKey", "access_key"),
            ("S3Bucket", "s3_bucket"),
            ("ACLRule", "acl_rule"),
            ("A", "a"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }

    #[test]
    fn health_says_the_worst() {
        let check = |standing: Standing, status: &str, message: &str| {
            let health = standing.health();
            assert_eq!((health.status, health.message.as_str()), (status, message));
        };
        let by_status = [0, 1, 7, 0, 0, 0];
        let fine = Standing { by_status, exact: true, overdue_seconds: None };
        check(fine.clone(), "ok", "");
        let broken = Standing { by_status: [0, 1, 7, 0, 0, 2], ..fine };
        check(broken.clone(), "degraded", "2 of 10 are in ERROR");
        let stalled = Standing { overdue_seconds: Some(90), ..broken };
        check(stalled, "stalled", "changes have waited for a worker for 90 s");
    }

    #[test]
    fn the_narrower_bound_counts() {
        let check = |min, max, range, expected: (Option<i64>, Option<i64>)| {
            let expected = (expected.0.map(Value::from), expected.1.map(Value::from));
            assert_eq!(bounds(&FieldKind::Integer { min, max }, range), expected);
        };
        check(0, 255, None, (Some(0), Some(255)));
        check(0, 255, Some((1.0, 5.0)), (Some(1), Some(5)));
        check(0, i64::MAX, Some((f64::NEG_INFINITY, 1e300)), (Some(0), None));
        check(i64::MIN, i64::MAX, None, (None, None));
    }
}
