//! What actions change, what they refuse, and what is refused before they run.

use metapaas_core::{ActionError, PaasType, Plugin, Secret, paas_type};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::action::parameter;
use crate::authz::authorize;
use crate::descriptor::Action;
use crate::plan::DesiredRow;
use crate::registry::Registry;
use crate::request::RequestContext;
use crate::resource::{Datum, Meta};
use crate::store::raw_json;

#[paas_type(slug = "box")]
struct Crate {
    #[field(mutable, range = 1..=10)]
    size: u32,
    #[field(default = Secret::generate())]
    password: Secret<String>,
    #[field(mutable, default = Secret::generate())]
    token: Secret<String>,
    #[field(mutable)]
    own: Option<Secret<String>>,
    #[field(output)]
    restarts: Option<u64>,
}

fn registry() -> Registry {
    let grow = |mut row: Crate, call: &ActionCall| {
        let by: u32 = call.parameter("by")?;
        if by == 7 {
            return Err(ActionError::parameter("by", "seven is taken"));
        }
        if call.status == "ERROR" {
            return Err(ActionError::refused("it is broken"));
        }
        row.size += by;
        Ok(row)
    };
    let restart = |mut row: Crate, _: &ActionCall| {
        row.restarts = Some(row.restarts.unwrap_or_default() + 1);
        Ok(row)
    };
    let by = parameter::<u32>("by", "How much.").range(1.0, 9.0).default(|| json!(1));
    let plugin = Plugin::new("box", "1.0.0")
        .instance::<Crate>()
        .action_with::<Crate>("grow", "Grows.", [by], grow)
        .action::<Crate>("restart", "Restarts.", restart)
        .action::<Crate>("nothing", "Does nothing.", |row, _| Ok(row));
    Registry::new(vec![plugin]).unwrap()
}

fn row(status: &str) -> Resource {
    let id = Uuid::from_u128(5);
    let meta = Meta {
        id,
        project_id: Uuid::from_u128(1),
        instance_id: id,
        parent_id: id,
        name: Some("mine".into()),
        description: String::new(),
        version: "1.0.0".into(),
        labels: raw_json(&json!({})),
        status: status.into(),
        conditions: raw_json(&json!([])),
        nodes: None,
        deletion_protection: false,
        generation: 1,
        observed_generation: 1,
        held_generation: 1,
        revision: 1,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        deleting_at: None,
    };
    Resource { ty: Crate::DESCRIPTOR, meta, fields: vec![Datum::Null; 5] }
}

fn run(verb: &'static str, status: &str, body: Value) -> Result<Acted, Error> {
    let registry = registry();
    let registered = registry.root("box").unwrap();
    let stored = json!({ "size": 3, "password": "p", "token": "t", "own": "o", "restarts": null });
    let stored: Spec = serde_json::from_value(stored).unwrap();
    let allowed = authorize(&RequestContext::system("test"), registered.ty, Action::Custom(verb));
    let declared = registered.action(verb).unwrap();
    let parameters = parameters(declared, &body)?;
    let instance = DesiredRow { meta: (&row(status)).into(), spec: stored.clone() };
    let tree = Arc::new(DesiredTree::new(instance, Vec::new()));
    let input = ActionInput { parameters, tree, now: DateTime::UNIX_EPOCH };
    action(registered, &allowed, &row(status), &stored, declared, input)
}

#[track_caller]
fn refused(verb: &'static str, status: &str, body: Value, code: ErrorCode, pointers: &[&str]) {
    let error = run(verb, status, body).unwrap_err();
    let found: Vec<&str> = error.problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!((error.code, found.as_slice()), (code, pointers), "{error:?}");
}

#[test]
fn a_declared_action_changes_what_its_function_changes() {
    assert_eq!(run("grow", "ACTIVE", json!({ "by": 4 })).unwrap().change.fields, [(0, json!(7))]);
    assert_eq!(run("grow", "ACTIVE", json!({})).unwrap().change.fields, [(0, json!(4))]);
    assert_eq!(run("restart", "ACTIVE", json!({})).unwrap().change.fields, [(4, json!(1))]);
    assert!(run("nothing", "ACTIVE", json!({})).unwrap().change.fields.is_empty());
}

#[test]
fn wrong_parameters_are_named() {
    refused("grow", "ACTIVE", json!({ "by": 10 }), ErrorCode::InvalidRequest, &["/by"]);
    refused("grow", "ACTIVE", json!({ "by": "x", "of": 1 }), ErrorCode::InvalidRequest, &["/of", "/by"]);
    refused("grow", "ACTIVE", json!({ "by": 7 }), ErrorCode::InvalidRequest, &["/by"]);
    refused("restart", "ACTIVE", json!({ "by": 1 }), ErrorCode::InvalidRequest, &["/by"]);
    refused("restart", "ACTIVE", json!([]), ErrorCode::InvalidRequest, &[""]);
}

#[test]
fn an_action_refuses_or_would_break_a_rule() {
    refused("grow", "ERROR", json!({}), ErrorCode::InvalidState, &[]);
    refused("grow", "ACTIVE", json!({ "by": 9 }), ErrorCode::InvalidState, &[]);
}

#[test]
fn rotate_makes_new_values_of_generated_secrets() {
    let names = |body: Value| -> Vec<usize> {
        let acted = run("rotate", "ACTIVE", body).unwrap();
        let changed: Vec<usize> = acted.change.fields.iter().map(|(index, _)| *index).collect();
        assert_eq!(changed, acted.generated, "each is shown");
        assert!(acted.change.fields.iter().all(|(_, value)| value.as_str().unwrap().len() == 32));
        changed
    };
    assert_eq!(names(json!({})), [1, 2]);
    assert_eq!(names(json!({ "fields": ["password"] })), [1], "also one that requests cannot change");
    assert_eq!(names(json!({ "fields": ["token", "token"] })), [2]);
    refused("rotate", "ACTIVE", json!({ "fields": ["own"] }), ErrorCode::InvalidRequest, &["/fields/0"]);
    refused("rotate", "ACTIVE", json!({ "fields": [] }), ErrorCode::InvalidRequest, &["/fields"]);
}

#[test]
fn a_type_without_generated_secrets_has_no_rotate() {
    #[paas_type(slug = "plain")]
    struct Plain {
        #[field(mutable)]
        own: Option<Secret<String>>,
    }
    let registry = Registry::new(vec![Plugin::new("plain", "1.0.0").instance::<Plain>()]).unwrap();
    assert!(registry.root("plain").unwrap().actions.is_empty());
}
