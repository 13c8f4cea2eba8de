//! Passes against a world that is kept in memory: from the create to the last row, through crashes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, pending};
use metapaas_protocol::{Health, ItemError, NodeReport, PROTOCOL_VERSION};
use serde_json::{Value, json};
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use super::execute::Passed;
use super::*;
use crate::__private::{instance, of};
use crate::agents::Agents;
use crate::authz::authorize;
use crate::descriptor::{Action, FieldDescriptor, FieldKind, TypeDescriptor};
use crate::plan::NodeSpec;
use crate::plugin::Plugin;
use crate::provider::{NodeFound, NodeRef, NodeRequest, NodeState, ProviderError};
use crate::request::RequestContext;
use crate::resource::Resource;
use crate::role::PLATFORM_PROJECT;
use crate::store::{Claim, Locator, Node, Outcome, WriteOptions};
use crate::testing::{self, TestDatabase, postgres, sqlite};
use crate::validate::{self, UpdateMode};

mod children;
mod documents;
mod links;
mod outputs;
mod planned;
mod routes;

static SITE: TypeDescriptor = TypeDescriptor {
    fields: &[
        of::<i64>().field("replicas", "").mutable(),
        of::<Option<bool>>().field("broken", "").mutable(),
    ],
    ..instance("Site", "site", "")
};
static PAGE: TypeDescriptor = TypeDescriptor {
    plural: "pages",
    parent: Some(&SITE),
    fields: &[FieldDescriptor {
        kind: FieldKind::Ref(|| &PAGE),
        nullable: true,
        ..of::<bool>().field("next", "")
    }],
    ..instance("Page", "site", "")
};
static NOTE: TypeDescriptor =
    TypeDescriptor { plural: "notes", parent: Some(&PAGE), ..instance("Note", "site", "") };

fn plugin() -> Plugin {
    let mut plugin = Plugin::new("site", "1.0.0");
    plugin.types = vec![&SITE, &PAGE, &NOTE];
    plugin.drivers.push(("site", || unreachable!("no agent runs here")));
    plugin.plans.push((
        "site",
        Arc::new(|tree| {
            let spec = &tree.instance.spec;
            assert!(spec["broken"] != json!(true), "a bug of the plugin");
            let count =
                spec["replicas"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
            let rows = tree.children.iter().flat_map(|(_, rows)| rows).map(|row| row.meta.key.clone());
            Ok(NodeSpec::replicas(count, "web", 80, &json!(rows.collect::<Vec<_>>())).into())
        }),
    ));
    plugin.routes.push(("site", routes::of_a_site()));
    plugin
}

/// The world outside: nodes that exist, and what was done to them.
#[derive(Default)]
struct Outside {
    nodes: Mutex<BTreeMap<Uuid, u8>>,
    effects: Mutex<Vec<String>>,
    /// The effect after which the control plane dies.
    dies_after: Mutex<Option<usize>>,
    died: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Outside {
    async fn effect(&self, name: String) {
        let count = {
            let mut effects = lock(&self.effects);
            effects.push(name);
            effects.len()
        };
        if *lock(&self.dies_after) == Some(count) {
            self.died.notify_one();
            pending::<()>().await;
        }
    }

    fn made(&self) -> usize {
        lock(&self.effects).iter().filter(|effect| effect.starts_with("made")).count()
    }
}

impl Provider for Outside {
    fn name(&self) -> &'static str {
        "outside"
    }

    fn address(&self, _: Uuid) -> Option<IpAddr> {
        None
    }

    fn ensure<'a>(&'a self, request: &'a NodeRequest) -> BoxFuture<'a, Result<NodeFound, ProviderError>> {
        async move {
            let (host, is_new) = {
                let mut nodes = lock(&self.nodes);
                let next = u8::try_from(nodes.len()).unwrap() + u8::try_from(self.made()).unwrap() + 1;
                let is_new = !nodes.contains_key(&request.id);
                (*nodes.entry(request.id).or_insert(next), is_new)
            };
            self.effect(format!("{} {}", if is_new { "made" } else { "found" }, request.id)).await;
            Ok(NodeFound { address: IpAddr::from([127, 9, 9, host]), location: json!({"at": host}) })
        }
        .boxed()
    }

    fn observe<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<NodeState, ProviderError>> {
        async move {
            let is_there = lock(&self.nodes).contains_key(&node.id);
            Ok(if is_there { NodeState::Running } else { NodeState::Gone })
        }
        .boxed()
    }

    fn delete<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<(), ProviderError>> {
        async move {
            lock(&self.nodes).remove(&node.id);
            self.effect(format!("removed {}", node.id)).await;
            Ok(())
        }
        .boxed()
    }

    fn list<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<NodeRef>, ProviderError>> {
        async move { Ok(lock(&self.nodes).keys().map(|id| NodeRef { id: *id, location: None }).collect()) }
            .boxed()
    }

    fn exits(&self) -> broadcast::Receiver<Uuid> {
        broadcast::channel(1).1
    }
}

struct World {
    database: TestDatabase,
    store: Arc<Store>,
    outside: Arc<Outside>,
    agents: Agents,
}

impl World {
    async fn new(database: TestDatabase) -> Self {
        Self::of(database, plugin()).await
    }

    async fn of(database: TestDatabase, plugin: Plugin) -> Self {
        let store = testing::store(&database, vec![plugin]).await;
        let agents = Agents::new(store.clone(), NodeTokens::new(b"key"), Arc::default());
        Self { database, store, outside: Arc::default(), agents }
    }

    /// A control plane that has just started.
    fn reconciler(&self) -> Arc<Reconciler> {
        let settings = Settings {
            owner: "test".into(),
            tag: "test".into(),
            endpoints: Arc::default(),
            ca: None,
            policy: Policy::default(),
            tokens: NodeTokens::new(b"key"),
            routing: routes::routing(),
        };
        Arc::new(Reconciler::new(self.store.clone(), vec![self.outside.clone()], settings))
    }

    async fn make(&self, ty: &'static TypeDescriptor, parent: Option<&Resource>, body: Value) -> Resource {
        let allowed = authorize(&RequestContext::system("test"), ty, Action::Create);
        let registered = self.store.registry().of(ty).unwrap();
        let new = validate::create(registered, &allowed, PLATFORM_PROJECT, &body).unwrap();
        let options = WriteOptions::default();
        let made = self.store.create(&allowed, registered, parent, new, &options).await.unwrap();
        made.into_row().unwrap()
    }

    async fn find(&self, ty: &'static TypeDescriptor, keys: &[&str]) -> Option<Resource> {
        let allowed = authorize(&RequestContext::system("test"), ty, Action::Read);
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let locator = Locator { keys, project: None };
        self.store.get(&allowed, self.store.registry().of(ty).unwrap(), &locator).await.ok()
    }

    async fn site(&self) -> Resource {
        self.find(&SITE, &["a"]).await.unwrap()
    }

    async fn patch(&self, body: Value) {
        let (row, registered) = (self.site().await, self.store.registry().of(&SITE).unwrap());
        let allowed = authorize(&RequestContext::system("test"), &SITE, Action::Update);
        let stored = self.store.reveal(&row).unwrap();
        let change = validate::update(registered, &allowed, &row, &stored, &body, UpdateMode::Merge).unwrap();
        self.store.update(&allowed, registered, &row, change, &WriteOptions::default()).await.unwrap();
    }

    async fn delete(&self, row: &Resource) {
        let allowed = authorize(&RequestContext::system("test"), row.ty, Action::Delete);
        let registered = self.store.registry().of(row.ty).unwrap();
        self.store.delete(&allowed, registered, row, &WriteOptions::default()).await.unwrap();
    }

    /// Works off what is due; `false` when the control plane died at it.
    async fn work(&self, reconciler: &Reconciler) -> bool {
        loop {
            let Some(claim) = self.store.claim_work("test", 1, Duration::from_secs(60)).await.unwrap().pop()
            else {
                return true;
            };
            tokio::select! {
                biased;
                passed = reconciler.pass(&claim) => self.finish(&claim, passed.unwrap()).await,
                () = self.outside.died.notified() => {
                    // The lease of the one that died runs out.
                    let time = if self.database.file().is_some() { "0" } else { "now() - interval '1 hour'" };
                    let sql = format!("UPDATE metapaas_work SET lease_until = {time}, due_at = {time}");
                    self.database.run(&sql).await;
                    return false;
                }
            }
        }
    }

    async fn claim(&self) -> Claim {
        self.store.claim_work("test", 1, Duration::from_secs(60)).await.unwrap().remove(0)
    }

    /// Another control plane takes the work whose lease ran out.
    async fn lose(&self) {
        let time = if self.database.file().is_some() { "0" } else { "now() - interval '1 hour'" };
        self.database.run(&format!("UPDATE metapaas_work SET lease_until = {time}, due_at = {time}")).await;
        self.claim().await;
    }

    async fn finish(&self, claim: &Claim, passed: Passed) {
        let outcome = |due_at| Outcome { due_at, attempts: 0, waiting_for: None, last_error: None };
        match passed {
            Passed::Gone => assert!(self.store.forget_work(claim).await.unwrap()),
            Passed::LookAgain(due_at) => self.store.finish_work(claim, outcome(due_at)).await.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What the agents of all nodes that exist do: apply the document, say so.
    async fn agents_report(&self) {
        self.report_of(&self.site().await).await;
    }

    async fn report_of(&self, site: &Resource) {
        for node in self.store.nodes(site.meta.id).await.unwrap() {
            if !lock(&self.outside.nodes).contains_key(&node.id) {
                continue;
            }
            let Some(document) = self.agents.document(node.id, "", Duration::ZERO).await.unwrap() else {
                continue;
            };
            let report = NodeReport {
                protocol: PROTOCOL_VERSION,
                applied_generation: document.generation,
                applied_digest: document.digest,
                health: Health::Healthy,
                message: String::new(),
                facts: BTreeMap::new(),
                errors: Vec::new(),
                removed: document.removing,
                agent_version: "test".into(),
                last_lines: Vec::new(),
            };
            self.agents.report(node.id, node.id, report).await.unwrap();
        }
    }

    /// Works until nothing changes any more, restarting whenever the control plane dies.
    async fn settle(&self) {
        let mut reconciler = self.reconciler();
        for _ in 0..12 {
            if !self.work(&reconciler).await {
                reconciler = self.reconciler();
                continue;
            }
            if self.find(&SITE, &["a"]).await.is_none() {
                return;
            }
            self.agents_report().await;
        }
    }
}

async fn worlds() -> [World; 2] {
    [World::new(sqlite().await).await, World::new(postgres().await).await]
}

fn ready(row: &Resource) -> Value {
    let conditions: Value = serde_json::from_str(row.meta.conditions.get()).unwrap();
    conditions[0].clone()
}

#[tokio::test]
async fn an_instance_becomes_active_once_its_nodes_say_so() {
    for world in worlds().await {
        let site = world.make(&SITE, None, json!({"name": "a", "replicas": 2})).await;
        let page = world.make(&PAGE, Some(&site), json!({"name": "p"})).await;
        let reconciler = world.reconciler();
        assert!(world.work(&reconciler).await);
        let creating = world.site().await;
        assert_eq!(
            (creating.meta.status.as_str(), ready(&creating)["reason"].as_str()),
            ("CREATING", Some("NodesStarting"))
        );
        assert_eq!(world.outside.made(), 2);
        world.agents_report().await;
        assert!(world.work(&reconciler).await);
        let active = world.site().await;
        assert_eq!((active.meta.status.as_str(), active.meta.observed_generation), ("ACTIVE", 2));
        let page = world.find(&PAGE, &["a", &page.key()]).await.unwrap();
        assert_eq!((page.meta.status.as_str(), page.meta.observed_generation), ("ACTIVE", 1));

        // Another pass, by a control plane that has just started, finds nothing to write or do.
        let events = world.database.int("SELECT max(seq) FROM metapaas_events").await;
        let effects = lock(&world.outside.effects).len();
        world.store.wake(site.meta.id, "site").await.unwrap();
        world.agents_report().await;
        assert!(world.work(&world.reconciler()).await);
        assert_eq!(world.site().await.meta.revision, active.meta.revision);
        assert_eq!(world.database.int("SELECT max(seq) FROM metapaas_events").await, events);
        assert_eq!(lock(&world.outside.effects).len(), effects);

        // Fewer nodes: the surplus one is told to clean up before it goes.
        world.patch(json!({"replicas": 1})).await;
        assert_eq!(world.site().await.meta.status, "UPDATING");
        assert!(world.work(&reconciler).await);
        assert_eq!(lock(&world.outside.nodes).len(), 2, "it has not said that it is done");
        world.settle().await;
        assert_eq!(lock(&world.outside.nodes).len(), 1);
        let shrunk = world.site().await;
        assert_eq!((shrunk.meta.status.as_str(), shrunk.meta.observed_generation), ("ACTIVE", 3));
    }
}

#[tokio::test]
async fn a_crash_after_any_effect_is_made_good_without_doubles() {
    // Two nodes are made, one goes, then all: at least four effects, and those of the repeats.
    for dies_after in 1..=6 {
        for world in worlds().await {
            *lock(&world.outside.dies_after) = Some(dies_after);
            let site = world.make(&SITE, None, json!({"name": "a", "replicas": 2})).await;
            world.make(&PAGE, Some(&site), json!({"name": "p"})).await;
            world.settle().await;
            let active = world.site().await;
            assert_eq!(active.meta.status, "ACTIVE", "died after {dies_after}: {}", ready(&active));
            assert_eq!(lock(&world.outside.nodes).len(), 2);
            assert_eq!(world.outside.made(), 2, "{:?}", lock(&world.outside.effects));
            world.patch(json!({"replicas": 1})).await;
            world.settle().await;
            assert_eq!(world.site().await.meta.status, "ACTIVE", "died after {dies_after}");
            world.delete(&world.site().await).await;
            world.settle().await;
            assert!(world.find(&SITE, &["a"]).await.is_none(), "died after {dies_after}");
            assert!(lock(&world.outside.nodes).is_empty());
            assert_eq!(world.outside.made(), 2);
            for table in ["site_instances", "site_pages", "metapaas_nodes", "metapaas_work"] {
                let left = world.database.int(&format!("SELECT count(*) FROM {table}")).await;
                assert_eq!(left, Some(0), "{table}, died after {dies_after}");
            }
        }
    }
}

#[tokio::test]
async fn a_plan_function_that_panics_stops_nothing_else() {
    for world in worlds().await {
        world.make(&SITE, None, json!({"name": "a", "replicas": 1, "broken": true})).await;
        world.make(&SITE, None, json!({"name": "b", "replicas": 1})).await;
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(world.reconciler().run(stopped));
        let seen = async {
            loop {
                let (a, b) = (world.site().await, world.find(&SITE, &["b"]).await.unwrap());
                if a.meta.status == "ERROR" && b.meta.status == "CREATING" {
                    return a;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let broken = tokio::time::timeout(Duration::from_secs(20), seen).await.unwrap();
        assert_eq!(
            (ready(&broken)["status"].as_str(), ready(&broken)["reason"].as_str()),
            (Some("False"), Some("Bug"))
        );
        // A new generation is a new chance.
        world.patch(json!({"broken": null})).await;
        let mended = async {
            while world.site().await.meta.status == "ERROR" || world.outside.made() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), mended).await.unwrap();
        stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
    }
}
