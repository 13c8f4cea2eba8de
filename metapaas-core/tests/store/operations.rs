//! Actions and their operations: written together, or not at all.

use std::time::Duration;

use metapaas_core::descriptor::Action;
use metapaas_core::error::ErrorCode;
use metapaas_core::operations::{Asked, FIELDS, OperationStatus, Operations, PageAt};
use metapaas_core::query::{Fields, filter};
use metapaas_core::request::RequestContext;
use metapaas_core::resource::Resource;
use metapaas_core::store::{ActionBegun, Effect, WriteOptions, Written};
use metapaas_core::testing::{self, TestDatabase, postgres, sqlite};
use metapaas_core::validate;
use metapaas_core::{PaasType, Plugin, Secret, paas_type};
use serde_json::{Value, json};

use super::{ONE, World, refusal};

#[paas_type(slug = "vault")]
struct Vault {
    #[field(default = Secret::generate())]
    password: Secret<String>,
    #[field(output)]
    restarts: Option<u32>,
}

#[paas_type(parent = Vault, plural = "doors")]
struct Door {
    #[field(output)]
    turns: Option<u32>,
}

fn vaults() -> Vec<Plugin> {
    let restart = |mut vault: Vault, _: &_| {
        vault.restarts = Some(vault.restarts.unwrap_or_default() + 1);
        Ok(vault)
    };
    let turn = |mut door: Door, _: &_| {
        door.turns = Some(door.turns.unwrap_or_default() + 1);
        Ok(door)
    };
    let plugin = Plugin::new("vault", "1.0.0").instance::<Vault>().child::<Door>();
    vec![plugin.action::<Vault>("restart", "", restart).action::<Door>("turn", "", turn)]
}

async fn worlds() -> [World; 2] {
    [world(sqlite().await).await, world(postgres().await).await]
}

async fn world(database: TestDatabase) -> World {
    let store = testing::store(&database, vaults()).await;
    testing::project(&database, ONE, "one").await;
    World { database, store }
}

/// Runs an action on `row`; its first answer, and the row as it is then.
async fn act(
    world: &World,
    row: &Resource,
    verb: &str,
    effect: Effect,
) -> Result<(Value, Resource), metapaas_core::error::Error> {
    let registered = world.of(row.ty);
    let action = registered.action(verb).unwrap();
    let allowed = super::owner(row.ty, Action::Custom(action.verb));
    let parameters = validate::parameters(action, &json!({}))?;
    let stored = world.store.reveal(row).unwrap();
    let now = metapaas_core::store::now();
    let tree = world.store.desired_tree(row).await?.into();
    let given = parameters.clone();
    let input = validate::ActionInput { parameters: given, tree, now };
    let acted = validate::action(registered, &allowed, row, &stored, action, input)?;
    let begun = ActionBegun::new(&allowed, row, action, &parameters, acted);
    let mut options = WriteOptions::default();
    options.effect = effect;
    let written = world.store.act(&allowed, registered, row, &begun, &options).await?;
    assert_eq!(matches!(written, Written::Kept(_)), effect == Effect::Kept);
    let row = super::row(written);
    Ok((Value::Object(begun.answer(&row, effect)), row))
}

async fn count(world: &World, what: &str) -> i64 {
    world.database.int(&format!("SELECT count(*) FROM {what}")).await.unwrap()
}

#[tokio::test]
async fn an_action_changes_what_requests_cannot_and_begins_an_operation() {
    for world in worlds().await {
        let vault = world.make(Vault::DESCRIPTOR, &json!({ "name": "v" })).await.unwrap();
        let (operation, row) = act(&world, &vault, "restart", Effect::Kept).await.unwrap();
        assert_eq!(row.meta.generation, 2);
        assert_eq!(super::json(&world.again(&vault).await)["restarts"], 1);
        assert_eq!(operation["status"], "PENDING");
        assert_eq!(operation["generation"], 2);
        assert_eq!(operation["resource"]["name"], "v");
        assert!(operation.get("secrets").is_none());
        let work = "metapaas_work w JOIN metapaas_operations o ON w.resource_id = o.instance_id";
        assert_eq!(count(&world, work).await, 1, "an unfinished operation has a work row");

        // The row has changed since it was read, so neither the change nor an operation is made.
        let (code, _) = refusal(act(&world, &vault, "restart", Effect::Kept).await);
        assert_eq!(code, ErrorCode::PreconditionFailed);
        assert_eq!(count(&world, "metapaas_operations").await, 1);
    }
}

#[tokio::test]
async fn a_childs_operation_names_the_instance_generation_that_holds_it() {
    for world in worlds().await {
        let vault = world.make(Vault::DESCRIPTOR, &json!({ "name": "v" })).await.unwrap();
        let door = world.make_below(&vault, Door::DESCRIPTOR, &json!({ "name": "d" })).await.unwrap();
        let (operation, row) = act(&world, &door, "turn", Effect::Kept).await.unwrap();
        assert_eq!(operation["generation"], world.again(&vault).await.meta.generation);
        assert_eq!(operation["generation"], row.meta.held_generation);
        assert_eq!(operation["resource"]["type"], "vault/doors");
        assert_eq!(super::json(&world.again(&door).await)["turns"], 1);
    }
}

#[tokio::test]
async fn rotated_secrets_are_shown_once_and_kept_nowhere_in_the_open() {
    for world in worlds().await {
        let vault = world.make(Vault::DESCRIPTOR, &json!({ "name": "v" })).await.unwrap();
        let first = super::json(&vault)["password"].as_str().unwrap().to_owned();
        let vault = world.again(&vault).await;
        let (operation, row) = act(&world, &vault, "rotate", Effect::Kept).await.unwrap();
        let second = operation["secrets"]["password"].as_str().unwrap().to_owned();
        assert_ne!(first, second);
        assert_eq!(world.store.reveal(&world.again(&vault).await).unwrap()["password"], second.as_str());
        assert!(!super::json(&row).to_string().contains(&second));
        let operations = Operations::new(world.store.clone());
        let context = RequestContext::system("test");
        let id = operation["id"].as_str().unwrap().parse().unwrap();
        let read = operations.get(&context, id, Duration::ZERO).await.unwrap();
        assert!(!serde_json::to_string(&read).unwrap().contains(&second));
        let like = format!("metapaas_events WHERE CAST(detail AS text) LIKE '%{second}%'");
        assert_eq!(count(&world, &like).await, 0);
        let redacted = r#"metapaas_events WHERE CAST(detail AS text) LIKE '%redacted%'"#;
        assert_eq!(count(&world, redacted).await, 1, "the event says that it changed");
    }
}

#[tokio::test]
async fn a_dry_run_of_an_action_keeps_nothing() {
    for world in worlds().await {
        let vault = world.make(Vault::DESCRIPTOR, &json!({ "name": "v" })).await.unwrap();
        let (operation, row) = act(&world, &vault, "rotate", Effect::DryRun).await.unwrap();
        assert_eq!((row.meta.generation, &operation["generation"]), (2, &json!(2)));
        assert!(operation.get("secrets").is_none(), "what is never used is nothing to show");
        assert_eq!(world.again(&vault).await.meta.revision, vault.meta.revision);
        assert_eq!(count(&world, "metapaas_operations").await, 0);
    }
}

#[tokio::test]
async fn operations_are_listed_filtered_and_cancelled() {
    for world in worlds().await {
        let mut vault = world.make(Vault::DESCRIPTOR, &json!({ "name": "v" })).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..3 {
            let (operation, row) = act(&world, &vault, "restart", Effect::Kept).await.unwrap();
            ids.insert(0, operation["id"].as_str().unwrap().to_owned());
            vault = row;
        }
        let operations = Operations::new(world.store.clone());
        let context = RequestContext::system("test");
        let listed = |asked: Asked| {
            let (operations, context) = (operations.clone(), context.clone());
            async move {
                let page = operations.list(&context, asked).await.unwrap();
                let ids: Vec<String> = page.items.iter().map(|one| one.id.to_string()).collect();
                (ids, page.has_more)
            }
        };
        let asked = |page| Asked { project: None, page };
        assert_eq!(listed(asked(PageAt::newest(2))).await, (ids[..2].to_vec(), true));
        let before = Some(ids[1].parse().unwrap());
        assert_eq!(listed(asked(PageAt::newest(2).after(before))).await, (ids[2..].to_vec(), false));

        let first = ids[0].parse().unwrap();
        let tried = operations.cancel(&context, first, Effect::DryRun).await.unwrap();
        assert_eq!(tried.status, OperationStatus::Cancelled, "as it would be");
        let mut cancelled_ones = PageAt::first(9);
        cancelled_ones.listing.filter = filter(&Fields::new(FIELDS), "status = CANCELLED").unwrap();
        assert_eq!(listed(asked(cancelled_ones.clone())).await.0, Vec::<String>::new());
        let cancelled = operations.cancel(&context, first, Effect::Kept).await.unwrap();
        assert_eq!(cancelled.status, OperationStatus::Cancelled);
        operations.cancel(&context, first, Effect::Kept).await.unwrap();
        assert_eq!(listed(asked(cancelled_ones)).await.0, ids[..1]);
        assert_eq!(world.again(&vault).await.meta.generation, 4, "what it changed stays");
    }
}
