//! The demo type from create to delete, with real nodes, and what happens when processes are killed.

use std::path::Path;

use metapaas_tests::harness::{
    Installation, On, PATIENCE, client, eventually, is_running, recorded_pid, signal,
};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    an_instance_lives_from_create_to_delete,
    killed_processes_come_back,
    a_control_plane_adopts_what_runs,
    what_is_deleted_while_the_control_plane_is_away_goes_when_it_is_back,
);

const DEMO: &str = "/v1/types/demo/instances/my-demo";

async fn create(installation: &Installation, replicas: u32) -> Value {
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hello", "replicas": replicas });
    let made = installation.call(Method::POST, "/v1/types/demo/instances", body).await.expect(201);
    assert!(matches!(made.body["status"].as_str(), Some("PENDING" | "CREATING")));
    assert!(made.header("location").is_some_and(|path| path.ends_with(made.body["id"].as_str().unwrap())));
    installation.active(DEMO).await
}

/// What a node answers at a path; empty when it does not.
async fn page(node: &Value, path: &str) -> String {
    let url = format!("http://{}:{}{path}", node["ip"].as_str().unwrap(), node["port"]);
    match client().get(url).send().await {
        Ok(answer) if answer.status().is_success() => answer.text().await.unwrap_or_default(),
        _ => String::new(),
    }
}

fn nodes(instance: &Value) -> Vec<Value> {
    instance["nodes"].as_array().unwrap().clone()
}

async fn an_instance_lives_from_create_to_delete(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let one = create(&installation, 1).await;
    assert_eq!(nodes(&one).len(), 1);
    assert!(page(&nodes(&one)[0], "/").await.contains("hello"));

    let patch = json!({ "greeting": "changed", "replicas": 3 });
    let patched = installation.call(Method::PATCH, DEMO, patch).await.expect(200);
    assert_eq!(patched.body["generation"], 2);
    assert_eq!(patched.body["status"], "UPDATING");
    let three = installation.active(DEMO).await;
    assert_eq!(nodes(&three).len(), 3);
    assert_eq!(nodes(&three)[0]["id"], nodes(&one)[0]["id"], "growing keeps the nodes that are there");
    for node in nodes(&three) {
        assert!(page(&node, "/").await.contains("changed"), "ACTIVE means that it is served");
    }

    let home = json!({ "path": "home", "text": "Welcome" });
    let _ = installation.call(Method::POST, &format!("{DEMO}/pages"), home).await.expect(201);
    let child = installation.active(&format!("{DEMO}/pages/home")).await;
    assert_eq!(child["type"], "demo/pages");
    assert_eq!(page(&nodes(&three)[2], "/home").await, "Welcome");

    let _ = installation.call(Method::DELETE, &format!("{DEMO}/pages/home"), Value::Null).await.expect(202);
    eventually("the page is gone", || async {
        installation.get(&format!("{DEMO}/pages/home")).await.status == 404
    })
    .await;
    assert_eq!(page(&nodes(&three)[0], "/home").await, "");

    let _ = installation.call(Method::PATCH, DEMO, json!({ "replicas": 1 })).await.expect(200);
    eventually("two nodes are gone", || async { installation.node_dirs_of_nodes() == 1 }).await;
    let shrunk = installation.active(DEMO).await;
    assert_eq!(nodes(&shrunk).len(), 1);
    assert_eq!(nodes(&shrunk)[0]["place"], "web-0");

    let agent = recorded_pid(&node_dir(&installation, &nodes(&shrunk)[0]).join("agent.json")).unwrap();
    let going = installation.call(Method::DELETE, DEMO, Value::Null).await.expect(202);
    assert_eq!(going.body["status"], "DELETING");
    eventually("the instance is gone", || async { installation.get(DEMO).await.status == 404 }).await;
    let _ = installation.call(Method::DELETE, DEMO, Value::Null).await.expect(404);
    assert_eq!(installation.node_dirs_of_nodes(), 0, "no directory is left");
    assert!(!is_running(agent), "no process is left");
}

fn node_dir(installation: &Installation, node: &Value) -> std::path::PathBuf {
    installation.data_dir().join("nodes").join(node["id"].as_str().unwrap())
}

fn service_pid(dir: &Path) -> Option<u32> {
    recorded_pid(&dir.join("run/web.json"))
}

async fn killed_processes_come_back(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let instance = create(&installation, 1).await;
    let node = nodes(&instance)[0].clone();
    let dir = node_dir(&installation, &node);

    let service = service_pid(&dir).expect("a service");
    signal(service, Signal::KILL);
    eventually("the agent starts the service again", || async {
        service_pid(&dir).is_some_and(|pid| pid != service) && page(&node, "/").await.contains("hello")
    })
    .await;

    let (agent, service) = (recorded_pid(&dir.join("agent.json")).unwrap(), service_pid(&dir).unwrap());
    signal(agent, Signal::KILL);
    assert!(page(&node, "/").await.contains("hello"), "the service goes on without its agent");
    eventually("the provider starts the agent again", || async {
        recorded_pid(&dir.join("agent.json")).is_some_and(|pid| pid != agent && is_running(pid))
    })
    .await;
    assert_eq!(service_pid(&dir), Some(service), "the new agent adopts the service");
    let after = installation.active(DEMO).await;
    assert_eq!(nodes(&after)[0]["id"], node["id"]);
}

async fn a_control_plane_adopts_what_runs(on: On) {
    let mut installation = Installation::start(PROGRAM, on).await;
    let instance = create(&installation, 2).await;
    let node = nodes(&instance)[0].clone();
    let dir = node_dir(&installation, &node);
    let agent = recorded_pid(&dir.join("agent.json"));

    installation.kill();
    assert!(page(&node, "/").await.contains("hello"), "nodes serve without a control plane");
    installation.up().await;
    let same = installation.active(DEMO).await;
    let ids =
        |instance: &Value| -> Vec<Value> { nodes(instance).iter().map(|node| node["id"].clone()).collect() };
    assert_eq!(ids(&same), ids(&instance), "nothing is made twice");
    assert_eq!(recorded_pid(&dir.join("agent.json")), agent, "nothing is restarted");
    let _ = installation.call(Method::PATCH, DEMO, json!({ "greeting": "after" })).await.expect(200);
    installation.active(DEMO).await;
    assert!(page(&node, "/").await.contains("after"), "agents find the control plane at its new address");

    assert!(installation.stop(), "Ctrl-C ends it with exit code 0");
    signal(agent.unwrap(), Signal::KILL);
    installation.up().await;
    eventually("an agent that died meanwhile is started again", || async {
        recorded_pid(&dir.join("agent.json")).is_some_and(|pid| Some(pid) != agent && is_running(pid))
    })
    .await;
}

async fn what_is_deleted_while_the_control_plane_is_away_goes_when_it_is_back(on: On) {
    let mut installation = Installation::start(PROGRAM, on).await;
    create(&installation, 1).await;
    let _ = installation.call(Method::DELETE, DEMO, Value::Null).await.expect(202);
    installation.kill();
    installation.up().await;
    eventually("the delete comes to its end", || async { installation.get(DEMO).await.status == 404 }).await;
    assert_eq!(installation.node_dirs_of_nodes(), 0);
    assert!(PATIENCE.as_secs() > 15, "a node that cannot say so is deleted after 15 s");
}
