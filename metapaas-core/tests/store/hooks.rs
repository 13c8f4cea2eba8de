//! Hooks of types: what they fill in, what they let go, what they hold a whole instance to.

use metapaas_core::descriptor::Action;
use metapaas_core::error::ErrorCode;
use metapaas_core::resource::{Change, Resource};
use metapaas_core::store::WriteOptions;
use metapaas_core::testing::{self, TestDatabase, postgres, sqlite};
use metapaas_core::validate;
use metapaas_core::{
    ActionError, Admission, ChangeKind, Denial, Desired, LeaveCall, PaasType, Plugin, Secret, paas_type,
};
use serde_json::{Value, json};

use super::{ONE, World, owner};

#[paas_type(slug = "safe")]
struct Safe {
    #[field(mutable, default = false)]
    locked: bool,
    #[field(mutable)]
    code: Option<Secret<String>>,
    #[field(output)]
    serial: Option<Secret<String>>,
    #[field(mutable, default = 2)]
    room: u32,
}

#[paas_type(parent = Safe, plural = "boxes")]
struct Case {
    #[field(mutable, default = 1)]
    size: u32,
    #[field(output)]
    holds: Option<u32>,
    #[field(output)]
    emptied: Option<bool>,
}

/// It has the same word in paths as its parent's sibling would.
#[paas_type(parent = Case, plural = "box-labels", segment = "labels")]
struct Label {}

fn complete(mut safe: Safe, old: Option<&Safe>) -> Safe {
    if old.is_none() {
        safe.serial = Some(Secret::new("serial".into()));
    }
    safe.code = match safe.code {
        _ if !safe.locked => None,
        None => Some(Secret::generate()),
        given => given,
    };
    safe
}

fn fits(safe: &Desired<Safe>, change: &Admission<Case>) -> Result<(), Denial> {
    let sizes: u32 = safe.children::<Case>()?.iter().map(|one| one.spec.size).sum();
    match sizes > safe.spec.room {
        true if change.kind == ChangeKind::Delete => Err(Denial::Refused("what goes takes no room".into())),
        true => Err(Denial::field("size", format!("the safe has room for {}", safe.spec.room))),
        false => Ok(()),
    }
}

fn leave(mut case: Case, call: &LeaveCall) -> Result<Case, ActionError> {
    if call.force {
        case.emptied = Some(true);
    } else if case.holds.is_none_or(|holds| holds > 0) {
        return Err(ActionError::refused("it is not known to be empty").with("holds", case.holds));
    }
    Ok(case)
}

fn safes() -> Plugin {
    let plugin = Plugin::new("safe", "1.0.0").instance::<Safe>().child::<Case>().child::<Label>();
    plugin.complete(complete).admit::<Safe, Case>(fits).leave(leave)
}

async fn worlds() -> [World; 2] {
    [world(sqlite().await).await, world(postgres().await).await]
}

async fn world(database: TestDatabase) -> World {
    let store = testing::store(&database, vec![safes()]).await;
    testing::project(&database, ONE, "one").await;
    World { database, store }
}

/// The member of the row's answer.
fn shown(row: &Resource, member: &str) -> Value {
    serde_json::to_value(row).unwrap()[member].clone()
}

fn stored(world: &World, row: &Resource, field: &str) -> Value {
    world.store.reveal(row).unwrap()[field].clone()
}

#[tokio::test]
async fn a_secret_that_follows_from_a_field_is_shown_once() {
    for world in worlds().await {
        let safe = world.make(Safe::DESCRIPTOR, &json!({ "name": "a" })).await.unwrap();
        assert_eq!(stored(&world, &safe, "serial"), "serial");
        assert_eq!(shown(&safe, "serial"), Value::Null, "an output that is secret is for the nodes alone");
        let locked = world.patch(&safe, &json!({ "locked": true })).await.unwrap();
        let code = stored(&world, &world.again(&safe).await, "code");
        assert_eq!((shown(&locked, "code"), code.as_str().map(str::len)), (code.clone(), Some(32)));
        let wider = world.patch(&locked, &json!({ "room": 5 })).await.unwrap();
        assert_eq!(stored(&world, &wider, "code"), code, "it stays");
        let again = world.again(&wider).await;
        assert_eq!(shown(&again, "code"), Value::Null);
        let open = world.patch(&again, &json!({ "locked": false })).await.unwrap();
        assert_eq!(stored(&world, &open, "code"), Value::Null);
        let given = json!({ "name": "b", "locked": true, "code": "mine" });
        let given = world.make(Safe::DESCRIPTOR, &given).await.unwrap();
        assert_eq!((shown(&given, "code"), stored(&world, &given, "code")), (Value::Null, json!("mine")));
        let made = world.make(Safe::DESCRIPTOR, &json!({ "name": "c", "locked": true })).await.unwrap();
        assert_eq!(shown(&made, "code"), stored(&world, &made, "code"));
    }
}

#[tokio::test]
async fn an_instance_is_held_to_its_rule_as_a_whole() {
    for world in worlds().await {
        let safe = world.make(Safe::DESCRIPTOR, &json!({ "name": "a" })).await.unwrap();
        let one = world.make_below(&safe, Case::DESCRIPTOR, &json!({ "name": "one" })).await.unwrap();
        let two = json!({ "name": "two", "size": 2 });
        let error = world.make_below(&safe, Case::DESCRIPTOR, &two).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert_eq!(error.problems[0].pointer, "/size");
        assert_eq!(world.patch(&one, &json!({ "size": 3 })).await.unwrap_err().problems[0].pointer, "/size");
        assert_eq!(world.again(&safe).await.meta.generation, 2, "what is refused leaves nothing behind");
        world.patch(&one, &json!({ "size": 2 })).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_one_instance_are_looked_at_one_after_the_other() {
    for world in worlds().await {
        let safe = world.make(Safe::DESCRIPTOR, &json!({ "name": "a" })).await.unwrap();
        let bodies: Vec<Value> = (0..8).map(|index| json!({ "name": format!("c{index}") })).collect();
        let made = bodies.iter().map(|body| world.make_below(&safe, Case::DESCRIPTOR, body));
        let made = futures::future::join_all(made).await;
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 2, "there is room for two");
    }
}

#[tokio::test]
async fn a_row_goes_when_its_type_lets_it_or_by_force() {
    for world in worlds().await {
        let safe = world.make(Safe::DESCRIPTOR, &json!({ "name": "a" })).await.unwrap();
        let one = world.make_below(&safe, Case::DESCRIPTOR, &json!({ "name": "one" })).await.unwrap();
        let leave = |row: &Resource, force| -> Result<Change, _> {
            let spec = world.store.reveal(row).unwrap();
            validate::leave(world.of(Case::DESCRIPTOR), row, &spec, force, row.meta.created_at)
        };
        let error = leave(&one, false).unwrap_err();
        assert_eq!((error.code, error.extra.get("holds")), (ErrorCode::InvalidState, Some(&Value::Null)));
        let change = leave(&one, true).unwrap();
        let allowed = owner(Case::DESCRIPTOR, Action::Delete);
        let plain = WriteOptions::default();
        let gone =
            world.store.let_go(&allowed, world.of(Case::DESCRIPTOR), &one, change, &plain).await.unwrap();
        let gone = super::row(gone);
        assert!(gone.is_deleting());
        assert_eq!(stored(&world, &world.again(&gone).await, "emptied"), json!(true));
        // A repeat changes nothing, with force or without.
        let again = world.again(&gone).await;
        assert!(leave(&again, false).unwrap().is_empty());
        assert!(leave(&again, true).unwrap().is_empty());
        let revision = world.delete(&again).await.unwrap().meta.revision;
        assert_eq!(revision, again.meta.revision);
    }
}

#[tokio::test]
async fn a_hook_is_declared_once_and_for_a_type_of_its_own() {
    let twice = safes().leave(leave);
    let conflicts = metapaas_core::registry::Registry::new(vec![twice]).unwrap_err();
    assert_eq!(conflicts.iter().map(|one| one.code).collect::<Vec<_>>(), ["DUPLICATE_HOOK"]);
    let foreign = Plugin::new("other", "1.0.0").leave(leave);
    let conflicts = metapaas_core::registry::Registry::new(vec![foreign]).unwrap_err();
    assert_eq!(conflicts.iter().map(|one| one.code).collect::<Vec<_>>(), ["FOREIGN_TYPE"]);
}
