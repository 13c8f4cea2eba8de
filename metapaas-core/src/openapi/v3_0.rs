//! The document for generators that know OpenAPI 3.0 only, and one media type a body and one form an outcome.
//!
//! What it cannot say it leaves out: names of map members, the merge-patch media type that PATCH takes as well, the
//! body of a 202 where a 204 may come instead. Problems stand under `application/json`, by which such generators
//! tell that they are JSON.

use serde_json::{Map, Value, json};

use super::OpenApi;

const NOTE: &str = "This is the reduced form for generators that know OpenAPI 3.0; the whole document is the one of \
                    OpenAPI 3.1.";

/// The reduced form of a document.
pub fn reduced(document: &OpenApi) -> Value {
    // The document is made of strings and maps; it serialises.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    walk(&mut document);
    document["openapi"] = json!("3.0.3");
    if let Some(info) = document["info"].as_object_mut() {
        let description = info.get("description").and_then(Value::as_str).unwrap_or_default();
        info.insert("description".into(), format!("{description}\n\n{NOTE}").trim_start().into());
        if let Some(license) = info.get_mut("license").and_then(Value::as_object_mut) {
            license.remove("identifier");
        }
    }
    for item in members(&mut document["paths"]) {
        for operation in members(item) {
            outcomes(operation);
        }
    }
    for answer in members(&mut document["components"]["responses"]) {
        rename(&mut answer["content"], "application/problem+json", "application/json");
    }
    document
}

/// One media type a request, one form of success.
fn outcomes(operation: &mut Value) {
    let Some(operation) = operation.as_object_mut() else { return };
    if let Some(content) = operation.get_mut("requestBody").and_then(|body| body["content"].as_object_mut())
        && content.contains_key("application/json")
    {
        content.retain(|media_type, _| media_type == "application/json");
    }
    let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for answer in answers.values_mut() {
        if let Some(answer) = answer.as_object_mut()
            && let Some(content) = answer.get_mut("content")
        {
            rename(content, "application/problem+json", "application/json");
        }
    }
    if answers.contains_key("204")
        && let Some(other) = answers.get_mut("202").and_then(Value::as_object_mut)
    {
        other.remove("content");
    }
}

fn rename(content: &mut Value, from: &str, to: &str) {
    if let Some(content) = content.as_object_mut()
        && let Some(schema) = content.remove(from)
    {
        content.insert(to.into(), schema);
    }
}

fn members(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(Map::values_mut)
}

/// Rewrites every schema below a node that is none itself.
fn walk(node: &mut Value) {
    match node {
        Value::Object(all) => {
            for (name, member) in all {
                match name.as_str() {
                    "schema" => schema(member),
                    "schemas" => members(member).for_each(schema),
                    "example" | "examples" | "default" => {}
                    _ => walk(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(walk),
        _ => {}
    }
}

/// Rewrites a schema and those in it.
fn schema(node: &mut Value) {
    let Some(this) = node.as_object_mut() else { return };
    for keyword in ["properties", "patternProperties"] {
        this.get_mut(keyword).into_iter().flat_map(members).for_each(schema);
    }
    for keyword in ["items", "additionalProperties", "not"] {
        this.get_mut(keyword).into_iter().for_each(schema);
    }
    let mut may_be_null = false;
    for keyword in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(choices)) = this.get_mut(keyword) {
            let before = choices.len();
            choices.retain(|choice| choice["type"] != "null");
            may_be_null |= choices.len() < before;
            choices.iter_mut().for_each(schema);
        }
    }
    if let Some(Value::Array(types)) = this.get_mut("type") {
        let before = types.len();
        types.retain(|ty| ty != "null");
        may_be_null |= types.len() < before;
        match types.as_slice() {
            [one] => {
                let one = one.clone();
                this.insert("type".into(), one);
            }
            _ => {
                this.remove("type");
            }
        }
    }
    if may_be_null {
        this.insert("nullable".into(), true.into());
    }
    if let Some(value) = this.remove("const") {
        this.insert("enum".into(), json!([value]));
    }
    if let Some(Value::Array(examples)) = this.remove("examples")
        && let Some(example) = examples.into_iter().next()
    {
        this.insert("example".into(), example);
    }
    for (keyword, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if this.get(keyword).is_some_and(Value::is_number)
            && let Some(number) = this.insert(keyword.into(), true.into())
        {
            this.insert(bound.into(), number);
        }
    }
    for unknown in ["propertyNames", "patternProperties", "contentMediaType", "contentEncoding"] {
        this.remove(unknown);
    }
    if this.len() > 1
        && let Some(reference) = this.remove("$ref")
    {
        this.insert("allOf".into(), json!([{ "$ref": reference }]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_of_3_1_become_those_of_3_0() {
        let check = |from: Value, expected: Value| {
            let mut found = from;
            schema(&mut found);
            assert_eq!(found, expected);
        };
        check(json!({"type": ["string", "null"]}), json!({"type": "string", "nullable": true}));
        check(
            json!({"properties": {"type": {"type": ["integer", "null"]}}}),
            json!({"properties": {"type": {"type": "integer", "nullable": true}}}),
        );
        check(
            json!({"oneOf": [{"$ref": "#/a"}, {"type": "null"}]}),
            json!({"oneOf": [{"$ref": "#/a"}], "nullable": true}),
        );
        check(json!({"const": "a"}), json!({"enum": ["a"]}));
        check(json!({"exclusiveMinimum": 3}), json!({"exclusiveMinimum": true, "minimum": 3}));
        check(
            json!({"$ref": "#/a", "description": "b"}),
            json!({"allOf": [{"$ref": "#/a"}], "description": "b"}),
        );
        check(json!({"type": "string", "examples": ["a", "b"]}), json!({"type": "string", "example": "a"}));
        check(
            json!({"additionalProperties": {"type": ["array", "null"], "items": {"const": 1}}, "propertyNames": {}}),
            json!({"additionalProperties": {"type": "array", "nullable": true, "items": {"enum": [1]}}}),
        );
        check(json!(false), json!(false));
    }
}
