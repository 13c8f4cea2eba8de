//! Whatever a body holds, validation answers with problems at places that exist, and never panics.

use std::sync::Arc;

use metapaas_core::descriptor::{Action, EnumVariant, FieldDescriptor, FieldKind, TypeDescriptor};
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::registry::Registry;
use metapaas_core::resource::{Datum, Meta, Resource};
use metapaas_core::store::raw_json;
use metapaas_core::validate::{self, UpdateMode};
use metapaas_core::{DnsName, Domain, Spec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::arbitrary::{any_json, deep, number, text};
use super::{ONE, field, instance, leak, owner, plugin, refusal};

const VARIANTS: &[EnumVariant] = &[EnumVariant { name: "on", doc: "" }, EnumVariant { name: "off", doc: "" }];

const fn with_kind(name: &'static str, kind: FieldKind) -> FieldDescriptor {
    FieldDescriptor { kind, ..field::<bool>(name) }
}

/// A field of every kind, with every rule.
fn every_kind() -> &'static TypeDescriptor {
    let fields = vec![
        field::<bool>("flag").mutable(),
        with_kind("count", FieldKind::Integer { min: -5, max: 5 }).mutable().range(-3.0, 3.0),
        with_kind("ratio", FieldKind::Float).mutable().range(0.0, 1.0),
        field::<String>("text").mutable().len(2, 5).pattern("^[a-z]+$"),
        field::<DnsName>("host").mutable(),
        field::<Option<Domain>>("domain").mutable(),
        field::<Uuid>("ref_id"),
        with_kind("at", FieldKind::Timestamp).mutable(),
        with_kind("wait", FieldKind::Duration).mutable(),
        with_kind("state", FieldKind::Enum(VARIANTS)).mutable().default(|| json!("on")),
        with_kind("list", FieldKind::List(&FieldKind::Integer { min: 0, max: 9 })).mutable().len(0, 3),
        with_kind("map", FieldKind::Map(&FieldKind::List(&FieldKind::Uuid))).mutable(),
        with_kind("any", FieldKind::Json).mutable(),
        with_kind("secret", FieldKind::Secret(&FieldKind::Timestamp)).mutable(),
        field::<bool>("checked")
            .mutable()
            .check(|new, _| if new == &json!(true) { Ok(()) } else { Err("must be true".into()) }),
    ];
    leak(TypeDescriptor { fields: fields.leak(), ..instance("Every", "every", "") })
}

fn valid() -> Value {
    json!({
        "name": "web", "flag": true, "count": 2, "ratio": 0.5, "text": "abc", "host": "web-1", "domain": null,
        "ref_id": Uuid::nil(), "at": "2026-01-31T12:00:00Z", "wait": "5m", "state": "off", "list": [1, 2],
        "map": {"a": [Uuid::nil()]}, "any": {"b": 1}, "secret": "2026-01-31T12:00:00Z", "checked": true,
    })
}

/// A row as the store would read it.
fn row(ty: &'static TypeDescriptor, spec: &Spec) -> Resource {
    let fields = ty.fields.iter().map(|field| Datum::Written(spec[field.name].clone())).collect();
    let now = metapaas_core::store::now();
    let meta = Meta {
        id: ONE,
        project_id: ONE,
        instance_id: ONE,
        parent_id: ONE,
        name: Some("web".into()),
        description: String::new(),
        deletion_protection: false,
        version: "1.0.0".into(),
        labels: raw_json(&json!({"kept": "yes"})),
        status: "ACTIVE".into(),
        conditions: raw_json(&json!([])),
        nodes: Some(raw_json(&json!([]))),
        generation: 1,
        observed_generation: 1,
        held_generation: 1,
        revision: 1,
        created_at: now,
        updated_at: now,
        deleting_at: None,
    };
    Resource { ty, meta, fields }
}

fn hostile_body() -> BoxedStrategy<Value> {
    let members: Vec<String> = every_kind()
        .fields
        .iter()
        .map(|field| field.name)
        .chain([
            "name",
            "version",
            "labels",
            "description",
            "project_id",
            "id",
            "status",
            "unknown",
            "a/b~c",
            "",
        ])
        .map(str::to_owned)
        .collect();
    let strange = prop_oneof![
        any_json(),
        number(),
        text().prop_map(Value::from),
        Just(json!("nul \u{0}")),
        Just(json!({"nul \u{0}": 1})),
        Just(deep(120)),
        Just(json!("9".repeat(400))),
        Just(json!("99999999999999999999y")),
        Just(json!("-262143-01-01T00:00:00Z")),
        Just(json!("+10000-01-01T00:00:00Z")),
    ];
    let name = prop_oneof![proptest::sample::select(members), text()];
    let replaced = proptest::collection::btree_map(name, proptest::option::of(strange), 0..6);
    let patched = replaced.prop_map(|replaced| {
        let mut body = valid();
        for (name, value) in replaced {
            match value {
                Some(value) => body.as_object_mut().unwrap().insert(name, value),
                None => body.as_object_mut().unwrap().remove(&name),
            };
        }
        body
    });
    prop_oneof![6 => patched, 1 => any_json()].boxed()
}

/// A problem is at a place in the body, or at a member that could be there.
fn points_somewhere(error: &Error, body: &Value) {
    assert_eq!(error.code, ErrorCode::InvalidRequest, "{error:?}");
    assert!(!error.problems.is_empty());
    for problem in &error.problems {
        let names_a_member =
            every_kind().fields.iter().any(|field| problem.pointer == format!("/{}", field.name))
                || ["", "/name", "/version", "/labels", "/description", "/project_id"]
                    .contains(&problem.pointer.as_str());
        assert!(names_a_member || body.pointer(&problem.pointer).is_some(), "{problem:?} in {body}");
        assert!(!problem.detail.is_empty() && !problem.detail.contains('\0'), "{problem:?}");
    }
}

#[test]
fn no_body_makes_validation_panic() {
    let ty = every_kind();
    let registry = Arc::new(Registry::new(vec![plugin(&[ty])]).unwrap());
    let registered = registry.of(ty).unwrap();
    let (create, update) = (owner(ty, Action::Create), owner(ty, Action::Update));
    let stored = validate::create(registered, &create, ONE, &valid()).unwrap();
    let stored: Spec = ty.fields.iter().map(|field| field.name.to_owned()).zip(stored.fields).collect();
    let current = row(ty, &stored);
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&hostile_body(), |body| {
        if let Err(error) = validate::create(registered, &create, ONE, &body) {
            points_somewhere(&error, &body);
        }
        for mode in [UpdateMode::Merge, UpdateMode::Replace] {
            if let Err(error) = validate::update(registered, &update, &current, &stored, &body, mode) {
                points_somewhere(&error, &body);
            }
        }
        if let Err(error) = validate::project_of(registered, &create, &body) {
            points_somewhere(&error, &body);
        }
        Ok(())
    });
    outcome.unwrap();
}

/// Lays `change` over a right body; the pointers that a create then refuses.
fn refused(change: Value) -> Vec<String> {
    let ty = every_kind();
    let registry = Registry::new(vec![plugin(&[ty])]).unwrap();
    let mut body = valid();
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    let answer = validate::create(registry.of(ty).unwrap(), &owner(ty, Action::Create), ONE, &body);
    let (code, mut pointers) = refusal(answer);
    assert_eq!(code, ErrorCode::InvalidRequest);
    pointers.sort();
    pointers
}

#[test]
fn every_problem_is_found_at_its_place() {
    for (change, pointers) in [
        (json!({"text": "a\u{0}b"}), vec!["/text"]),
        (json!({"any": {"deep": [{"x": "nul \u{0}"}]}}), vec!["/any"]),
        (json!({"map": {"nul \u{0}": []}}), vec!["/map"]),
        (json!({"any": deep(200)}), vec!["/any"]),
        (json!({"any": null}), vec!["/any"]),
        (json!({"flag": null, "secret": null}), vec!["/flag", "/secret"]),
        (json!({"count": 4}), vec!["/count"]),
        (json!({"count": 2.5, "ratio": 1.0000001}), vec!["/count", "/ratio"]),
        (json!({"count": 1e300, "list": [0, "x", 10]}), vec!["/count", "/list/1", "/list/2"]),
        (json!({"list": [1, 2, 3, 4]}), vec!["/list"]),
        (json!({"map": {"a/b": ["no"], "c~d": 1}}), vec!["/map/a~1b/0", "/map/c~0d"]),
        (json!({"text": "ABC"}), vec!["/text"]),
        (json!({"text": "abcdef"}), vec!["/text"]),
        (json!({"at": "10000-01-01T00:00:00Z", "wait": "1ns"}), vec!["/at", "/wait"]),
        (json!({"at": "9999-12-31T23:59:60Z"}), vec!["/at"]),
        (json!({"state": "On", "checked": false}), vec!["/checked", "/state"]),
        (json!({"name": "Web", "a/b": 1, "": 2}), vec!["/", "/a~1b", "/name"]),
        (json!({"name": "0199abcd-0000-7000-8000-000000000001"}), vec!["/name"]),
        (json!({"name": "abcdefabcdefabcdefabcdefabcdefab"}), vec!["/name"]),
        (
            json!({"labels": {"-x": "y"}, "version": "2", "description": 5}),
            vec!["/description", "/labels/-x", "/version"],
        ),
    ] {
        assert_eq!(refused(change.clone()), pointers, "{change}");
    }
}

#[test]
fn a_secret_is_not_repeated_in_what_is_wrong_with_it() {
    let ty = every_kind();
    let registry = Registry::new(vec![plugin(&[ty])]).unwrap();
    let mut body = valid();
    body["secret"] = json!("hunter2");
    let error =
        validate::create(registry.of(ty).unwrap(), &owner(ty, Action::Create), ONE, &body).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
