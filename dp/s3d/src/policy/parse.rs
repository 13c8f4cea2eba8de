//! From JSON to a [`Policy`], or all that is wrong with it.

use serde_json::{Map, Value};

use super::condition::{Condition, Operator, Quantifier, Test};
use super::names::{is_action, is_key};
use super::{Policy, Selection, Statement};

/// A JSON pointer and what is wrong there.
pub type Problem = (String, String);

const OPERATORS: &str = "StringEquals, StringLike, NumericEquals, NumericLessThan, DateGreaterThan, Bool, IpAddress, \
                         Null and their relatives, with ForAnyValue:, ForAllValues: and IfExists";

pub(super) fn policy(document: &Value) -> Result<Policy, Vec<Problem>> {
    let mut problems = Problems(vec![]);
    let Value::Object(document) = document else {
        return Err(vec![(String::new(), "a policy is a JSON object".into())]);
    };
    problems.only(document, "", &["Version", "Id", "Statement"]);
    match document.get("Version") {
        Some(Value::String(version)) if version == "2012-10-17" => {}
        _ => problems.add("/Version", "must be \"2012-10-17\""),
    }
    if document.get("Id").is_some_and(|id| !id.is_string()) {
        problems.add("/Id", "must be a text");
    }
    let statements: Vec<(String, &Value)> = match document.get("Statement") {
        Some(Value::Array(all)) if !all.is_empty() => {
            all.iter().enumerate().map(|(number, one)| (format!("/Statement/{number}"), one)).collect()
        }
        Some(one @ Value::Object(_)) => vec![("/Statement".into(), one)],
        _ => {
            problems.add("/Statement", "must be a statement, or an array of at least one");
            vec![]
        }
    };
    let statements =
        statements.iter().filter_map(|(pointer, one)| problems.statement(pointer, one)).collect();
    if problems.0.is_empty() { Ok(Policy { statements }) } else { Err(problems.0) }
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push((pointer.into(), message.into()));
    }

    fn only(&mut self, object: &Map<String, Value>, pointer: &str, known: &[&str]) {
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            let message = match name.as_str() {
                "Principal" | "NotPrincipal" => {
                    "is not for policies of users: they apply to who they are attached to"
                }
                _ => "is unknown here; names are written as in AWS, upper and lower case too",
            };
            self.add(join(pointer, name), message);
        }
    }

    fn statement(&mut self, pointer: &str, statement: &Value) -> Option<Statement> {
        let Value::Object(statement) = statement else {
            self.add(pointer, "a statement is a JSON object");
            return None;
        };
        let known = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        self.only(statement, pointer, &known);
        if statement.get("Sid").is_some_and(|sid| !sid.is_string()) {
            self.add(join(pointer, "Sid"), "must be a text");
        }
        let allows = match statement.get("Effect").and_then(Value::as_str) {
            Some("Allow") => true,
            Some("Deny") => false,
            _ => {
                self.add(join(pointer, "Effect"), "must be \"Allow\" or \"Deny\"");
                false
            }
        };
        let actions = self.selection(statement, pointer, "Action", |action| {
            (!is_action(action)).then_some("is no action of S3, such as \"s3:GetObject\" or \"s3:Get*\"")
        });
        let resources = self.selection(statement, pointer, "Resource", |resource| {
            let name = resource.strip_prefix("arn:aws:s3:::").filter(|name| !name.is_empty());
            (resource != "*" && name.is_none())
                .then_some("must be \"*\", \"arn:aws:s3:::BUCKET\" or \"arn:aws:s3:::BUCKET/KEY\"")
        });
        let conditions = match statement.get("Condition") {
            None => vec![],
            Some(block) => self.conditions(&join(pointer, "Condition"), block),
        };
        Some(Statement { allows, actions: actions?, resources: resources?, conditions })
    }

    fn selection(
        &mut self,
        statement: &Map<String, Value>,
        pointer: &str,
        name: &str,
        refuse: fn(&str) -> Option<&'static str>,
    ) -> Option<Selection> {
        let not = format!("Not{name}");
        let (name, value, inverted) = match (statement.get(name), statement.get(&not)) {
            (Some(value), None) => (name, value, false),
            (None, Some(value)) => (&*not, value, true),
            (both, _) => {
                let where_ = if both.is_some() { join(pointer, &not) } else { join(pointer, name) };
                self.add(where_, format!("one of {name} and {not} is needed"));
                return None;
            }
        };
        let mut patterns = vec![];
        for (pointer, value) in texts(&join(pointer, name), value) {
            match value {
                Value::String(text) => match refuse(text).or_else(|| bad_variable(text)) {
                    Some(message) => self.add(pointer, message),
                    None => patterns.push(text.clone()),
                },
                _ => self.add(pointer, "must be a text, or an array of at least one text"),
            }
        }
        Some(Selection { inverted, patterns })
    }

    fn conditions(&mut self, pointer: &str, block: &Value) -> Vec<Condition> {
        let mut conditions = vec![];
        let Value::Object(block) = block else {
            self.add(pointer, "must be an object of operators");
            return conditions;
        };
        for (written, keys) in block {
            let pointer = join(pointer, written);
            let (quantifier, name) = match written.split_once(':') {
                Some(("ForAnyValue", name)) => (Quantifier::AnyValue, name),
                Some(("ForAllValues", name)) => (Quantifier::AllValues, name),
                _ => (Quantifier::One, written.as_str()),
            };
            let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
            let operator = Operator::named(name).filter(|operator| !if_exists || operator.test != Test::Null);
            let (Some(operator), Value::Object(keys)) = (operator, keys) else {
                let what =
                    if operator.is_none() { "is not an operator" } else { "must be an object of keys" };
                self.add(pointer, format!("{what}; there are {OPERATORS}"));
                continue;
            };
            for (key, value) in keys {
                let pointer = join(&pointer, key);
                if !is_key(key) {
                    self.add(&pointer, "is not a condition key that this service has values for");
                }
                let values = self.values(&pointer, value, operator);
                conditions.push(Condition { operator, quantifier, if_exists, key: key.clone(), values });
            }
        }
        conditions
    }

    fn values(&mut self, pointer: &str, value: &Value, operator: Operator) -> Vec<String> {
        let mut values = vec![];
        for (pointer, value) in texts(pointer, value) {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                _ => {
                    self.add(pointer, "must be a text, or an array of at least one text");
                    continue;
                }
            };
            match operator.refuse(&text).or_else(|| bad_variable(&text)) {
                Some(message) => self.add(pointer, message),
                None => values.push(text),
            }
        }
        values
    }
}

/// The items of an array, or the one value; an empty array is an item that is no text.
fn texts<'v>(pointer: &str, value: &'v Value) -> Vec<(String, &'v Value)> {
    match value {
        Value::Array(all) if !all.is_empty() => {
            all.iter().enumerate().map(|(number, one)| (format!("{pointer}/{number}"), one)).collect()
        }
        one => vec![(pointer.to_owned(), one)],
    }
}

fn bad_variable(text: &str) -> Option<&'static str> {
    for after in text.split("${").skip(1) {
        let Some((name, _)) = after.split_once('}') else { return Some("has a `${` without its `}`") };
        let name = name.split(',').next().unwrap_or_default().trim();
        if !matches!(name, "*" | "?" | "$") && !is_key(name) {
            return Some("has a variable that this service has no value for");
        }
    }
    None
}

fn join(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}
