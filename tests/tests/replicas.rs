//! Two control planes on one PostgreSQL.

use metapaas_tests::harness::{Installation, On, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::PROGRAM;

const DEMO: &str = "/v1/types/demo/instances";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_control_planes_share_the_work_and_survive_each_other() {
    let mut first = Installation::start(PROGRAM, On::Postgres).await;
    let second = first.second().await;
    let project = first.default_project().await;
    for index in 0..4 {
        let body = json!({ "name": format!("demo-{index}"), "project_id": project, "greeting": "hi" });
        let server = if index % 2 == 0 { &first } else { &second };
        let _ = server.call(Method::POST, DEMO, body).await.expect(201);
    }
    for index in 0..4 {
        let instance = second.active(&format!("{DEMO}/demo-{index}")).await;
        assert_eq!(instance["nodes"].as_array().unwrap().len(), 1, "no node is made twice");
    }
    // Nodes of both know both, so that they go on when one is killed.
    first.kill();
    for index in 0..4 {
        let path = format!("{DEMO}/demo-{index}");
        let _ = second.call(Method::PATCH, &path, json!({ "greeting": "survived" })).await.expect(200);
        second.active(&path).await;
    }
    first.up().await;
    for index in 0..4 {
        let _ = first.call(Method::DELETE, &format!("{DEMO}/demo-{index}"), Value::Null).await.expect(202);
    }
    eventually("all instances are gone", || async {
        first.get(DEMO).await.body["items"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    assert_eq!(first.node_dirs_of_nodes() + second.node_dirs_of_nodes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_on_one_holds_on_the_other() {
    let first = Installation::start(PROGRAM, On::Postgres).await;
    let second = first.second().await;
    let project = first.default_project().await;
    let token = first.user("vera", &project, "viewer").await;
    let _ = second.call_as(&token, Method::GET, DEMO, Value::Null).await.expect(200);
    let _ = first.call(Method::DELETE, "/v1/iam/users/vera", Value::Null).await.expect(204);
    let _ = first.call_as(&token, Method::GET, DEMO, Value::Null).await.expect(401);
    eventually("the other control plane knows", || async {
        second.call_as(&token, Method::GET, DEMO, Value::Null).await.status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_with_another_master_key_does_not_start() {
    let first = Installation::start(PROGRAM, On::Postgres).await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = std::process::Command::new(PROGRAM)
        .args(["up", "--listen", "127.0.0.1:0", "--database", &first.database_url().unwrap(), "--data-dir"])
        .arg(&data)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("master"), "{said}");
    assert!(!data.join("master.key").exists(), "no key is left that opens nothing");
}
