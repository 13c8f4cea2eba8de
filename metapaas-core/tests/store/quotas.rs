//! Quotas are exact: whoever else writes, whatever is planned, and while the limits themselves change.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use metapaas_core::agent::{
    Applied, BoxFuture, Driver, DriverError, Health, HealthReport, NodeContext, NodeDocument,
};
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::{Action, TypeDescriptor};
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::iam::PROJECTS;
use metapaas_core::request::RequestContext;
use metapaas_core::store::{Effect, Store, WriteOptions};
use metapaas_core::testing::{self, TestDatabase, postgres, sqlite};
use metapaas_core::validate;
use metapaas_core::{Desired, NodeSpec, PaasType, PlanError, Plugin, paas_type};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ONE, TWO, World, refusal, row};

#[paas_type(slug = "farm")]
struct Farm {
    #[field(mutable, default = 1)]
    size: u32,
    #[field(mutable, default = 0)]
    disk: u32,
}

#[paas_type(parent = Farm, plural = "workers")]
struct Worker {}

/// One node for each that is asked for and one for each worker; a farm of 99 cannot be planned.
fn plan(farm: &Desired<Farm>) -> Result<Vec<NodeSpec>, PlanError> {
    if farm.spec.size == 99 {
        return Err(PlanError::Unsatisfiable("too many".into()));
    }
    let count = farm.spec.size + u32::try_from(farm.children::<Worker>()?.len()).unwrap();
    let mut nodes = NodeSpec::replicas(count, "node", 80, &Value::Null);
    for node in &mut nodes {
        node.resources.insert("disk_gb".into(), farm.spec.disk.into());
    }
    Ok(nodes)
}

struct Nothing;

impl Driver for Nothing {
    fn apply<'a>(
        &'a mut self,
        _: &'a NodeContext,
        _: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async { Ok(Applied::default()) })
    }

    fn health<'a>(&'a mut self, _: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(async { HealthReport { health: Health::Healthy, message: String::new() } })
    }
}

fn farms() -> Vec<Plugin> {
    let plugin = Plugin::new("farm", "1.0.0").instance::<Farm>().child::<Worker>();
    vec![plugin.plan(plan).driver::<Farm>(|| Box::new(Nothing))]
}

async fn world(database: TestDatabase) -> World {
    let store = testing::store(&database, farms()).await;
    testing::project(&database, ONE, "one").await;
    testing::project(&database, TWO, "two").await;
    World { database, store }
}

async fn worlds() -> [World; 2] {
    [world(sqlite().await).await, world(postgres().await).await]
}

fn projects(action: Action) -> Allowed {
    authorize(&RequestContext::system("test"), &PROJECTS, action)
}

async fn limit(store: &Store, limits: &[(&str, i64)]) {
    let limits = limits.iter().map(|(resource, limit)| ((*resource).to_owned(), *limit)).collect();
    store.set_quota(&projects(Action::Update), ONE, limits).await.unwrap();
}

async fn used(store: &Store) -> BTreeMap<String, i64> {
    let items = store.quota(&projects(Action::Read), ONE).await.unwrap();
    items.into_iter().map(|item| (item.resource, item.used)).collect()
}

/// What is used of instances, nodes and disk, after holding `used` to reservations and recount.
async fn check(store: &Store, expected: [i64; 3]) {
    assert_eq!(store.quota_deviations(ONE).await.unwrap(), [""; 0]);
    let used = used(store).await;
    assert_eq!(["instances", "nodes", "disk_gb"].map(|resource| used[resource]), expected);
    assert_eq!(used["instances"], used["instances:farm"]);
}

async fn farm(store: &Store, body: Value) -> Result<metapaas_core::resource::Resource, Error> {
    let registered = store.registry().root("farm").unwrap();
    let allowed = super::owner(registered.ty, Action::Create);
    let new = validate::create(registered, &allowed, ONE, &body)?;
    store.create(&allowed, registered, None, new, &WriteOptions::default()).await.map(row)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_concurrent_creates_stop_at_the_limit() {
    for world in worlds().await {
        limit(&world.store, &[("instances:farm", 37), ("nodes", 50)]).await;
        // On PostgreSQL half of them go through another control plane.
        let other = match world.database.file() {
            Some(_) => world.store.clone(),
            None => testing::open_store(&world.database, farms()),
        };
        let makers = (0..100).map(|index| {
            let store = if index % 2 == 0 { world.store.clone() } else { other.clone() };
            tokio::spawn(async move { farm(&store, json!({ "name": format!("f{index}") })).await })
        });
        let mut made = 0;
        for maker in join_all(makers).await {
            match maker.unwrap() {
                Ok(_) => made += 1,
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error:?}");
                    let numbers = Value::Object(error.extra);
                    let expected = json!({
                        "resource": "instances:farm", "limit": 37, "used": 37, "requested": 1,
                    });
                    assert_eq!(numbers, expected);
                }
            }
        }
        assert_eq!(made, 37);
        check(&world.store, [37, 37, 0]).await;
        let events = world.database.int("SELECT count(*) FROM metapaas_events").await;
        assert_eq!(events, Some(37), "what was refused left no event");
    }
}

#[tokio::test]
async fn every_change_of_the_plan_is_reserved() {
    for world in worlds().await {
        let store = &world.store;
        let before = farm(store, json!({ "name": "before", "size": 2, "disk": 5 })).await.unwrap();
        check(store, [1, 2, 10]).await;
        limit(store, &[("nodes", 6), ("disk_gb", 40)]).await;
        check(store, [1, 2, 10]).await;

        let grown = world.patch(&before, &json!({ "size": 4 })).await.unwrap();
        check(store, [1, 4, 20]).await;
        let worker = world.make_below(&grown, Worker::DESCRIPTOR, &json!({ "name": "w" })).await.unwrap();
        check(store, [1, 5, 25]).await;
        let grown = world.again(&grown).await;
        assert_eq!(refusal(world.patch(&grown, &json!({ "disk": 9 })).await).0, ErrorCode::QuotaExceeded);
        assert_eq!(refusal(world.patch(&grown, &json!({ "size": 6 })).await).0, ErrorCode::QuotaExceeded);
        check(store, [1, 5, 25]).await;
        // What does not change the plan needs nothing.
        let grown = world.patch(&grown, &json!({ "description": "big" })).await.unwrap();
        // A plan that cannot be made leaves the nodes as they are.
        let grown = world.patch(&grown, &json!({ "size": 99 })).await.unwrap();
        check(store, [1, 5, 25]).await;
        let shrunk = world.patch(&grown, &json!({ "size": 1 })).await.unwrap();
        check(store, [1, 2, 10]).await;
        world.delete(&world.again(&worker).await).await.unwrap();
        check(store, [1, 1, 5]).await;
        // Its nodes are there until it is gone.
        world.delete(&world.again(&shrunk).await).await.unwrap();
        check(store, [1, 1, 5]).await;
        let other = world.make_in(TWO, Farm::DESCRIPTOR, None, &json!({ "name": "a", "size": 60 })).await;
        other.unwrap();
    }
}

#[tokio::test]
async fn a_limit_below_the_use_only_stops_growth() {
    for world in worlds().await {
        let store = &world.store;
        let big = farm(store, json!({ "name": "big", "size": 5 })).await.unwrap();
        limit(store, &[("nodes", 3)]).await;
        assert_eq!(refusal(world.patch(&big, &json!({ "size": 6 })).await).0, ErrorCode::QuotaExceeded);
        let smaller = world.patch(&big, &json!({ "size": 4 })).await.unwrap();
        check(store, [1, 4, 0]).await;
        limit(store, &[]).await;
        world.patch(&smaller, &json!({ "size": 50 })).await.unwrap();
        assert_eq!(world.database.int("SELECT count(*) FROM metapaas_reservations").await, Some(0));
        check(store, [1, 50, 0]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn setting_a_limit_while_creates_run_does_not_miscount() {
    for world in worlds().await {
        let makers = (0..60).map(|index| {
            let store = world.store.clone();
            tokio::spawn(async move { farm(&store, json!({ "name": format!("f{index}"), "size": 2 })).await })
        });
        let setter = {
            let store = world.store.clone();
            tokio::spawn(async move {
                for most in [1000, 900, 800] {
                    limit(&store, &[("instances", most), ("nodes", most)]).await;
                }
            })
        };
        for maker in join_all(makers).await {
            maker.unwrap().unwrap();
        }
        setter.await.unwrap();
        check(&world.store, [60, 120, 0]).await;
    }
}

#[tokio::test]
async fn a_dry_run_is_held_to_the_limits_and_reserves_nothing() {
    for world in worlds().await {
        let store = &world.store;
        limit(store, &[("nodes", 3)]).await;
        let registered = store.registry().root("farm").unwrap();
        let allowed = super::owner(registered.ty, Action::Create);
        let mut options = WriteOptions::default();
        options.effect = Effect::DryRun;
        for (nodes, expected) in [(3, None), (4, Some(ErrorCode::QuotaExceeded))] {
            let body = json!({ "name": "try", "size": nodes });
            let new = validate::create(registered, &allowed, ONE, &body).unwrap();
            let tried = store.create(&allowed, registered, None, new, &options).await;
            assert_eq!(tried.err().map(|error| error.code), expected);
        }
        check(store, [0, 0, 0]).await;
    }
}

#[tokio::test]
async fn only_what_exists_can_be_limited_and_only_by_the_platform() {
    for world in worlds().await {
        let set = |allowed: Allowed, project: Uuid, resource: &str| {
            let limits = BTreeMap::from([(resource.to_owned(), 1)]);
            let store: Arc<Store> = world.store.clone();
            async move { store.set_quota(&allowed, project, limits).await }
        };
        let (code, pointers) = refusal(set(projects(Action::Update), ONE, "instances:farms").await);
        assert_eq!((code, pointers), (ErrorCode::InvalidRequest, vec!["/limits/instances:farms".to_owned()]));
        let missing = set(projects(Action::Update), Uuid::from_u128(9), "nodes").await;
        assert_eq!(refusal(missing).0, ErrorCode::NotFound);
        let ty: &'static TypeDescriptor = &PROJECTS;
        let own = super::member(&[(ONE, metapaas_core::Role::Owner)], ty, Action::Update);
        assert_eq!(refusal(set(own, ONE, "nodes").await).0, ErrorCode::Forbidden);
    }
}
