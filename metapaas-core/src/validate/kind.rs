//! Values of each field kind: their canonical form, and the rules `len`, `range` and `pattern`.

use chrono::{DateTime, Datelike, Utc};
use regex::Regex;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::descriptor::{FieldDescriptor, FieldKind};
use crate::error::Problem;
use crate::resource::rfc3339;

/// The canonical form of `value`; problems are added, and then the answer is of no use.
///
/// Two values that mean the same have one canonical form, and it survives both databases.
pub fn canonical(kind: &FieldKind, value: &Value, pointer: &str, problems: &mut Vec<Problem>) -> Value {
    let mut wrong = |code, detail: String| {
        problems.push(Problem::new(pointer, code, detail));
        Value::Null
    };
    match kind {
        FieldKind::Bool if value.is_boolean() => value.clone(),
        FieldKind::Integer { min, max } => match whole_number(value) {
            Some(number) if (*min..=*max).contains(&number) => Value::from(number),
            Some(_) => wrong("OUT_OF_RANGE", format!("expected {}", expects(kind))),
            None if value.is_number() => wrong("OUT_OF_RANGE", format!("expected {}", expects(kind))),
            None => wrong("INVALID_TYPE", format!("expected {}", expects(kind))),
        },
        FieldKind::Float => match value.as_f64() {
            // The sum has no sign when it is zero; SQLite keeps none.
            Some(number) if number.is_finite() => Value::from(number + 0.0),
            _ => wrong("INVALID_TYPE", format!("expected {}", expects(kind))),
        },
        FieldKind::Text(format) => match value.as_str() {
            Some(text) if text.contains('\0') => wrong("INVALID_VALUE", "may not hold NUL (U+0000)".into()),
            Some(text) if text.chars().count() as u64 > format.max_len => {
                wrong("TOO_LONG", format!("expected at most {} characters", format.max_len))
            }
            Some(text) if (format.accepts)(text) => value.clone(),
            Some(_) => wrong("INVALID_VALUE", format!("expected {}", format.expects)),
            None => wrong("INVALID_TYPE", format!("expected {}", expects(kind))),
        },
        FieldKind::Uuid | FieldKind::Ref(_) => {
            match value.as_str().and_then(|text| text.parse::<Uuid>().ok()) {
                Some(id) => Value::String(id.to_string()),
                None => wrong("INVALID_VALUE", format!("expected {}", expects(kind))),
            }
        }
        FieldKind::Timestamp => match value.as_str().and_then(timestamp) {
            Some(time) if (1..=9999).contains(&time.year()) => Value::String(rfc3339(time)),
            _ => wrong("INVALID_VALUE", format!("expected {}", expects(kind))),
        },
        FieldKind::Duration => match value.as_str().map(humantime::parse_duration) {
            Some(Ok(duration))
                if i64::try_from(duration.as_millis()).is_ok()
                    && duration.subsec_nanos() % 1_000_000 == 0 =>
            {
                Value::String(humantime::format_duration(duration).to_string())
            }
            _ => wrong("INVALID_VALUE", format!("expected {}", expects(kind))),
        },
        FieldKind::Enum(variants) => match value.as_str() {
            Some(name) if variants.iter().any(|variant| variant.name == name) => value.clone(),
            _ => wrong("INVALID_VALUE", format!("expected {}", expects(kind))),
        },
        FieldKind::List(item) => match value.as_array() {
            Some(items) => {
                let items = items.iter().enumerate();
                let item = |(index, value)| canonical(item, value, &format!("{pointer}/{index}"), problems);
                whole_numbers(items.map(item).collect())
            }
            None => wrong("INVALID_TYPE", format!("expected {}", expects(kind))),
        },
        FieldKind::Map(item) => match value.as_object() {
            Some(items) if items.keys().any(|key| key.contains('\0')) => {
                wrong("INVALID_VALUE", "keys may not hold NUL (U+0000)".into())
            }
            Some(items) => {
                let mut checked = Map::new();
                for (key, value) in items {
                    let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                    checked.insert(key.clone(), canonical(item, value, &pointer, problems));
                }
                whole_numbers(Value::Object(checked))
            }
            None => wrong("INVALID_TYPE", format!("expected {}", expects(kind))),
        },
        FieldKind::Json if is_deeper(value, JSON_DEPTH) => {
            wrong("INVALID_VALUE", format!("expected JSON of at most {JSON_DEPTH} levels"))
        }
        FieldKind::Json if holds_nul(value) => {
            wrong("INVALID_VALUE", "text may not hold NUL (U+0000)".into())
        }
        FieldKind::Json => whole_numbers(value.clone()),
        FieldKind::Secret(inner) => canonical(inner, value, pointer, problems),
        FieldKind::Bool => wrong("INVALID_TYPE", format!("expected {}", expects(kind))),
    }
}

/// `3` and `3.0` are the same number in JSON.
pub fn whole_number(value: &Value) -> Option<i64> {
    // 2^63, the first number past i64; every smaller whole f64 fits exactly.
    const END: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    value.as_i64().or_else(|| {
        value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && number.abs() < END)
            .map(|number| number as i64)
    })
}

/// PostgreSQL keeps numbers of JSON in decimal, so `1e3` comes back as `1000`; whole numbers are written so here.
pub(crate) fn whole_numbers(value: Value) -> Value {
    // 2^64: whole numbers below it come back as integers.
    const END: f64 = 18_446_744_073_709_551_616.0;
    match value {
        Value::Number(ref number) => match (whole_number(&value), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::from(number),
            (None, None, Some(float)) if float.fract() == 0.0 && (0.0..END).contains(&float) =>
            {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
                Value::from(float as u64)
            }
            _ => value,
        },
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(key, value)| (key, whole_numbers(value))).collect())
        }
        other => other,
    }
}

/// Greatest depth of JSON. Documents for nodes wrap it a few times, and readers of JSON stop at 128 levels.
const JSON_DEPTH: usize = 64;

fn is_deeper(value: &Value, levels: usize) -> bool {
    match (value, levels) {
        (Value::Array(_) | Value::Object(_), 0) => true,
        (Value::Array(items), _) => items.iter().any(|item| is_deeper(item, levels - 1)),
        (Value::Object(members), _) => members.values().any(|member| is_deeper(member, levels - 1)),
        _ => false,
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

/// Greatest length of a text that is unique: PostgreSQL's index entries end at 2704 bytes.
const INDEXED_TEXT_MAX: usize = 512;

/// `pattern` on a canonical value: on a text, or on each item of a list.
pub(super) fn mismatches(field: &FieldDescriptor, pattern: Option<&Regex>, value: &Value) -> Vec<Problem> {
    let Some(pattern) = pattern else { return Vec::new() };
    let problem = |pointer: String, text: &Value| {
        let is_wrong = text.as_str().is_some_and(|text| !pattern.is_match(text));
        let detail = || format!("expected text that matches {pattern}");
        is_wrong.then(|| Problem::new(pointer, "INVALID_VALUE", detail()))
    };
    let of_items = value.as_array().into_iter().flatten().enumerate();
    let of_items = of_items.filter_map(|(index, item)| problem(format!("/{}/{index}", field.name), item));
    problem(format!("/{}", field.name), value).into_iter().chain(of_items).collect()
}

/// `len` and `range` on a canonical value.
pub(super) fn rules(field: &FieldDescriptor, is_indexed: bool, value: &Value, problems: &mut Vec<Problem>) {
    let mut wrong =
        |code, detail: String| problems.push(Problem::new(format!("/{}", field.name), code, detail));
    if let Some((least, greatest)) = field.len {
        let (length, unit) = match value {
            Value::String(text) => (text.chars().count(), "characters"),
            Value::Array(items) => (items.len(), "items"),
            Value::Object(members) => (members.len(), "members"),
            _ => (0, "characters"),
        };
        if !(least..=greatest).contains(&(length as u64)) {
            let code = if (length as u64) < least { "TOO_SHORT" } else { "TOO_LONG" };
            let bound = if greatest >= u64::from(u32::MAX) {
                format!("at least {least}")
            } else {
                format!("{least} to {greatest}")
            };
            wrong(code, format!("expected {bound} {unit}, found {length}"));
        }
    }
    if is_indexed && value.as_str().is_some_and(|text| text.chars().count() > INDEXED_TEXT_MAX) {
        wrong("TOO_LONG", format!("expected at most {INDEXED_TEXT_MAX} characters, since it is unique"));
    }
    if let (Some((least, greatest)), Some(number)) = (field.range, value.as_f64())
        && !(least..=greatest).contains(&number)
    {
        wrong("OUT_OF_RANGE", format!("expected {least} to {greatest}"));
    }
}

/// What values of a kind are, for error messages.
pub(super) fn expects(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Bool => "true or false".into(),
        FieldKind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        FieldKind::Float => "a number".into(),
        FieldKind::Text(format) => format.expects.into(),
        FieldKind::Uuid => "a UUID".into(),
        FieldKind::Ref(target) => format!("the id (UUID) of a {} that exists", target().name),
        FieldKind::Timestamp => "an RFC 3339 time such as 2026-01-31T12:00:00Z".into(),
        FieldKind::Duration => "a duration of whole milliseconds such as \"1h 30m\"".into(),
        FieldKind::Enum(variants) => {
            let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
            format!("one of {}", names.join(", "))
        }
        FieldKind::List(_) => "an array".into(),
        FieldKind::Map(_) => "an object".into(),
        FieldKind::Json => "JSON".into(),
        FieldKind::Secret(inner) => expects(inner),
    }
}

/// The milliseconds of a canonical duration.
pub(crate) fn duration_millis(text: &str) -> Option<i64> {
    i64::try_from(humantime::parse_duration(text).ok()?.as_millis()).ok()
}

/// The time of a timestamp, in the steps that databases keep; they have no leap seconds.
pub(crate) fn timestamp(text: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}
