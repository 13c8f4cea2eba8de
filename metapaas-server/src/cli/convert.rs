//! From the text of a `field=value` argument to the JSON of the field's kind.

use serde_json::{Map, Number, Value};

use super::text::did_you_mean;
use super::types::FieldInfo;

/// The value that `text` stands for in `field`.
///
/// `null` stands for null where it can be no other value; in texts and secrets it is the word itself.
pub(crate) fn convert(field: &FieldInfo, text: &str) -> Result<Value, String> {
    let variants = field.variants.as_deref().unwrap_or_default();
    let is_text =
        matches!(field.kind.as_str(), "string" | "secret") || variants.iter().any(|name| name == "null");
    if text == "null" && !is_text {
        // The server decides whether null is allowed, except where its answer could only puzzle.
        return if field.nullable || field.kind == "json" {
            Ok(Value::Null)
        } else {
            Err(format!("cannot be null; expected {}", expects(&field.kind)))
        };
    }
    match field.kind.as_str() {
        "list" if text.is_empty() => Ok(Value::Array(Vec::new())),
        "list" if text.starts_with('[') => json(text, "a JSON array or items with commas between"),
        "list" => text.split(',').map(|item| scalar(items(field), variants, item.trim())).collect(),
        "map" if text.is_empty() => Ok(Value::Object(Map::new())),
        "map" if text.starts_with('{') => json(text, "a JSON object or k=v with commas between"),
        "map" => text
            .split(',')
            .map(|pair| entry(items(field), pair))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        kind => scalar(kind, variants, text),
    }
}

fn items(field: &FieldInfo) -> &str {
    field.items.as_deref().unwrap_or("string")
}

fn entry(kind: &str, pair: &str) -> Result<(String, Value), String> {
    let (key, value) =
        pair.split_once('=').ok_or_else(|| format!("expected k=v with commas between, found `{pair}`"))?;
    Ok((key.trim().to_owned(), scalar(kind, &[], value.trim())?))
}

fn scalar(kind: &str, variants: &[String], text: &str) -> Result<Value, String> {
    let wrong = || format!("expected {}, found `{text}`", expects(kind));
    match kind {
        "boolean" => text.parse().map(Value::Bool).map_err(|_| wrong()),
        "integer" => {
            let number =
                text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
            number.map(Value::Number).map_err(|_| wrong())
        }
        "number" => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number).ok_or_else(wrong),
        "enum" if !variants.is_empty() && variants.iter().all(|name| name != text) => {
            let hint = did_you_mean(text, variants.iter().map(String::as_str));
            Err(format!("expected one of {}, found `{text}`{hint}", variants.join(", ")))
        }
        "uuid" => text.parse::<uuid::Uuid>().map(|id| Value::String(id.to_string())).map_err(|_| wrong()),
        "timestamp" => match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(_) => Ok(Value::String(text.to_owned())),
            Err(_) => Err(wrong()),
        },
        "duration" => match humantime::parse_duration(text) {
            Ok(_) => Ok(Value::String(text.to_owned())),
            Err(_) => Err(wrong()),
        },
        // A word that is no JSON is meant as text: `extra.color=red`.
        "json" => Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))),
        "list" | "map" => json(text, expects(kind)),
        // Texts, secrets, references, and kinds that this program does not know yet: the server checks them.
        _ => Ok(Value::String(text.to_owned())),
    }
}

fn json(text: &str, expected: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|problem| format!("expected {expected}: {problem}"))
}

fn expects(kind: &str) -> &'static str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "uuid" => "a UUID",
        "ref" => "the id (UUID) of another resource",
        "timestamp" => "a time such as 2026-01-31T12:00:00Z",
        "duration" => "a duration such as 90s or 1h 30m",
        "enum" => "one of its values",
        "list" => "items with commas between, or a JSON array",
        "map" => "k=v with commas between, or a JSON object",
        _ => "a value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(kind: &str, items: Option<&str>, text: &str, expected: Result<Value, &str>) {
        let field = FieldInfo {
            kind: kind.into(),
            items: items.map(str::to_owned),
            nullable: kind == "duration",
            variants: (kind == "enum").then(|| vec!["light".into(), "dark".into()]),
            ..FieldInfo::default()
        };
        match (convert(&field, text), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{kind} {text}"),
            (Err(detail), Err(part)) => assert!(detail.contains(part), "{kind} {text}: {detail}"),
            (found, _) => panic!("{kind} {text} gives {found:?}"),
        }
    }

    #[test]
    fn each_kind_takes_its_text() {
        check("boolean", None, "true", Ok(json!(true)));
        check("boolean", None, "yes", Err("expected true or false, found `yes`"));
        check("integer", None, "-3", Ok(json!(-3)));
        check("integer", None, "18446744073709551615", Ok(json!(u64::MAX)));
        check("integer", None, "1.5", Err("expected a whole number"));
        check("integer", None, "", Err("expected a whole number"));
        check("number", None, "1.5", Ok(json!(1.5)));
        check("number", None, "NaN", Err("expected a number"));
        check("string", None, "007", Ok(json!("007")));
        check("string", None, "null", Ok(json!("null")));
        check("secret", None, "null", Ok(json!("null")));
        check("integer", None, "null", Err("cannot be null"));
        check("duration", None, "null", Ok(json!(null)));
        check("duration", None, "1h 30m", Ok(json!("1h 30m")));
        check("duration", None, "soon", Err("expected a duration such as"));
        check("timestamp", None, "2026-01-31T12:00:00Z", Ok(json!("2026-01-31T12:00:00Z")));
        check("timestamp", None, "today", Err("expected a time such as"));
        check("uuid", None, "x", Err("expected a UUID"));
        check("enum", None, "dark", Ok(json!("dark")));
        check("enum", None, "drak", Err("expected one of light, dark, found `drak`; did you mean `dark`?"));
        check("json", None, "{\"a\":1}", Ok(json!({"a": 1})));
        check("json", None, "red", Ok(json!("red")));
        check("a-kind-of-tomorrow", None, "x", Ok(json!("x")));
    }

    #[test]
    fn lists_and_maps_convert_their_items() {
        check("list", Some("integer"), "1, 2,3", Ok(json!([1, 2, 3])));
        check("list", Some("integer"), "1,x", Err("expected a whole number, found `x`"));
        check("list", Some("string"), "", Ok(json!([])));
        check("list", Some("string"), "[\"a,b\"]", Ok(json!(["a,b"])));
        check("list", Some("string"), "[broken", Err("expected a JSON array"));
        check("map", Some("string"), "a=1,b=x=y", Ok(json!({"a": "1", "b": "x=y"})));
        check("map", Some("integer"), "a=1", Ok(json!({"a": 1})));
        check("map", Some("integer"), "a", Err("expected k=v with commas between, found `a`"));
        check("map", None, "{\"a\":\"b\"}", Ok(json!({"a": "b"})));
    }
}
