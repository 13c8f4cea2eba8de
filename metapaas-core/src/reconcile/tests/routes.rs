//! Routes: the first to have a name keeps it, and a port stays with its instance.

use super::*;
use crate::plugin::RoutesFn;
use crate::reconcile::InForce;
use crate::route::{Route, serving};

pub(super) fn routing() -> Option<Routing> {
    Some(Routing {
        base_domain: "test".into(),
        ports: 20_000..=20_001,
        public_port: Arc::new(RwLock::new(Some(7490))),
        in_force: InForce::default(),
        notice: Duration::ZERO,
    })
}

/// Each site has a port, and names that all of them want.
pub(super) fn of_a_site() -> RoutesFn {
    Arc::new(|_, nodes| {
        let route = Route::new("web").label("shared").domains(["WWW.example.com."]).with_port();
        Ok(vec![route.backends(serving(nodes))])
    })
}

async fn work_all(world: &World) {
    let reconciler = world.reconciler();
    for _ in 0..2 {
        let claims = world.store.claim_work("test", 9, Duration::from_secs(60)).await.unwrap();
        for claim in claims {
            let passed = reconciler.pass(&claim).await.unwrap();
            match passed {
                Passed::Blocked(_, on) => {
                    let outcome =
                        Outcome { due_at: None, attempts: 0, waiting_for: Some(on), last_error: None };
                    world.store.finish_work(&claim, outcome).await.unwrap();
                }
                passed => world.finish(&claim, passed).await,
            }
        }
        for row in ["a", "b"] {
            let Some(site) = world.find(&SITE, &[row]).await else { continue };
            world.report_of(&site).await;
        }
    }
}

#[tokio::test]
async fn a_name_stays_with_its_first_holder_and_passes_on_when_that_one_goes() {
    for world in worlds().await {
        let first = world.make(&SITE, None, json!({"name": "a", "replicas": 1})).await;
        work_all(&world).await;
        let second = world.make(&SITE, None, json!({"name": "b", "replicas": 1})).await;
        work_all(&world).await;
        work_all(&world).await;
        let table = world.store.route_table().await.unwrap();
        let of = |table: &crate::store::routes::RouteTable, site: &Resource| {
            table.routes.iter().find(|route| route.instance == site.meta.id).cloned()
        };
        let (route, other) = (of(&table, &first).unwrap(), of(&table, &second).unwrap());
        assert_eq!(route.hosts, ["shared.test", "www.example.com"]);
        assert_eq!(route.backends.len(), 1, "its node serves");
        assert!(other.hosts.is_empty(), "they are taken");
        let mut ports = [route.port.unwrap(), other.port.unwrap()];
        ports.sort_unstable();
        assert_eq!(ports, [20_000, 20_001]);
        let blocked = world.find(&SITE, &["b"]).await.unwrap();
        assert_eq!(ready(&blocked)["reason"], "Blocked");
        let message = ready(&blocked)["message"].as_str().unwrap().to_owned();
        assert!(message.contains("shared.test is taken by another instance"), "{message}");

        // Nothing new to tell: the revision stays.
        world.store.wake(first.meta.id, "site").await.unwrap();
        work_all(&world).await;
        assert_eq!(world.store.routes_revision().await.unwrap(), table.revision);

        // The holder goes, the other one is woken and has the names. It keeps its port.
        world.delete(&world.find(&SITE, &["a"]).await.unwrap()).await;
        work_all(&world).await;
        work_all(&world).await;
        let table = world.store.route_table().await.unwrap();
        assert!(of(&table, &first).is_none());
        let route = of(&table, &second).unwrap();
        assert_eq!((route.hosts.len(), route.port), (2, other.port));
        work_all(&world).await;
        assert_eq!(world.find(&SITE, &["b"]).await.unwrap().meta.status, "ACTIVE");
    }
}
