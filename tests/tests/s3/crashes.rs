//! What an S3 instance has acknowledged is there, whatever ends in between.

use std::path::PathBuf;

use metapaas_tests::harness::{On, eventually, is_running, recorded_pid, signal};
use rustix::process::Signal;
use serde_json::json;

use super::Storage;

/// The files that tell of the service and the agent of the only node.
fn records(storage: &Storage) -> (PathBuf, PathBuf) {
    let node = storage.installation.node_dirs().remove(0);
    (node.join("run/s3.json"), node.join("agent.json"))
}

fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill() {
    let mut storage = Storage::start(On::Sqlite, json!({ "encryption": "aes256" })).await;
    storage.scenario(None, &["presign", "data-bucket", "one"]).await;
    let (service, agent) = records(&storage);

    let before = recorded_pid(&service).unwrap();
    kill(before);
    eventually("the service is started again", || async {
        recorded_pid(&service).is_some_and(|pid| pid != before && is_running(pid))
    })
    .await;
    storage.scenario(None, &["presign", "data-bucket", "two"]).await;

    let (before, serving) = (recorded_pid(&agent).unwrap(), recorded_pid(&service).unwrap());
    kill(before);
    eventually("the agent is started again", || async {
        recorded_pid(&agent).is_some_and(|pid| pid != before && is_running(pid))
    })
    .await;
    storage.scenario(None, &["presign", "data-bucket", "three"]).await;
    assert_eq!(recorded_pid(&service), Some(serving), "the server went on");

    let instance = storage.active().await;
    storage.installation.kill();
    storage.scenario_of(&instance, None, &["presign", "data-bucket", "four"]).await;
    storage.installation.up().await;
    storage.make("/buckets", json!({ "name": "later" })).await;
    storage.scenario(None, &["presign", "later", "five"]).await;
    storage.scenario(None, &["count", "data-bucket", "4"]).await;
    assert_eq!(recorded_pid(&service), Some(serving), "a new bucket restarts nothing");

    let _ = storage.call(reqwest::Method::POST, "/actions/restart", json!({})).await.expect(202);
    storage.scenario(None, &["count", "data-bucket", "4"]).await;
    assert_ne!(recorded_pid(&service), Some(serving));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_puts_are_cut_off_by_a_kill() {
    let storage = Storage::start(On::Sqlite, json!({ "encryption": "aes256" })).await;
    let instance = storage.active().await;
    let (service, _) = records(&storage);
    let before = recorded_pid(&service).unwrap();
    storage.scenario_of(&instance, None, &["torrent", "data-bucket", &before.to_string()]).await;
    assert_ne!(recorded_pid(&service), Some(before));
    storage.active().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_for_as_long_as_no_control_plane_runs() {
    let mut storage = Storage::start(On::Sqlite, json!({})).await;
    let instance = storage.active().await;
    storage.installation.kill();
    storage.scenario_of(&instance, None, &["steady", "data-bucket", "10"]).await;
    storage.installation.up().await;
    storage.scenario(None, &["count", "data-bucket", "4"]).await;
    let counted = || async { storage.active().await["objects"] == 4 };
    eventually("what was written meanwhile is counted", counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_come_into_force_without_a_restart() {
    let storage = Storage::start(On::Sqlite, json!({})).await;
    let all = json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*" });
    let document = json!({ "Version": "2012-10-17", "Statement": [all] });
    storage.make("/policies", json!({ "name": "all", "document": document })).await;
    let alice = storage.user("alice", &["all"]).await;
    let instance = storage.active().await;
    storage.scenario_of(&instance, Some(&alice), &["works", "data-bucket"]).await;
    let (service, _) = records(&storage);
    let serving = recorded_pid(&service).unwrap();

    storage.patch("", json!({ "versioning": true, "encryption": "aes256" })).await;
    storage.scenario_of(&instance, None, &["changed", "data-bucket"]).await;
    storage.patch(&format!("/users/alice/access-keys/{}", alice.0), json!({ "enabled": false })).await;
    storage.scenario_of(&instance, Some(&alice), &["shut_out", "data-bucket"]).await;
    assert_eq!(recorded_pid(&service), Some(serving));
}
