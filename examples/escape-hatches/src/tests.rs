//! The framework treats a type written by hand as any other.

use metapaas_core::action::{ActionCall, ActionRun};
use metapaas_core::authz::authorize;
use metapaas_core::descriptor::Action;
use metapaas_core::plan::{DesiredMeta, DesiredRow, DesiredTree};
use metapaas_core::registry::Registry;
use metapaas_core::request::RequestContext;
use metapaas_core::testing::check_migrations;
use metapaas_core::{PaasType, Spec, openapi, validate};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::plugin;
use crate::reservation::Reservation;

#[test]
fn the_registry_takes_it() {
    let registry = Registry::new(vec![plugin()]).unwrap();
    assert_eq!(registry.root("ports").unwrap().ty.table(), "ports_instances");
}

#[test]
fn bodies_are_validated() {
    check(json!({ "first_port": 2000, "last_port": 2009 }), &[]);
    check(json!({ "first_port": 2000, "last_port": 2000 }), &[]);
    check(json!({ "first_port": 2000, "last_port": 1999 }), &["/last_port"]);
    check(json!({ "first_port": 80, "last_port": 65_536 }), &["/first_port", "/last_port"]);
    check(json!({ "ports": 1 }), &["/ports", "/first_port", "/last_port"]);
}

/// Creates with these fields and compares the pointers of what is wrong.
fn check(mut body: Value, expected: &[&str]) {
    body["name"] = json!("mine");
    let registry = Registry::new(vec![plugin()]).unwrap();
    let allowed = authorize(&RequestContext::system("test"), Reservation::DESCRIPTOR, Action::Create);
    let checked = validate::create(registry.root("ports").unwrap(), &allowed, Uuid::nil(), &body);
    let problems = checked.map_or_else(|error| error.problems, |_| Vec::new());
    let found: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(found, expected, "{problems:#?}");
}

#[test]
fn an_action_extends_it() {
    let extended = |by: u64| {
        let registry = Registry::new(vec![plugin()]).unwrap();
        let action = registry.root("ports").unwrap().action("extend").unwrap();
        let parameters = validate::parameters(action, &json!({ "by": by })).ok()?;
        let ActionRun::Declared(run) = &action.run else { panic!("it is declared") };
        let id = Uuid::nil();
        let (key, version, created_at) = (String::new(), String::new(), Default::default());
        let meta = DesiredMeta { id, parent_id: id, project_id: id, key, version, created_at };
        let spec: Spec = serde_json::from_value(json!({ "first_port": 2000, "last_port": 65_000 })).unwrap();
        let row = DesiredRow { meta: meta.clone(), spec: spec.clone() };
        let tree = DesiredTree::new(row, Vec::new()).into();
        let call = ActionCall { meta, status: "ACTIVE".into(), parameters, now: Default::default(), tree };
        run(&spec, &call).ok().map(|spec| spec["last_port"].clone())
    };
    assert_eq!(extended(9), Some(json!(65_009)));
    assert_eq!(extended(900), None, "it refuses");
    assert_eq!(extended(0), None, "the parameter is out of range");
}

#[test]
fn openapi_shows_its_fields() {
    let registry = Registry::new(vec![plugin()]).unwrap();
    let document = serde_json::to_value(openapi::document(&registry, "1")).unwrap();
    assert!(document["paths"]["/v1/types/ports/instances"]["post"].is_object());
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let fields = schemas.values().filter_map(|schema| schema["properties"].get("last_port"));
    let limits: Vec<_> = fields.map(|field| (&field["minimum"], &field["maximum"])).collect();
    assert!(!limits.is_empty());
    assert!(limits.iter().all(|limit| *limit == (&json!(1024), &json!(65_535))), "{limits:?}");
}

#[test]
fn it_is_stored_as_it_was() {
    let spec: Spec = serde_json::from_value(json!({ "first_port": 2000, "last_port": 2009 })).unwrap();
    let reservation = Reservation::from_spec(&spec).unwrap();
    assert_eq!(reservation.to_spec(), spec);
}

#[tokio::test]
async fn migrations_give_its_table() {
    check_migrations(&[plugin()]).await;
}
