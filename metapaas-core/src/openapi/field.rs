//! The schema of a field: what requests may give, what answers show.

use serde_json::Value;
use utoipa::Number;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType};
use utoipa::openapi::{RefOr, Schema, SchemaFormat, Type};

use super::build::{nullable, required_permission};
use super::shared::NAME_PATTERN;
use super::types::with_article;
use crate::describe::{bounds, constant_default, lengths};
use crate::descriptor::{FieldDescriptor, FieldKind, TypeDescriptor};

/// Durations as people write them, the units of which are milliseconds or longer.
const DURATION_PATTERN: &str = "^\\s*([0-9]{1,8}\\s*(millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|\
                                days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)\\s*)+$";

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The body of POST.
    Create,
    /// The body of PATCH.
    Merge,
    /// The body of PUT.
    Replace,
    /// An answer.
    Answer,
}

/// The schema of `field` of `ty`.
pub(super) fn field(ty: &TypeDescriptor, field: &FieldDescriptor, place: Place) -> Schema {
    let is_answer = place == Place::Answer;
    let kind = match &field.kind {
        FieldKind::Secret(inner) => inner,
        kind => kind,
    };
    // In requests, null stands for the default.
    let may_be_null = field.nullable || if is_answer { field.output } else { field.default.is_some() };
    let shape = Shape::of(kind, place == Place::Merge, may_be_null);
    let shape = if is_answer { shape } else { shape.with_rules(ty, field, place) };
    shape.describe(Notes {
        description: description(field, kind, place),
        default: if matches!(place, Place::Create | Place::Replace) { constant_default(field) } else { None },
        read_only: is_answer && field.output,
        write_only: !is_answer && field.is_secret(),
        permission: field.iam.filter(|_| !is_answer).map(|_| ty.field_permission(field.name)),
    })
}

/// A schema on its way: utoipa has arrays apart from all else.
#[expect(clippy::large_enum_variant, reason = "it lives for a moment, once per field")]
enum Shape {
    Array(ArrayBuilder),
    Other(ObjectBuilder),
}

/// What a schema says beside the values it takes.
struct Notes {
    description: Option<String>,
    default: Option<Value>,
    read_only: bool,
    write_only: bool,
    permission: Option<String>,
}

impl Shape {
    /// Values of `kind`. In a merge patch, null takes a member of a map away.
    fn of(kind: &FieldKind, is_patch: bool, may_be_null: bool) -> Self {
        let typed = |ty| ObjectBuilder::new().schema_type(if may_be_null { nullable(ty) } else { ty.into() });
        let text = |format: &str| typed(Type::String).format(Some(SchemaFormat::Custom(format.into())));
        Self::Other(match kind {
            FieldKind::Bool => typed(Type::Boolean),
            FieldKind::Integer { min, max } => {
                let is_short = i32::try_from(*min).is_ok() && i32::try_from(*max).is_ok();
                let format = if is_short { "int32" } else { "int64" };
                let (least, greatest) = bounds(kind, None);
                typed(Type::Integer)
                    .format(Some(SchemaFormat::Custom(format.into())))
                    .minimum(number(least))
                    .maximum(number(greatest))
            }
            FieldKind::Float => typed(Type::Number).format(Some(SchemaFormat::Custom("double".into()))),
            FieldKind::Text(format) => {
                let schema = typed(Type::String).max_length(size(Some(format.max_len)));
                match format.name {
                    "" => schema,
                    "dns-label" => schema.pattern(Some(NAME_PATTERN)),
                    name => schema.format(Some(SchemaFormat::Custom(name.into()))),
                }
            }
            FieldKind::Uuid | FieldKind::Ref(_) => text("uuid"),
            FieldKind::Timestamp => text("date-time"),
            // The format `duration` of JSON Schema is that of ISO 8601, which this is not.
            FieldKind::Duration => typed(Type::String).pattern(Some(DURATION_PATTERN)),
            FieldKind::Enum(variants) => {
                let names = variants.iter().map(|variant| Value::from(variant.name));
                let names: Vec<Value> = names.chain(may_be_null.then_some(Value::Null)).collect();
                typed(Type::String).enum_values(Some(names))
            }
            FieldKind::Map(item) => {
                typed(Type::Object).additional_properties(Some(Self::of(item, is_patch, is_patch).plain()))
            }
            FieldKind::Json => ObjectBuilder::new().schema_type(SchemaType::AnyValue),
            FieldKind::Secret(inner) => return Self::of(inner, is_patch, may_be_null),
            FieldKind::List(item) => {
                let array = ArrayBuilder::new().items(RefOr::T(Self::of(item, false, false).plain()));
                return Self::Array(if may_be_null {
                    array.schema_type(nullable(Type::Array))
                } else {
                    array
                });
            }
        })
    }

    /// Adds the field's own rules.
    fn with_rules(self, ty: &TypeDescriptor, field: &FieldDescriptor, place: Place) -> Self {
        let (least, greatest) = lengths(field);
        let (least, greatest) = (size(least), size(greatest));
        match (self, &field.kind) {
            (Self::Array(array), kind) => {
                let array = array.min_items(least).max_items(greatest);
                Self::Array(match (kind, field.pattern.filter(|pattern| is_common_regex(pattern))) {
                    (FieldKind::List(item @ FieldKind::Text(_)), Some(pattern)) => {
                        let item = match Self::of(item, false, false) {
                            Self::Other(text) => Self::Other(text.pattern(Some(pattern))),
                            array @ Self::Array(_) => array,
                        };
                        array.items(RefOr::T(item.plain()))
                    }
                    _ => array,
                })
            }
            // A patch of a map may name more members, or fewer, than there are in the end.
            (Self::Other(map), FieldKind::Map(_)) if place == Place::Merge => Self::Other(map),
            (Self::Other(map), FieldKind::Map(_)) => {
                Self::Other(map.min_properties(least).max_properties(greatest))
            }
            (Self::Other(text), FieldKind::Text(_) | FieldKind::Secret(FieldKind::Text(_))) => {
                let is_key = ty.key_name() == Some(field.name);
                let least = if is_key { least.max(Some(1)) } else { least };
                let text = text.min_length(least).max_length(greatest);
                Self::Other(match field.pattern.filter(|pattern| is_common_regex(pattern)) {
                    Some(pattern) => text.pattern(Some(pattern)),
                    None => text,
                })
            }
            (Self::Other(numeric), kind @ (FieldKind::Integer { .. } | FieldKind::Float)) => {
                let (least, greatest) = bounds(kind, field.range);
                Self::Other(numeric.minimum(number(least)).maximum(number(greatest)))
            }
            (other, _) => other,
        }
    }

    fn describe(self, notes: Notes) -> Schema {
        let permission = notes.permission.as_deref().map(required_permission);
        match self {
            Self::Other(object) => {
                let object = if notes.read_only { object.read_only(true) } else { object };
                let object = if notes.write_only { object.write_only(true) } else { object };
                // Generators of clients have no way to write a map as a default.
                let default = notes.default.filter(|value| !value.is_object());
                object.description(notes.description).default(default).extensions(permission).into()
            }
            Self::Array(array) => {
                // utoipa's arrays lack these keywords; one entry at most, so that the order is stable.
                let keyword = if notes.read_only { "readOnly" } else { "writeOnly" };
                let marked =
                    (notes.read_only || notes.write_only).then(|| Extensions::from_iter([(keyword, true)]));
                array
                    .description(notes.description)
                    .default(notes.default)
                    .extensions(permission.or(marked))
                    .into()
            }
        }
    }

    fn plain(self) -> Schema {
        match self {
            Self::Array(array) => array.into(),
            Self::Other(object) => object.into(),
        }
    }
}

/// The doc comment, and what the schema's keywords cannot say.
fn description(field: &FieldDescriptor, kind: &FieldKind, place: Place) -> Option<String> {
    let mut paragraphs = vec![field.doc.to_owned()];
    match kind {
        FieldKind::Text(format) if !format.name.is_empty() => paragraphs.push(sentence(format.expects)),
        FieldKind::Duration => paragraphs.push("A duration of whole milliseconds such as `1h 30m`.".into()),
        FieldKind::Ref(target) => paragraphs.push(format!("The id of {}.", with_article(target()))),
        FieldKind::Enum(variants) => {
            let documented = variants.iter().filter(|variant| !variant.doc.is_empty());
            let lines: Vec<String> = documented
                .map(|variant| format!("- `{}`: {}", variant.name, variant.doc.replace('\n', " ")))
                .collect();
            paragraphs.push(lines.join("\n"));
        }
        _ => {}
    }
    let is_request = place != Place::Answer;
    if let (true, Some(pattern)) = (is_request, field.pattern.filter(|pattern| !is_common_regex(pattern))) {
        paragraphs.push(format!("Matches `{pattern}` (syntax of the Rust crate regex)."));
    }
    if matches!(place, Place::Merge | Place::Replace) && !field.is_mutable() {
        paragraphs.push("Cannot change after create; may be repeated.".into());
    }
    if let (true, Some(role)) = (is_request, field.iam) {
        paragraphs.push(format!("Only the role {} may set it.", role.as_str()));
    }
    if field.is_secret() && field.default.is_some() {
        paragraphs
            .push("Generated when not given; the create answer shows a generated one, this once.".into());
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    (!paragraphs.is_empty()).then(|| paragraphs.join("\n\n"))
}

/// "a domain" to "A domain."
fn sentence(expects: &str) -> String {
    let mut letters = expects.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// Whether a pattern of the crate `regex` means the same to the regular expressions of ECMA-262.
fn is_common_regex(pattern: &str) -> bool {
    let foreign = [
        "\\A", "\\z", "\\Z", "\\x{", "\\u{", "\\U", "\\p", "\\P", "\\a", "[[", "[:", "&&", "--", "~~", "[^]",
        "[]",
    ];
    let groups = pattern.match_indices("(?").all(|(at, _)| pattern[at..].starts_with("(?:"));
    groups && !foreign.iter().any(|part| pattern.contains(part))
}

fn size(length: Option<u64>) -> Option<usize> {
    length.and_then(|length| usize::try_from(length).ok())
}

fn number(value: Option<Value>) -> Option<Number> {
    let value = value?;
    value.as_i64().map(Number::from).or_else(|| value.as_f64().map(Number::from))
}
