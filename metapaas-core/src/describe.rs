//! What `GET /v1/types` says of the hosted types: enough to drive a command line or a form.

use serde_json::{Map, Value, json};

use crate::action::ActionDescriptor;
use crate::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};
use crate::registry::{RegisteredType, Registry};

/// Every instance type with the types below it; `counts` says how many instances the caller may see.
pub fn types(registry: &Registry, counts: &dyn Fn(&RegisteredType) -> Option<i64>) -> Value {
    registry.roots().map(|root| one(registry, root, counts(root))).collect()
}

/// An instance type with the types below it.
pub fn one(registry: &Registry, root: &RegisteredType, count: Option<i64>) -> Value {
    let plugin = &registry.plugins()[root.plugin];
    let types: Vec<Value> = std::iter::once(root).chain(registry.below(root.index)).map(ty).collect();
    let mut counts = Map::new();
    if let Some(count) = count {
        counts.insert("instances".into(), count.into());
    }
    json!({
        "slug": root.ty.slug,
        "element": root.ty.element,
        "plugin": plugin.name,
        "plugin_version": plugin.version,
        "description": root.ty.doc,
        "counts": counts,
        "health": { "status": "ok" },
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
