//! Nodes as containers of a real Docker Engine: made, used, killed, removed by hand, left over, deleted.

pub(crate) mod apps;
mod express;
mod load;
mod registry;
mod walls;

use metapaas_tests::docker::Docker;
use metapaas_tests::harness::{Installation, On, client, eventually, is_running, signal};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::PROGRAM;

const DEMO: &str = "/v1/types/demo/instances/my-demo";

async fn start(on: On, settings: &[(String, String)]) -> Installation {
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Installation::start_with(PROGRAM, on, &settings).await
}

async fn create(installation: &Installation, replicas: u32) -> Vec<Value> {
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hello", "replicas": replicas });
    let _ = installation.call(Method::POST, "/v1/types/demo/instances", body).await.expect(201);
    nodes(&installation.active(DEMO).await)
}

fn nodes(instance: &Value) -> Vec<Value> {
    instance["nodes"].as_array().unwrap().clone()
}

/// What a node answers; empty when it does not.
async fn page(node: &Value, path: &str) -> String {
    let url = format!("http://{}:{}{path}", node["ip"].as_str().unwrap(), node["port"]);
    match client().get(url).send().await {
        Ok(answer) if answer.status().is_success() => answer.text().await.unwrap_or_default(),
        _ => String::new(),
    }
}

async fn serves(node: &Value, text: &str) {
    eventually(&format!("{} serves {text}", node["ip"]), || async { page(node, "/").await.contains(text) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_lives_in_containers_from_create_to_delete() {
    let docker = Docker::new();
    let mut installation = start(On::Postgres, &docker.settings("docker")).await;
    let nodes = create(&installation, 2).await;
    let mut ids = Vec::new();
    for node in &nodes {
        assert_eq!(node["provider"], "docker");
        assert!(page(node, "/").await.contains("hello"), "ACTIVE means that it is served");
        let container = docker.container(node).await.unwrap();
        let host = &container["HostConfig"];
        assert_eq!(host["ReadonlyRootfs"], true);
        assert_eq!(host["CapDrop"], json!(["ALL"]));
        assert_eq!(host["Memory"], 512 << 20);
        assert_eq!(host["PidsLimit"], 512);
        assert_eq!(host["NanoCpus"], 1_000_000_000);
        assert!(container["NetworkSettings"]["Ports"].as_object().is_none_or(|ports| ports.is_empty()));
        let user = container["Config"]["User"].as_str().unwrap();
        assert!(!user.starts_with("0:") && user != "0", "{user}");
        ids.push(container["Id"].clone());
    }
    assert_ne!(ids[0], ids[1]);

    installation.kill();
    assert!(page(&nodes[0], "/").await.contains("hello"), "nodes do not need the control plane");
    installation.up().await;
    let patch = json!({ "greeting": "changed", "replicas": 1 });
    let _ = installation.call(Method::PATCH, DEMO, patch).await.expect(200);
    installation.active(DEMO).await;
    serves(&nodes[0], "changed").await;
    let container = docker.container(&nodes[0]).await.unwrap();
    assert_eq!(container["Id"], ids[0], "a new control plane takes over what runs");
    eventually("the other container is gone", || async { docker.containers().await.len() == 1 }).await;

    let _ = installation.call(Method::DELETE, DEMO, Value::Null).await.expect(202);
    eventually("the instance is gone", || async { installation.get(DEMO).await.status == 404 }).await;
    assert!(docker.containers().await.is_empty());
    let left: Vec<_> = std::fs::read_dir(installation.data_dir().join("docker/nodes")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_and_agents_that_are_killed_or_removed_come_back() {
    let docker = Docker::new();
    let installation = start(On::Sqlite, &docker.settings("docker")).await;
    let node = create(&installation, 1).await.remove(0);
    let home = json!({ "path": "home", "text": "Welcome" });
    let _ = installation.call(Method::POST, &format!("{DEMO}/pages"), home).await.expect(201);
    installation.active(&format!("{DEMO}/pages/home")).await;

    let agents = docker.pids(&node, "metapaas agent --dir").await;
    let services = docker.pids(&node, "engine demo").await;
    assert_eq!((agents.len(), services.len()), (1, 1), "{agents:?} {services:?}");
    signal(agents[0], Signal::KILL);
    eventually("another agent runs", || async {
        let now = docker.pids(&node, "metapaas agent --dir").await;
        now.len() == 1 && now != agents
    })
    .await;
    assert!(is_running(services[0]), "services outlive their agent");

    docker.act(&node, "kill").await;
    serves(&node, "hello").await;
    installation.active(DEMO).await;

    let before = docker.container(&node).await.unwrap();
    docker.remove(&node).await;
    eventually("another container runs", || async {
        docker
            .container(&node)
            .await
            .is_some_and(|now| now["Id"] != before["Id"] && now["State"]["Running"] == true)
    })
    .await;
    serves(&node, "hello").await;
    assert_eq!(page(&node, "/home").await, "Welcome", "it has what it had");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_bite() {
    let docker = Docker::new();
    let installation = start(On::Sqlite, &docker.settings("docker")).await;
    let node = create(&installation, 1).await.remove(0);
    let directory = installation.data_dir().join("docker/nodes").join(node["id"].as_str().unwrap());
    std::fs::copy("/bin/dd", directory.join("dd"))
        .expect("copy a program that needs nothing but the C library");
    let dd = "/var/lib/metapaas/node/dd";
    assert_eq!(docker.run(&node, &[dd, "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]).await, 0);
    assert_eq!(
        docker.run(&node, &[dd, "if=/dev/zero", "of=/dev/null", "bs=700M", "count=1"]).await,
        137,
        "the kernel kills what needs more memory than the node has"
    );
    assert_eq!(docker.run(&node, &[dd, "if=/dev/zero", "of=/tmp/file", "bs=1M", "count=1"]).await, 0);
    for outside in ["/usr/bin/file", "/run/metapaas/file", "/file"] {
        let of = format!("of={outside}");
        assert_ne!(docker.run(&node, &[dd, "if=/dev/zero", &of, "bs=1", "count=1"]).await, 0, "{outside}");
    }
    assert!(page(&node, "/").await.contains("hello"), "the node goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_without_a_row_are_told_and_removed_when_asked() {
    let docker = Docker::new();
    let mut installation = start(On::Sqlite, &docker.settings("docker")).await;
    let lost = create(&installation, 1).await.remove(0);
    installation.kill();
    let database = installation.sql().await;
    let forgotten = database
        .write("forget nodes", |tx| {
            Box::pin(async move { tx.execute_script("forget nodes", "DELETE FROM metapaas_nodes").await })
        })
        .await;
    let _: () = forgotten.unwrap();
    database.close().await;
    installation.up().await;
    let _ = installation.call(Method::PATCH, DEMO, json!({ "greeting": "again" })).await.expect(200);
    eventually("another node takes the place", || async {
        let instance = installation.get(DEMO).await.body;
        instance["status"] == "ACTIVE"
            && nodes(&instance).first().is_some_and(|node| node["id"] != lost["id"])
    })
    .await;
    assert_eq!(docker.containers().await.len(), 2, "what no row speaks of is left alone");

    let told = installation.cli(&["nodes", "orphans"]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{told:?}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(lost["id"].as_str().unwrap()), "{text}");

    let removed = installation.cli(&["nodes", "orphans", "--remove"]);
    assert!(removed.status.success(), "{removed:?}");
    assert!(docker.container(&lost).await.is_none());
    let dirs = std::fs::read_dir(installation.data_dir().join("docker/nodes")).unwrap();
    let dirs = dirs.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()));
    assert_eq!(dirs.count(), 1, "the node that has a row stays");
    let told = installation.cli(&["nodes", "orphans"]);
    assert!(told.stdout.is_empty(), "{told:?}");
    serves(&nodes(&installation.active(DEMO).await)[0], "again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_not_there_is_told_by_the_instance_until_it_is() {
    let docker = Docker::new();
    let mut settings = docker.settings("docker");
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("docker.sock");
    settings.push(("METAPAAS_DOCKER_SOCKET".to_owned(), socket.to_string_lossy().into_owned()));
    let installation = start(On::Sqlite, &settings).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hello" });
    let _ = installation.call(Method::POST, "/v1/types/demo/instances", body).await.expect(201);
    eventually("the instance says that the engine is not there", || async {
        let conditions = installation.get(DEMO).await.body["conditions"].to_string();
        conditions.contains("reach the Docker Engine") && conditions.contains(&*socket.to_string_lossy())
    })
    .await;
    std::os::unix::fs::symlink(&docker.socket, &socket).unwrap();
    installation.active(DEMO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_and_containers_live_side_by_side() {
    let docker = Docker::new();
    let installation = start(On::Sqlite, &docker.settings("[process,docker]")).await;
    let node = create(&installation, 1).await.remove(0);
    assert_eq!(node["provider"], "process", "the first is the default");

    let made =
        installation.cli(&["create", "demo", "boxed", "greeting=hello", "--provider", "docker", "--wait"]);
    assert!(made.status.success(), "{made:?}");
    let boxed = "/v1/types/demo/instances/boxed";
    let instance = installation.get(boxed).await.expect(200).body;
    assert_eq!(nodes(&instance)[0]["provider"], "docker");
    assert_eq!(docker.containers().await.len(), 1);
    for node in [&node, &nodes(&instance)[0]] {
        assert!(page(node, "/").await.contains("hello"));
    }

    for (labels, code) in [
        (json!({ "metapaas/provider": "process" }), "IMMUTABLE"),
        (json!({ "metapaas/provider": null }), "IMMUTABLE"),
        (json!({ "metapaas/other": "x" }), "INVALID_VALUE"),
    ] {
        let refused = installation.call(Method::PATCH, boxed, json!({ "labels": labels })).await.expect(400);
        assert_eq!(refused.body["errors"][0]["code"], code, "{labels}");
    }
    let mut put = json!({ "name": "boxed", "greeting": "changed" });
    let updated = installation.call(Method::PUT, boxed, put.clone()).await.expect(200);
    assert_eq!(updated.body["labels"]["metapaas/provider"], "docker", "a PUT that leaves it out keeps it");
    put["name"] = "third".into();
    put["project_id"] = installation.default_project().await.into();
    put["labels"] = json!({ "metapaas/provider": "moon" });
    let refused = installation.call(Method::POST, "/v1/types/demo/instances", put).await.expect(400);
    assert_eq!(refused.body["errors"][0]["pointer"], "/labels/metapaas~1provider");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_uses_the_providers_that_operators_allow() {
    let docker = Docker::new();
    let mut installation = start(On::Sqlite, &docker.settings("[process,docker]")).await;
    let project = installation.default_project().await;
    installation.kill();
    installation.set("METAPAAS_PROVIDER_PROJECTS", &format!("{{docker=[{}]}}", uuid::Uuid::now_v7()));
    installation.up().await;
    let body = |name: &str, provider: &str| json!({ "name": name, "project_id": project, "greeting": "x", "labels": { "metapaas/provider": provider } });
    let create = |body| installation.call(Method::POST, "/v1/types/demo/instances", body);
    let refused = create(body("one", "docker")).await.expect(403);
    assert_eq!(refused.body["errors"][0]["pointer"], "/labels/metapaas~1provider");
    let _ = create(body("two", "process")).await.expect(201);
    let _ = create(json!({ "name": "three", "project_id": project, "greeting": "x" })).await.expect(201);
}
