//! Actions and what becomes of them, with real nodes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use metapaas_tests::harness::{Answer, Installation, On, answer, client, eventually, recorded_pid, signal};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{PROGRAM, WITH_VAULT, on_both};

on_both!(
    an_action_answers_202_and_an_operation_that_succeeds_when_every_node_has_acted,
    wrong_actions_get_the_answers_of_the_contract,
    actions_follow_preconditions_keys_and_dry_runs,
    unfinished_operations_are_cancelled_fail_with_the_resource_and_survive_kill_9,
    rotate_shows_new_secrets_once,
    what_has_ended_goes_after_the_time_that_is_set,
);

const DEMO: &str = "/v1/types/demo/instances/my-demo";
const RESTART: &str = "/v1/types/demo/instances/my-demo/actions/restart";

async fn with_demo(on: On, replicas: u32) -> Installation {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hi", "replicas": replicas });
    let _ = installation.call(Method::POST, "/v1/types/demo/instances", body).await.expect(201);
    installation.active(DEMO).await;
    installation
}

async fn restart(installation: &Installation) -> Answer {
    installation.call(Method::POST, RESTART, Value::Null).await.expect(202)
}

fn path_of(operation: &Value) -> String {
    format!("/v1/operations/{}", operation["id"].as_str().unwrap())
}

/// The operation once it has ended.
async fn ended(installation: &Installation, path: &str) -> Value {
    let since = Instant::now();
    loop {
        let found = installation.get(&format!("{path}?wait=30")).await.expect(200).body;
        if !found["finished_at"].is_null() {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(90), "{found:#}\n{}", installation.read_log());
    }
}

fn node_dirs(installation: &Installation) -> Vec<PathBuf> {
    let mut dirs = installation.node_dirs();
    dirs.retain(|dir| dir.join("agent.json").exists());
    dirs
}

fn services(installation: &Installation) -> Vec<u32> {
    node_dirs(installation).iter().filter_map(|dir| recorded_pid(&dir.join("run/web.json"))).collect()
}

async fn an_action_answers_202_and_an_operation_that_succeeds_when_every_node_has_acted(on: On) {
    let installation = with_demo(on, 2).await;
    let before = services(&installation);
    let accepted = restart(&installation).await;
    let operation = &accepted.body;
    assert_eq!(accepted.header("location"), Some(path_of(operation).as_str()));
    assert_eq!(operation["status"], "PENDING");
    assert_eq!(operation["action"], "restart");
    assert_eq!(operation["resource"]["name"], "my-demo");
    assert_eq!(operation["actor"]["name"], "local-cli");
    let done = ended(&installation, &path_of(operation)).await;
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    assert_eq!(done["error"], Value::Null);
    let after = services(&installation);
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(before.iter().all(|pid| !after.contains(pid)), "every node has a new process");
    let instance = installation.active(DEMO).await;
    assert_eq!(instance["restarts"], 1);
    assert_eq!(instance["observed_generation"], operation["generation"]);

    let since = Instant::now();
    let _ = installation.get(&format!("{}?wait=60", path_of(operation))).await.expect(200);
    assert!(since.elapsed() < Duration::from_secs(30), "what has ended is answered at once");

    let second = restart(&installation).await.body;
    let project = installation.default_project().await;
    let ids = |answer: Answer| -> Vec<Value> {
        answer.body["items"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect()
    };
    let list = format!("/v1/operations?project_id={project}");
    let both = vec![second["id"].clone(), operation["id"].clone()];
    assert_eq!(ids(installation.get(&list).await.expect(200)), both, "the newest first");
    let first = installation.get(&format!("{list}&limit=1")).await.expect(200);
    let token = first.body["next_page_token"].as_str().unwrap().to_owned();
    assert_eq!(ids(first), both[..1]);
    let rest = installation.get(&format!("{list}&limit=1&page_token={token}")).await.expect(200);
    assert_eq!(ids(rest), both[1..]);
    ended(&installation, &path_of(&second)).await;
    let done = installation.get("/v1/operations?status=SUCCEEDED&status=FAILED").await.expect(200);
    assert_eq!(ids(done), both);
    assert!(ids(installation.get("/v1/operations?status=RUNNING").await.expect(200)).is_empty());

    let shown = installation.cli(&["action", "demo/my-demo", "restart", "--wait"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && text.contains("SUCCEEDED"), "{shown:?}");
    let listed = installation.cli(&["operations"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).matches("SUCCEEDED").count(), 3, "{listed:?}");
    let types = installation.cli(&["types", "demo"]);
    assert!(String::from_utf8_lossy(&types.stdout).contains("restart: Restarts the web server"), "{types:?}");
}

async fn wrong_actions_get_the_answers_of_the_contract(on: On) {
    let installation = with_demo(on, 1).await;
    let project = installation.default_project().await;
    let post = |path: &'static str, body: Value| installation.call(Method::POST, path, body);
    let unknown = "/v1/types/demo/instances/my-demo/actions/explode";
    let _ = post(unknown, Value::Null).await.expect(404);
    let _ = post("/v1/types/demo/instances/none/actions/restart", Value::Null).await.expect(404);
    let _ = installation.get(RESTART).await.expect(405);
    let wrong = post(RESTART, json!({ "hard": true })).await.expect(400);
    assert_eq!(wrong.body["errors"][0]["pointer"], "/hard");
    let _ = post(RESTART, json!([])).await.expect(400);

    let operator = installation.user("otto", &project, "operator").await;
    let viewer = installation.user("vera", &project, "viewer").await;
    let other =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await.expect(201);
    let stranger = installation.user("stan", other.body["id"].as_str().unwrap(), "owner").await;
    let act = |token: String| async move { token };
    let token = act(operator).await;
    let begun = installation.call_as(&token, Method::POST, RESTART, Value::Null).await.expect(202);
    let path = path_of(&begun.body);
    let denied = installation.call_as(&viewer, Method::POST, RESTART, Value::Null).await.expect(403);
    assert_eq!(denied.body["permission"], "demo.instances.restart");
    let _ = installation.call_as(&stranger, Method::POST, RESTART, Value::Null).await.expect(404);
    let _ = installation.call_as(&viewer, Method::GET, &path, Value::Null).await.expect(200);
    let _ = installation.call_as(&stranger, Method::GET, &path, Value::Null).await.expect(404);
    let none = installation.call_as(&stranger, Method::GET, "/v1/operations", Value::Null).await.expect(200);
    assert_eq!(none.body["items"], json!([]));
    let cancel = format!("{path}/actions/cancel");
    let _ = installation.call_as(&viewer, Method::POST, &cancel, Value::Null).await.expect(403);
    let _ = installation.call_as(&stranger, Method::POST, &cancel, Value::Null).await.expect(404);

    assert_eq!(ended(&installation, &path).await["status"], "SUCCEEDED");
    let late = installation.call(Method::POST, &cancel, Value::Null).await.expect(409);
    assert_eq!(late.body["code"], "INVALID_STATE");
    for (query, pointer) in [
        ("?status=DONE", "?status"),
        ("?limit=0", "?limit"),
        ("?colour=red", "?colour"),
        ("?resource_id=x", "?resource_id"),
    ] {
        let wrong = installation.get(&format!("/v1/operations{query}")).await.expect(400);
        assert_eq!(wrong.body["errors"][0]["pointer"], pointer);
    }
    let _ = installation.get(&format!("{path}?wait=61")).await.expect(400);
    let _ = installation.get("/v1/operations/none").await.expect(404);
    let _ = installation.get("/v1/operations/0199fd58-066a-7706-b139-d081c749308c").await.expect(404);
    let _ = installation.call(Method::DELETE, &path, Value::Null).await.expect(405);
}

async fn actions_follow_preconditions_keys_and_dry_runs(on: On) {
    let installation = with_demo(on, 1).await;
    let with = |name: &'static str, value: String| {
        let request = client().post(format!("{}{RESTART}", installation.url));
        answer(request.bearer_auth(&installation.token).header(name, value))
    };
    let row = installation.active(DEMO).await;
    let _ = with("If-Match", "\"1\"".into()).await.expect(412);
    let generation = row["generation"].as_i64().unwrap();
    let guarded = |generation: i64| format!("{RESTART}?if_generation_match={generation}");
    let _ = installation.call(Method::POST, &guarded(generation + 1), Value::Null).await.expect(412);

    let tried =
        installation.call(Method::POST, &format!("{RESTART}?dry_run=true"), Value::Null).await.expect(202);
    assert_eq!(tried.body["plan"][0]["action"], "update", "{:#}", tried.body);
    assert_eq!(tried.body["generation"], generation + 1);
    assert_eq!(tried.header("location"), None);
    let _ = installation.get(&path_of(&tried.body)).await.expect(404);
    assert_eq!(installation.get(DEMO).await.body["generation"], generation);

    let first = with("Idempotency-Key", "k1".into()).await.expect(202);
    let again = with("Idempotency-Key", "k1".into()).await.expect(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
    let done = ended(&installation, &path_of(&first.body)).await;
    assert_eq!(done["status"], "SUCCEEDED");
    assert_eq!(installation.active(DEMO).await["restarts"], 1, "it was carried out once");

    let current = installation.get(DEMO).await;
    let tag = current.header("etag").unwrap().to_owned();
    let last = with("If-Match", tag).await.expect(202);
    // A newer change is in force before anybody looks: the operation has succeeded all the same.
    let _ = installation.call(Method::PATCH, DEMO, json!({ "greeting": "later" })).await.expect(200);
    assert_eq!(ended(&installation, &path_of(&last.body)).await["status"], "SUCCEEDED");
}

async fn unfinished_operations_are_cancelled_fail_with_the_resource_and_survive_kill_9(on: On) {
    let mut installation = with_demo(on, 1).await;
    let agent = recorded_pid(&node_dirs(&installation)[0].join("agent.json")).unwrap();
    // A node that does nothing, so that nothing can come to its end.
    signal(agent, Signal::STOP);
    let cancelled = path_of(&restart(&installation).await.body);
    eventually("the worker is at it", || async {
        installation.get(&cancelled).await.body["status"] == "RUNNING"
    })
    .await;
    let cancel = format!("{cancelled}/actions/cancel");
    let answered = installation.call(Method::POST, &cancel, Value::Null).await.expect(200);
    assert_eq!(answered.body["status"], "CANCELLED");
    let _ = installation.call(Method::POST, &cancel, Value::Null).await.expect(200);
    assert_eq!(ended(&installation, &cancelled).await["status"], "CANCELLED");

    let survives = path_of(&restart(&installation).await.body);
    installation.kill();
    installation.up().await;
    assert_eq!(installation.get(&survives).await.expect(200).body["finished_at"], Value::Null);
    signal(agent, Signal::CONT);
    let done = ended(&installation, &survives).await;
    assert_eq!(done["status"], "SUCCEEDED", "what was accepted is done also after kill -9: {done:#}");
    assert_eq!(installation.active(DEMO).await["restarts"], 2, "what was cancelled stays changed");

    let agent = recorded_pid(&node_dirs(&installation)[0].join("agent.json")).unwrap();
    signal(agent, Signal::STOP);
    let waiting = path_of(&restart(&installation).await.body);
    // Those who wait do not hold up a stop: they are answered how it stands.
    let request = client().get(format!("{}{waiting}?wait=60", installation.url));
    let waiter = tokio::spawn(answer(request.bearer_auth(&installation.token)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(installation.stop());
    let told = waiter.await.unwrap().expect(200);
    assert_eq!(told.body["finished_at"], Value::Null);
    installation.up().await;

    let _ = installation.call(Method::DELETE, DEMO, Value::Null).await.expect(202);
    let failed = ended(&installation, &waiting).await;
    assert_eq!(failed["status"], "FAILED");
    assert_eq!(failed["error"]["code"], "OPERATION_FAILED");
    assert_eq!(failed["error"]["reason"], "Deleted");
    eventually("the instance is gone", || async { installation.get(DEMO).await.status == 404 }).await;
    let _ = installation.get(&waiting).await.expect(200);
    signal(agent, Signal::CONT);
}

async fn what_has_ended_goes_after_the_time_that_is_set(on: On) {
    let mut installation = with_demo(on, 1).await;
    let path = path_of(&restart(&installation).await.body);
    assert_eq!(ended(&installation, &path).await["status"], "SUCCEEDED");
    assert!(installation.stop());
    let file = installation.data_dir().join("metapaas.toml");
    std::fs::write(&file, "operation_retention = \"1s\"\n").unwrap();
    let refused = installation.cli(&["up", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("operation_retention"), "{said}");
    std::fs::write(&file, "operation_retention = \"1m\"\n").unwrap();
    installation.up().await;
    let _ = installation.get(&path).await.expect(200);
    let since = Instant::now();
    while installation.get(&path).await.status != 404 {
        assert!(since.elapsed() < Duration::from_secs(150), "it is not removed");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn rotate_shows_new_secrets_once(on: On) {
    let installation = Installation::start(WITH_VAULT, on).await;
    let project = installation.default_project().await;
    let vaults = "/v1/types/vault/instances";
    let body = json!({ "name": "safe", "project_id": project, "password": "chosen" });
    let made = installation.call(Method::POST, vaults, body).await.expect(201);
    let path = format!("{vaults}/safe");
    installation.active(&path).await;
    let rotate = format!("{path}/actions/rotate");
    let operator = installation.user("otto", &project, "operator").await;
    let denied = installation.call_as(&operator, Method::POST, &rotate, Value::Null).await.expect(403);
    assert_eq!(denied.body["permission"], "vault.instances.rotate");

    // What the client chose is the client's to change.
    let wrong = installation.call(Method::POST, &rotate, json!({ "fields": ["password"] })).await.expect(400);
    assert_eq!(wrong.body["errors"][0]["pointer"], "/fields/0");
    let request = client().post(format!("{}{rotate}", installation.url)).bearer_auth(&installation.token);
    let request = request.header("Idempotency-Key", "turn").json(&json!({ "fields": ["token"] }));
    let first = answer(request.try_clone().unwrap()).await.expect(202);
    let secret = first.body["secrets"]["token"].as_str().unwrap().to_owned();
    assert_ne!(made.body["token"], secret.as_str());
    // Who did not get the answer asks again with the same key, and gets the same secret.
    assert_eq!(answer(request).await.expect(202).body, first.body);
    let all = installation.call(Method::POST, &rotate, Value::Null).await.expect(202);
    let last = all.body["secrets"]["token"].as_str().unwrap().to_owned();
    assert_ne!(last, secret);
    assert_eq!(ended(&installation, &path_of(&all.body)).await["status"], "SUCCEEDED");
    let held = std::fs::read_to_string(node_dirs(&installation)[0].join("work/vault.json")).unwrap();
    assert!(held.contains(&last) && !held.contains(&secret), "the node has the new secret");

    // The same two levels down.
    let entry = json!({ "name": "bank", "value": "v" });
    let _ = installation.call(Method::POST, &format!("{path}/entries"), entry).await.expect(201);
    let shares = format!("{path}/entries/bank/shares");
    let share = installation.call(Method::POST, &shares, json!({ "name": "ann" })).await.expect(201);
    let rotate = format!("{shares}/ann/actions/rotate");
    let turned = installation.call(Method::POST, &rotate, Value::Null).await.expect(202);
    let pin = turned.body["secrets"]["pin"].as_str().unwrap().to_owned();
    assert_ne!(share.body["pin"], pin.as_str());
    assert_eq!(turned.body["resource"]["type"], "vault/shares");
    assert_eq!(ended(&installation, &path_of(&turned.body)).await["status"], "SUCCEEDED");

    let one = path_of(&all.body);
    for seen in ["/v1/operations", path.as_str(), vaults, shares.as_str(), one.as_str()] {
        let text = installation.get(seen).await.expect(200).body.to_string();
        assert!([&secret, &last, &pin].iter().all(|hidden| !text.contains(*hidden)), "{seen} shows a secret");
    }
    assert!([&secret, &last, &pin].iter().all(|hidden| !installation.read_log().contains(*hidden)));
}
