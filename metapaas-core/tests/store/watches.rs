//! Watches on two control planes while many write in every way there is: nothing is lost, nothing is told twice, the
//! order is that of commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use metapaas_core::authn::Authenticator;
use metapaas_core::authz::Projects;
use metapaas_core::descriptor::TypeDescriptor;
use metapaas_core::error::ErrorCode;
use metapaas_core::iam::{Bootstrap, bootstrap};
use metapaas_core::migrate::{PluginMigrations, apply};
use metapaas_core::store::{Store, StoreError};
use metapaas_core::testing::{self, TestDatabase, postgres, sqlite};
use metapaas_core::watch::{Begin, View, Watch, WatchHub, WatchRequest};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{World, below, field, instance, leak, plugin};

const KEY: &[u8] = b"a signing key of thirty-two bytes";

fn types() -> [&'static TypeDescriptor; 2] {
    let site = leak(TypeDescriptor {
        fields: vec![field::<i64>("count").mutable()].leak(),
        ..instance("Site", "site", "")
    });
    let page = leak(TypeDescriptor {
        fields: vec![field::<i64>("count").mutable()].leak(),
        ..below("Page", "pages", site)
    });
    [site, page]
}

/// A control plane's part in it.
struct Plane {
    store: Arc<Store>,
    hub: Arc<WatchHub>,
    stop: watch::Sender<bool>,
}

impl Plane {
    fn new(store: Arc<Store>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let authenticator = Arc::new(Authenticator::new(store.database.clone(), KEY));
        let hub = WatchHub::new(store.clone(), authenticator, stopped);
        tokio::spawn(hub.clone().run());
        Self { store, hub, stop }
    }

    async fn watch(&self, secrets: &Bootstrap, begin: Begin) -> Watch {
        let request = WatchRequest {
            registered: self.store.registry().root("site").unwrap(),
            under: None,
            projects: Projects::All,
            begin,
            view: View::default(),
            bearer: &secrets.token,
            request_id: "test".into(),
            still_allowed: Box::new(|_| Ok(())),
        };
        self.hub.watch(request).await.unwrap()
    }
}

/// What the events of watches add up to, one going on where another left off.
#[derive(Default)]
struct Fold {
    rows: BTreeMap<String, Value>,
    told: BTreeMap<String, i64>,
    position: Option<i64>,
    synced: bool,
}

impl Fold {
    /// Takes a piece of text in; answers how many events it had.
    fn take(&mut self, text: &str) -> usize {
        let mut events = 0;
        for block in text.split("\n\n").filter(|block| block.contains("data: ")) {
            let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let data: Value = serde_json::from_str(line("data: ").unwrap()).unwrap();
            let (kind, object) = (data["type"].as_str().unwrap(), &data["object"]);
            if let Some(id) = line("id: ") {
                let id: i64 = id.parse().unwrap();
                let is_mark = matches!(kind, "SYNCED" | "BOOKMARK");
                assert!(
                    Some(id) > self.position || is_mark && Some(id) == self.position,
                    "{id} {:?}",
                    self.position
                );
                self.position = Some(id);
            }
            self.synced |= kind == "SYNCED";
            assert_ne!(kind, "ERROR", "{object}");
            let Some(row) = object["id"].as_str() else { continue };
            events += 1;
            let revision = object["revision"].as_i64().unwrap();
            let before = self.told.insert(row.into(), revision).unwrap_or_default();
            assert!(revision > before, "{row}: {revision} after {before}");
            if kind == "DELETED" {
                self.rows.remove(row);
            } else {
                self.rows.insert(row.into(), object.clone());
            }
        }
        events
    }

    fn revisions(&self) -> BTreeMap<String, i64> {
        self.rows.iter().map(|(id, row)| (id.clone(), row["revision"].as_i64().unwrap())).collect()
    }
}

async fn prepared(database: TestDatabase, types: &[&'static TypeDescriptor]) -> (Arc<World>, Bootstrap) {
    apply(&database, &[PluginMigrations::framework()]).await.unwrap();
    let secrets = bootstrap(&database, |_| Ok(())).await.unwrap().unwrap();
    (Arc::new(World::new(database, types).await), secrets)
}

/// A transaction of several statements that stays open for a while: as the store writes, with a number taken early.
async fn slow_change(world: &World, id: &str, pause: Duration, keep: bool) {
    let id = id.to_owned();
    let done = world.database.write("change slowly", move |tx| {
        Box::pin(async move {
            let sql = format!(
                "CREATE TEMP TABLE IF NOT EXISTS taken (seq bigint) ON COMMIT DROP;
                 INSERT INTO taken SELECT nextval(CASE WHEN pg_current_xact_id() IS NOT NULL
                   THEN 'metapaas_revision'::regclass END);
                 SELECT pg_sleep({});
                 UPDATE site_instances SET revision = (SELECT max(seq) FROM taken), updated_at = now()
                   WHERE id = '{id}' AND revision < (SELECT max(seq) FROM taken);
                 INSERT INTO metapaas_events (seq, at, project_id, type, plural, resource_id, instance_id, parent_id,
                   name, action, actor_kind, actor_name, request_id, generation)
                 SELECT revision, now(), project_id, 'site', 'instances', id, id, id, name, 'updated', 'system', 's',
                   'r', generation FROM site_instances WHERE id = '{id}' AND revision = (SELECT max(seq) FROM taken)",
                pause.as_secs_f64()
            );
            tx.execute_script("change slowly", &sql).await?;
            // Some are given up: their number is never used.
            if keep { Ok(()) } else { Err(Given::Up) }
        })
    });
    match done.await {
        Ok(()) | Err(Given::Up) => {}
        Err(Given::Error(error)) => panic!("{error:?}"),
    }
}

/// Removes an instance for good, as the platform does when nothing is left of it.
async fn remove(world: &World, id: &str) {
    let (next, number, now) = if world.database.file().is_some() {
        let next = "UPDATE metapaas_counters SET value = value + 1 WHERE name = 'revision';";
        (next, "(SELECT value FROM metapaas_counters WHERE name = 'revision')", "0")
    } else {
        let number =
            "nextval(CASE WHEN pg_current_xact_id() IS NOT NULL THEN 'metapaas_revision'::regclass END)";
        ("", number, "now()")
    };
    let sql = format!(
        "{next}
         INSERT INTO metapaas_events (seq, at, project_id, type, plural, resource_id, instance_id, parent_id, name,
           action, actor_kind, actor_name, request_id, generation)
         SELECT {number}, {now}, project_id, 'site', 'instances', id, id, id, name, 'deleted', 'system', 's', 'r',
           generation FROM site_instances WHERE id = '{id}';
         DELETE FROM site_pages WHERE instance_id = '{id}';
         DELETE FROM site_instances WHERE id = '{id}'"
    );
    world.database.run(&sql).await;
}

#[derive(Debug)]
enum Given {
    Up,
    Error(StoreError),
}

impl From<StoreError> for Given {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}

/// Makes, changes and deletes rows until it is enough.
async fn write(world: Arc<World>, writer: usize, rounds: usize) {
    let [site, page] =
        ["instances", "pages"].map(|plural| world.store.registry().find("site", plural).unwrap().ty);
    let is_postgres = world.database.file().is_none();
    for round in 0..rounds {
        let name = format!("w{writer}-{round}");
        let row = world.make(site, &json!({"name": name, "count": 0})).await.unwrap();
        let child = world.make_below(&row, page, &json!({"name": "p", "count": 0})).await.unwrap();
        let mut row = world.again(&row).await;
        for count in 1..4 {
            row = world.patch(&row, &json!({"count": count})).await.unwrap();
        }
        let _ = world.patch(&child, &json!({"count": 1})).await.unwrap();
        if is_postgres && writer == 0 {
            let pause = Duration::from_millis(60 * (round as u64 % 3));
            slow_change(&world, &row.meta.id.to_string(), pause, round % 2 == 0).await;
        }
        if round % 3 == 0 {
            remove(&world, &row.meta.id.to_string()).await;
        }
    }
}

/// Reads on one control plane and another, breaking off at random, until the writers are done and all is told.
async fn read(planes: Arc<[Plane; 2]>, secrets: Arc<Bootstrap>, done: Arc<AtomicBool>, seed: u64) -> Fold {
    let mut fold = Fold::default();
    let mut random = seed;
    loop {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let plane = &planes[(random >> 33) as usize % 2];
        let begin = match fold.position {
            Some(position) if fold.synced => Begin::After(position),
            _ => {
                fold = Fold::default();
                Begin::Whole
            }
        };
        let was_done = done.load(Ordering::SeqCst);
        let last = plane.store.last_position().await.unwrap();
        let mut watch = plane.watch(&secrets, begin).await;
        let mut pieces = 1 + (random >> 40) % 12;
        while was_done || pieces > 0 {
            pieces = pieces.saturating_sub(1);
            let patience = Duration::from_millis(if was_done { 30_000 } else { 200 });
            let Ok(text) = tokio::time::timeout(patience, watch.next()).await else { break };
            fold.take(std::str::from_utf8(&text.unwrap()).unwrap());
            if was_done && fold.synced && fold.position >= Some(last) {
                return fold;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_folded_watch_equals_the_list() {
    for database in [sqlite().await, postgres().await] {
        let types = types();
        let (world, secrets) = prepared(database, &types).await;
        let second = match world.database.file() {
            Some(_) => world.store.clone(),
            None => testing::open_store(&world.database, vec![plugin(&types)]),
        };
        let planes = Arc::new([Plane::new(world.store.clone()), Plane::new(second)]);
        let (secrets, done) = (Arc::new(secrets), Arc::new(AtomicBool::new(false)));
        let readers: Vec<_> = (0..4)
            .map(|seed| tokio::spawn(read(planes.clone(), secrets.clone(), done.clone(), seed * 7919 + 1)))
            .collect();
        let writers = (0..6).map(|writer| tokio::spawn(write(world.clone(), writer, 8)));
        for writer in join_all(writers).await {
            writer.unwrap();
        }
        // A last change on either database, whose position everybody must reach.
        world.make(types[0], &json!({"name": "last", "count": 0})).await.unwrap();
        done.store(true, Ordering::SeqCst);
        let mut expected = BTreeMap::new();
        for row in world.all(types[0]).await {
            expected.insert(row.meta.id.to_string(), row.meta.revision);
        }
        for reader in readers {
            assert_eq!(reader.await.unwrap().revisions(), expected);
        }
        for plane in planes.iter() {
            assert_eq!(plane.hub.watches(), 0, "a watch that is dropped is gone");
            plane.stop.send(true).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_with_its_token() {
    let types = types();
    let (world, secrets) = prepared(sqlite().await, &types).await;
    let plane = Plane::new(world.store.clone());
    let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(3)).timestamp_micros();
    world.database.run(&format!("UPDATE metapaas_service_tokens SET expires_at = {soon}")).await;
    let mut watch = plane.watch(&secrets, Begin::Whole).await;
    let mut last = String::new();
    while let Some(text) = watch.next().await {
        last = String::from_utf8(text.to_vec()).unwrap();
    }
    assert!(last.starts_with("event: ERROR") && last.contains("UNAUTHENTICATED"), "{last}");
    plane.stop.send(true).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_when_the_control_plane_stops_or_the_events_are_gone() {
    let types = types();
    let (world, secrets) = prepared(sqlite().await, &types).await;
    let plane = Plane::new(world.store.clone());
    world.make(types[0], &json!({"name": "a", "count": 0})).await.unwrap();
    let mut watch = plane.watch(&secrets, Begin::Whole).await;
    let mut fold = Fold::default();
    while !fold.synced {
        fold.take(std::str::from_utf8(&watch.next().await.unwrap()).unwrap());
    }
    let site = world.store.registry().root("site").unwrap();
    plane.hub.check_position(1, &[site]).await.unwrap();
    world
        .database
        .run("INSERT INTO metapaas_counters (name, value) VALUES ('retired:site.instances', 5)")
        .await;
    world.database.run("UPDATE metapaas_counters SET value = 9 WHERE name = 'revision'").await;
    assert_eq!(plane.hub.check_position(4, &[site]).await.unwrap_err().code, ErrorCode::Expired);
    plane.hub.check_position(5, &[site]).await.unwrap();
    assert_eq!(plane.hub.check_position(10, &[site]).await.unwrap_err().code, ErrorCode::InvalidRequest);
    plane.stop.send(true).unwrap();
    while watch.next().await.is_some() {}
}
