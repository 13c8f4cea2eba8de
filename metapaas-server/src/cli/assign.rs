//! `field=value` arguments: into the body of a request, by what the type says of its fields.

use std::io::Read;

use serde_json::{Map, Value};

use super::convert::convert;
use super::error::{CliError, Mistake};
use super::text::did_you_mean;
use super::types::{FieldInfo, TypeInfo};

/// What the command line gives for a body.
#[derive(Default)]
pub(crate) struct Given<'a> {
    /// `field=value` arguments.
    pub(crate) assignments: &'a [String],
    /// Fields and texts that stand for themselves, even when they begin with `@`.
    pub(crate) literals: Vec<(&'a str, &'a str)>,
    /// Labels and their values.
    pub(crate) labels: Vec<(&'a str, &'a str)>,
}

/// The body that the assignments make.
///
/// # Errors
/// Every wrong field at once.
pub(crate) fn body(ty: &TypeInfo, given: &Given<'_>) -> Result<Map<String, Value>, CliError> {
    let fields = known_fields(ty);
    let mut body = Map::new();
    let mut mistakes = Vec::new();
    for (name, text) in &given.literals {
        let value = find(&fields, name).and_then(|field| convert(field, text));
        if let Err(detail) = value.and_then(|value| put(&mut body, &[name], value)) {
            mistakes.push(mistake(name, detail));
        }
    }
    for text in given.assignments {
        let assignment = Assignment::parse(text)?;
        if let Err(detail) = assign(&fields, &assignment, &mut body) {
            mistakes.push(mistake(assignment.target, detail));
        }
    }
    for (key, text) in &given.labels {
        if let Err(detail) = put(&mut body, &["labels", key], Value::String((*text).to_owned())) {
            mistakes.push(mistake(&format!("labels.{key}"), detail));
        }
    }
    if mistakes.is_empty() { Ok(body) } else { Err(CliError::Invalid(mistakes)) }
}

/// One `target=value`, `target:=JSON`, `target=@file` or `target:=@file`.
#[derive(Debug)]
struct Assignment<'a> {
    /// A field, or a field and what is in it, e.g. `labels.tier`.
    target: &'a str,
    value: &'a str,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Converted by the kind of the field.
    Converted,
    /// JSON as it stands.
    Json,
}

impl<'a> Assignment<'a> {
    fn parse(text: &'a str) -> Result<Self, CliError> {
        let (target, value) =
            text.split_once('=').filter(|(target, _)| !target.is_empty() && *target != ":").ok_or_else(
                || CliError::Usage(format!("`{text}` is no assignment; write field=value or field:=JSON")),
            )?;
        Ok(match target.strip_suffix(':') {
            Some(target) => Self { target, value, form: Form::Json },
            None => Self { target, value, form: Form::Converted },
        })
    }
}

fn mistake(field: &str, detail: impl Into<String>) -> Mistake {
    Mistake { field: field.to_owned(), detail: detail.into() }
}

/// The type's own fields and those that the framework gives.
fn known_fields(ty: &TypeInfo) -> Vec<FieldInfo> {
    let framework =
        |name: &str, kind: &str| FieldInfo { name: name.into(), kind: kind.into(), ..FieldInfo::default() };
    let mut fields = ty.fields.clone();
    let mut offered = vec![framework("description", "string"), framework("labels", "map")];
    if ty.parent.is_none() {
        offered.push(framework("version", "string"));
        offered.push(framework("deletion_protection", "boolean"));
    }
    if ty.key() == Some("name") {
        offered.push(framework("name", "string"));
    }
    offered.retain(|field| fields.iter().all(|own| own.name != field.name));
    fields.extend(offered);
    fields
}

fn assign(
    fields: &[FieldInfo],
    assignment: &Assignment<'_>,
    body: &mut Map<String, Value>,
) -> Result<(), String> {
    let (name, member) = match assignment.target.split_once('.') {
        Some((name, member)) => (name, Some(member)),
        None => (assignment.target, None),
    };
    let field = find(fields, name)?;
    let (kind, items) = match (member, field.kind.as_str()) {
        (None, kind) => (kind, field.items.as_deref()),
        (Some(""), _) => return Err("has a dot and nothing after it".into()),
        (Some(_), "map") => (field.items.as_deref().unwrap_or("string"), None),
        (Some(_), "json") => ("json", None),
        (Some(_), kind) => return Err(format!("`{name}` is a {kind} and has no parts")),
    };
    let target = FieldInfo {
        kind: kind.to_owned(),
        items: items.map(str::to_owned),
        nullable: field.nullable && member.is_none(),
        ..field.clone()
    };
    let value = value_of(&target, assignment)?;
    let path: Vec<&str> = match (member, field.kind.as_str()) {
        (None, _) => vec![name],
        // Keys of maps hold dots themselves, as in `labels.example.org/tier`.
        (Some(key), "map") => vec![name, key],
        (Some(path), _) => std::iter::once(name).chain(path.split('.')).collect(),
    };
    put(body, &path, value)
}

fn find<'a>(fields: &'a [FieldInfo], name: &str) -> Result<&'a FieldInfo, String> {
    let settable = || fields.iter().filter(|field| !field.output).map(|field| field.name.as_str());
    match fields.iter().find(|field| field.name == name) {
        Some(field) if field.output => Err("is set by the platform and cannot be given".into()),
        Some(field) => Ok(field),
        None => {
            let known = settable().collect::<Vec<_>>().join(", ");
            Err(format!("there is no such field{}; there are: {known}", did_you_mean(name, settable())))
        }
    }
}

fn value_of(field: &FieldInfo, assignment: &Assignment<'_>) -> Result<Value, String> {
    let read;
    let mut text = assignment.value;
    if let Some(file) = text.strip_prefix('@') {
        read = read_text(file)?;
        text = &read;
        // An editor's last line break is not part of a password, nor of a number.
        if field.is_secret() || field.kind != "string" {
            text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        }
    }
    match assignment.form {
        Form::Json => serde_json::from_str(text).map_err(|problem| format!("is not JSON: {problem}")),
        Form::Converted => convert(field, text),
    }
}

fn read_text(file: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| text),
        path => std::fs::read_to_string(path),
    };
    read.map_err(|problem| {
        format!("cannot read {}: {problem}", if file == "-" { "standard input" } else { file })
    })
}

/// Puts the value at that place; the objects on the way are made.
fn put(body: &mut Map<String, Value>, path: &[&str], value: Value) -> Result<(), String> {
    let Some((last, above)) = path.split_last() else { return Ok(()) };
    let mut object = body;
    for name in above {
        let next = object.entry((*name).to_owned()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(members) = next else {
            return Err(format!("`{name}` is given a value of its own as well"));
        };
        object = members;
    }
    match object.get(*last) {
        Some(_) => Err("is given twice".into()),
        None => {
            object.insert((*last).to_owned(), value);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub::demo_types;
    use super::super::types::Types;
    use super::*;
    use serde_json::json;

    fn body_of(types: &Types, assignments: &[String]) -> Result<Map<String, Value>, CliError> {
        body(&types.items[0].types[0], &Given { assignments, ..Given::default() })
    }

    fn check(assignments: &[&str], expected: Result<Value, &[(&str, &str)]>) {
        let types = demo_types();
        let assignments: Vec<String> = assignments.iter().map(|&text| text.into()).collect();
        match (body_of(&types, &assignments), expected) {
            (Ok(body), Ok(expected)) => assert_eq!(Value::Object(body), expected),
            (Err(CliError::Invalid(mistakes)), Err(expected)) => {
                assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
                for (mistake, (field, part)) in mistakes.iter().zip(expected) {
                    assert_eq!(mistake.field, *field);
                    assert!(mistake.detail.contains(part), "{mistake:?} should say {part}");
                }
            }
            (found, _) => panic!("{assignments:?} gives {found:?}"),
        }
    }

    #[test]
    fn assignments_make_a_body() {
        check(&["greeting=a=b", "replicas=2"], Ok(json!({"greeting": "a=b", "replicas": 2})));
        check(&["greeting=", "description="], Ok(json!({"greeting": "", "description": ""})));
        check(&["extra:={\"a\":[1]}", "replicas:=null"], Ok(json!({"extra": {"a": [1]}, "replicas": null})));
        check(
            &["labels.tier=web", "labels.example.org/team=a.b", "labels.old:=null"],
            Ok(json!({"labels": {"tier": "web", "example.org/team": "a.b", "old": null}})),
        );
        check(&["extra.a.b=1", "extra.a.c=text"], Ok(json!({"extra": {"a": {"b": 1, "c": "text"}}})));
        check(&["limits.cpu=2"], Ok(json!({"limits": {"cpu": 2}})));
    }

    #[test]
    fn every_wrong_field_is_named() {
        check(
            &["greting=x", "replicas=many", "endpoint=y", "greeting.a=b"],
            Err(&[
                ("greting", "did you mean `greeting`?; there are: greeting,"),
                ("replicas", "expected a whole number"),
                ("endpoint", "set by the platform"),
                ("greeting.a", "is a string and has no parts"),
            ]),
        );
        check(&["replicas=1", "replicas=2"], Err(&[("replicas", "given twice")]));
        check(&["labels=a=b", "labels.c=d"], Ok(json!({"labels": {"a": "b", "c": "d"}})));
        check(&["labels.c=d", "labels=a=b"], Err(&[("labels", "given twice")]));
        check(&["extra=1", "extra.a=2"], Err(&[("extra.a", "value of its own")]));
        check(&["extra:={"], Err(&[("extra", "is not JSON")]));
        check(&["greeting=@/does/not/exist"], Err(&[("greeting", "cannot read /does/not/exist")]));
    }

    #[test]
    fn a_file_gives_a_text_as_it_is_and_a_secret_without_its_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("value");
        std::fs::write(&file, "text\n").unwrap();
        let file = file.display();
        check(
            &[&format!("greeting=@{file}"), &format!("password=@{file}")],
            Ok(json!({"greeting": "text\n", "password": "text"})),
        );
        std::fs::write(directory.path().join("value"), "{\"a\": 1}\n").unwrap();
        check(&[&format!("extra:=@{file}")], Ok(json!({"extra": {"a": 1}})));
    }

    #[test]
    fn an_argument_without_equals_sign_is_wrong_usage() {
        let types = demo_types();
        for text in ["greeting", "=x", ":=1"] {
            let error = body_of(&types, &[text.into()]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{text}");
        }
    }
}
