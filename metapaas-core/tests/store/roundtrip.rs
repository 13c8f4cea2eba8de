//! Any described record survives request, validation, store and answer, on both databases.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metapaas_core::__private::instance;
use metapaas_core::descriptor::{Action, FieldDescriptor, FieldKind, TypeDescriptor};
use metapaas_core::resource::{Datum, Resource};
use metapaas_core::testing;
use metapaas_core::validate::UpdateMode;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::arbitrary::{Case, case};
use super::{ONE, World, leak, owner, plugin};

const CASES: u32 = 60;

#[test]
fn a_described_record_survives_on_both_databases() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let worlds = runtime.block_on(super::worlds(&[]));
    let worlds = tokio::sync::Mutex::new(worlds);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let number = std::cell::Cell::new(0);
    let outcome = runner.run(&case(), |case| {
        number.set(number.get() + 1);
        let slug: &'static str = format!("t{}", number.get()).leak();
        let ty = leak(TypeDescriptor { fields: case.fields.clone().leak(), ..instance("Any", slug, "") });
        let answers = runtime.block_on(async {
            let mut answers = Vec::new();
            for world in &mut *worlds.lock().await {
                world.store = testing::store(&world.database, vec![plugin(&[ty])]).await;
                answers.push(survives(world, ty, &case).await);
            }
            answers
        });
        prop_assert_eq!(&answers[0], &answers[1], "the two databases answer the same");
        Ok(())
    });
    let _inside = runtime.enter();
    drop(worlds);
    outcome.unwrap();
}

/// Runs a case on one database; the specs at each step.
async fn survives(world: &World, ty: &'static TypeDescriptor, case: &Case) -> Vec<Value> {
    let mut seen = Vec::new();
    for (index, given) in case.rows.iter().enumerate() {
        let name = format!("row-{index}");
        let made = world.make(ty, &body(ty, Some(&name), given)).await.unwrap();
        let row = world.again(&made).await;
        for (field, given) in ty.fields.iter().zip(given) {
            let wanted = match (given, field.default) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => default(),
                (None, None) => Value::Null,
            };
            same_meaning(world, &row, field, &wanted);
        }
        same_answers(world, &made, &row, &name).await;
        sealed_at_rest(world, &row).await;
        seen.push(spec(world, &row));

        let mut row = row;
        for (replace, values) in &case.changes {
            row = changed(world, &row, *replace, values).await;
            seen.push(spec(world, &row));
        }
        // What was got can be put, and changes nothing.
        let put = world.change(&row, &super::json(&row), UpdateMode::Replace).await.unwrap();
        assert_eq!(put.meta.revision, row.meta.revision, "PUT of what GET answered: {}", super::json(&row));
    }
    seen
}

fn body(ty: &TypeDescriptor, name: Option<&str>, values: &[Option<Value>]) -> Value {
    let fields = ty.fields.iter().zip(values);
    let mut body: Map<String, Value> =
        fields.filter_map(|(field, value)| Some((field.name.to_owned(), value.clone()?))).collect();
    body.extend(name.map(|name| ("name".to_owned(), json!(name))));
    Value::Object(body)
}

/// The canonical spec, secrets in the open.
fn spec(world: &World, row: &Resource) -> Value {
    Value::Object(world.store.reveal(row).unwrap())
}

/// The row answers what was given, in whatever form that was written.
fn same_meaning(world: &World, row: &Resource, field: &FieldDescriptor, given: &Value) {
    let stored = spec(world, row)[field.name].clone();
    let equal = if given.is_null() { stored.is_null() } else { means(&field.kind, given, &stored) };
    assert!(equal, "{} {:?}: given {given}, stored {stored}", field.name, field.kind);
    if !field.is_secret() {
        assert_eq!(super::json(row)[field.name], stored);
    }
}

fn means(kind: &FieldKind, given: &Value, stored: &Value) -> bool {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match kind {
        FieldKind::Bool | FieldKind::Text(_) | FieldKind::Enum(_) => given == stored,
        // Zero has no sign once it is stored.
        FieldKind::Float => {
            given.as_f64() == stored.as_f64()
                && stored.as_f64().is_some_and(|float| float != 0.0 || float.is_sign_positive())
        }
        FieldKind::Integer { .. } => stored.is_i64() && given.as_f64() == stored.as_f64(),
        FieldKind::Uuid | FieldKind::Ref(_) => {
            let id: Option<Uuid> = text(given).and_then(|text| text.parse().ok());
            id.map(|id| id.to_string()) == text(stored)
        }
        FieldKind::Timestamp => {
            let micros = |value: &Value| {
                let time = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
                Some(time.with_timezone(&Utc).timestamp_micros())
            };
            micros(given) == micros(stored) && text(stored).is_some_and(|text| text.ends_with('Z'))
        }
        FieldKind::Duration => {
            let parse =
                |value: &Value| -> Option<Duration> { humantime::parse_duration(value.as_str()?).ok() };
            parse(given).is_some() && parse(given) == parse(stored)
        }
        FieldKind::List(item) => match (given, stored) {
            (Value::Array(given), Value::Array(stored)) => {
                given.len() == stored.len()
                    && given.iter().zip(stored).all(|(one, other)| means(item, one, other))
            }
            _ => false,
        },
        FieldKind::Map(item) => members(given, stored, |one, other| means(item, one, other)),
        FieldKind::Json => same_json(given, stored),
        FieldKind::Secret(inner) => means(inner, given, stored),
    }
}

fn members(one: &Value, other: &Value, same: impl Fn(&Value, &Value) -> bool) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        _ => false,
    }
}

/// The same JSON; `1`, `1.0` and `1e0` are one number, and whole numbers are kept to the last digit.
fn same_json(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(number), Value::Number(_)) => {
            let exact = number.is_f64() || (one.as_u64() == other.as_u64() && one.as_i64() == other.as_i64());
            exact && one.as_f64() == other.as_f64()
        }
        (Value::Array(items), Value::Array(others)) => {
            items.len() == others.len() && items.iter().zip(others).all(|(one, other)| same_json(one, other))
        }
        (Value::Object(_), Value::Object(_)) => members(one, other, same_json),
        _ => one == other,
    }
}

/// By id, by name and in a list a row is the same, and the same as the answer of the create.
async fn same_answers(world: &World, made: &Resource, row: &Resource, name: &str) {
    let wanted = super::json(row);
    let registered = world.of(row.ty);
    assert_eq!(super::json(&world.read(row.ty, &[name]).await.unwrap()), wanted);
    let list =
        world.store.list(&owner(row.ty, Action::List), registered, None, Some(ONE), None, 100).await.unwrap();
    let listed = list.items.iter().find(|one| one.meta.id == row.meta.id).unwrap();
    assert_eq!(super::json(listed), wanted);

    let mut answered = super::json(made);
    for (field, datum) in made.ty.fields.iter().zip(&made.fields) {
        // A secret that the platform made is shown this once.
        if field.is_secret() && matches!(datum, Datum::Written(_)) {
            answered.as_object_mut().unwrap().remove(field.name);
        }
    }
    assert_eq!(answered, wanted, "the answer of the create");
    assert_eq!(spec(world, made), spec(world, row), "what the create answered can be revealed");
}

/// Secrets are not in answers, and not in the open in the database.
async fn sealed_at_rest(world: &World, row: &Resource) {
    for (field, datum) in row.ty.fields.iter().zip(&row.fields).filter(|(field, _)| field.is_secret()) {
        assert!(super::json(row).get(field.name).is_none_or(Value::is_null));
        assert!(matches!(datum, Datum::Sealed(_) | Datum::Null));
        let plain = spec(world, row)[field.name].to_string();
        let sql =
            format!("SELECT \"{}\" FROM \"{}\" WHERE id = '{}'", field.name, row.ty.table(), row.meta.id);
        let column = world.database.text(&sql).await;
        assert_eq!(column.is_none(), plain == "null");
        if let Some(sealed) = column {
            assert!(sealed.starts_with("v1:"), "{sealed}");
            assert!(plain.len() < 8 || !sealed.contains(plain.trim_matches('"')), "{sealed} holds {plain}");
        }
    }
}

/// Changes a row and checks what must rise with it and what must not.
async fn changed(world: &World, row: &Resource, replace: bool, values: &[Option<Value>]) -> Resource {
    let mode = if replace { UpdateMode::Replace } else { UpdateMode::Merge };
    let before = spec(world, row);
    let mutable: Vec<Option<Value>> = row
        .ty
        .fields
        .iter()
        .zip(values)
        .map(|(field, value)| value.clone().filter(|_| field.mutable))
        .collect();
    let body = body(row.ty, None, &mutable);
    let answered = world.change(row, &body, mode).await.unwrap();
    let after = world.again(row).await;
    assert_eq!(super::json(&answered), super::json(&after), "the answer of the update");
    for (field, value) in row.ty.fields.iter().zip(&mutable) {
        let wanted = match (value, field.default) {
            _ if !field.mutable => before[field.name].clone(),
            (Some(Value::Null), Some(default)) if !field.nullable => default(),
            (Some(value), _) if !replace && matches!(field.kind, FieldKind::Json | FieldKind::Map(_)) => {
                merged(&before[field.name], value)
            }
            (Some(value), _) => value.clone(),
            (None, _) if !replace || field.is_secret() => before[field.name].clone(),
            (None, Some(default)) => default(),
            (None, None) => Value::Null,
        };
        same_meaning(world, &after, field, &wanted);
    }
    let differs = spec(world, &after) != before;
    assert_eq!(after.meta.generation, row.meta.generation + i64::from(differs), "{body} on {before}");
    assert_eq!(after.meta.revision > row.meta.revision, differs, "{body} on {before}");
    after
}

/// RFC 7396, the pseudo-code of section 2.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut result = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            result.remove(name);
        } else {
            let old = result.get(name).cloned().unwrap_or_default();
            result.insert(name.clone(), merged(&old, value));
        }
    }
    Value::Object(result)
}
