//! Control planes that are killed and stopped, database connections that drop, agents that die and dawdle: a seeded,
//! bounded number of rounds while clients go on working, then everything is healed and held to what must be true.
//!
//! `METAPAAS_FAULT_SEED` repeats a run's choices (its timing is the machine's), `METAPAAS_FAULT_ROUNDS` makes it longer.

mod clients;
mod invariants;
mod rounds;
mod watcher;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use metapaas_tests::harness::{Installation, On, client, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use self::clients::Clients;
use self::rounds::{Faults, Random};
use self::watcher::Watcher;
use crate::PROGRAM;

const DEMO: &str = "/v1/types/demo/instances";
/// A limit that nobody reaches: it has everything reserved and counted.
const LIMIT: i64 = 1000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Rounds of faults over that many control planes on one database.
async fn survives(on: On, replicas: usize, rounds: u64) {
    let seed = variable("METAPAAS_FAULT_SEED").unwrap_or_else(|| std::process::id().into());
    let rounds = variable("METAPAAS_FAULT_ROUNDS").unwrap_or(rounds);
    println!(
        "METAPAAS_FAULT_SEED={seed} METAPAAS_FAULT_ROUNDS={rounds}, {replicas} control planes on {on:?}"
    );
    let first = Installation::start(PROGRAM, on).await;
    let sql = first.sql().await;
    let mut planes = vec![first];
    for _ in 1..replicas {
        let next = planes[0].second().await;
        planes.push(next);
    }
    let urls = Arc::new(Mutex::new(planes.iter().map(|plane| plane.url.clone()).collect::<Vec<_>>()));
    let project = planes[0].default_project().await;
    let limits = json!({ "limits": { "instances": LIMIT, "instances:demo": LIMIT, "nodes": LIMIT } });
    let _ = planes[0].call(Method::PUT, "/v1/projects/default/quota", limits).await.expect(200);
    let watcher = Watcher::start(urls.clone(), planes[0].token.clone(), Random::new(!seed));
    let clients = Clients::start(urls.clone(), planes[0].token.clone(), project, Random::new(seed));

    let mut faults = Faults { planes, urls, sql: sql.clone(), random: Random::new(seed ^ 0x5eed) };
    for round in 0..rounds {
        faults.round(round).await;
    }
    let ledgers = clients.stop().await;
    let planes = faults.planes;
    let logs = || planes.iter().map(Installation::read_log).collect::<Vec<_>>().join("\n---\n");
    let checked = tokio::spawn({
        let (planes_dirs, url, token) = (
            planes.iter().map(Installation::data_dir).collect(),
            planes[0].url.clone(),
            planes[0].token.clone(),
        );
        invariants::Checks { dirs: planes_dirs, url, token, sql, ledgers, watcher }.run()
    });
    if let Err(failed) = checked.await {
        if let Ok(file) = std::env::var("METAPAAS_FAULT_LOG") {
            std::fs::write(file, logs()).unwrap();
        }
        std::panic::resume_unwind(failed.into_panic());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_control_planes_lose_nothing_and_double_nothing() {
    survives(On::Postgres, 2, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_control_planes_lose_nothing_and_double_nothing() {
    survives(On::Postgres, 3, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_control_plane_on_sqlite_loses_nothing_and_doubles_nothing() {
    survives(On::Sqlite, 1, 3).await;
}

/// The client does what any client does: it sends the same request to the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_created_while_the_primary_replica_is_killed() {
    let mut first = Installation::start(PROGRAM, On::Postgres).await;
    let second = first.second().await;
    let (project, token) = (first.default_project().await, first.token.clone());
    for (index, delay) in [0, 2, 5, 10].into_iter().enumerate() {
        let name = format!("late-{index}");
        let body = json!({ "name": name, "project_id": project, "greeting": "hi" });
        let send = |url: &str| {
            client()
                .post(format!("{url}{DEMO}"))
                .bearer_auth(&token)
                .header("idempotency-key", format!("create {name}"))
                .json(&body)
                .send()
        };
        let on_first = tokio::spawn(send(&first.url));
        tokio::time::sleep(Duration::from_millis(delay)).await;
        first.kill();
        let acknowledged = match on_first.await.unwrap() {
            Ok(answer) if answer.status() == 201 => answer.json::<Value>().await.ok(),
            _ => None,
        };
        let again = loop {
            let again = send(&second.url).await.unwrap();
            // The database may not know yet that the first is dead, and hold its transaction.
            match again.headers().get("retry-after") {
                Some(_) if again.status() == 409 => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => break again,
            }
        };
        // The first may have stored it before it died, whether it said so or not; then this is the same answer.
        assert_eq!(again.status(), 201);
        let made: Value = again.json().await.unwrap();
        if let Some(acknowledged) = acknowledged {
            assert_eq!(made["id"], acknowledged["id"], "it is made once");
        }
        let instance = second.active(&format!("{DEMO}/{name}")).await;
        assert_eq!(instance["id"], made["id"]);
        assert_eq!(instance["nodes"].as_array().unwrap().len(), 1);
        first.up().await;
    }
    let list = second.get(DEMO).await.expect(200);
    assert_eq!(list.body["items"].as_array().unwrap().len(), 4);
    for index in 0..4 {
        let _ = second.call(Method::DELETE, &format!("{DEMO}/late-{index}"), Value::Null).await.expect(202);
    }
    eventually("all are gone", || async {
        first.get(DEMO).await.body["items"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    assert_eq!(first.node_dirs_of_nodes() + second.node_dirs_of_nodes(), 0, "no directory is left");
}
