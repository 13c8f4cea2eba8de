//! Secrets of apps and of S3, and those that actions take and give, are where they belong and nowhere else.

use metapaas_tests::harness::{Answer, Installation, On, answer, eventually};
use metapaas_tests::sse::Stream;
use reqwest::Method;
use serde_json::{Value, json};

use super::markers::Markers;
use super::vault;
use crate::{WITH_VAULT, on_both};

on_both!(secrets_of_apps_stores_and_actions_are_nowhere_else);

const VAULT: &str = "/v1/types/vault/instances/one";
const APP: &str = "/v1/types/app/instances/shop";
const STORE: &str = "/v1/types/s3/instances/store";

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected text, found {value}")).to_owned()
}

/// An action, asked for twice under one key: the replay shows what the first answer showed.
async fn act(installation: &Installation, path: &str, body: Value) -> Answer {
    let ask = || {
        let request = installation.client().post(format!("{}{path}", installation.url)).json(&body);
        answer(request.bearer_auth(&installation.token).header("idempotency-key", format!("act {path}")))
    };
    let first = ask().await.expect(202);
    assert_eq!(ask().await.expect(202).body, first.body);
    first
}

async fn secrets_of_apps_stores_and_actions_are_nowhere_else(on: On) {
    let settings = [("METAPAAS_LOG", "trace"), ("METAPAAS_LOG_FORMAT", "json"), ("RUST_LOG", "trace")];
    let installation = Installation::start_with(WITH_VAULT, on, &settings).await;
    let project = installation.default_project().await;
    let [key, variable, next_variable, code, wrong] = std::array::from_fn(|index| {
        format!("PlAnTeD{index}x{:016x}", 0x5851_f42d_4c95_7f2d_u64 ^ index as u64)
    });
    let post = async |path: &str, body: Value| installation.call(Method::POST, path, body).await;
    let mut told = Vec::new();

    // An app whose repository nobody answers for: its key and its environment are stored and go to its node.
    let pem = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{key}\n-----END OPENSSH PRIVATE KEY-----\n");
    let app = json!({ "name": "shop", "project_id": project, "repo": "ssh://git@127.0.0.1:1/shop.git", "deploy_key": pem });
    told.push(post("/v1/types/app/instances", app).await.expect(201));
    let mut watch = Stream::open(&installation, &format!("{APP}/env-vars"), None).await;
    let env = json!({ "key": "PASSWORD", "secret": variable });
    told.push(post(&format!("{APP}/env-vars"), env).await.expect(201));
    let change = json!({ "secret": next_variable });
    told.push(
        installation.call(Method::PATCH, &format!("{APP}/env-vars/PASSWORD"), change).await.expect(200),
    );
    let both = json!({ "key": "BOTH", "value": "x", "secret": wrong });
    told.push(post(&format!("{APP}/env-vars"), both).await);
    told.push(
        post(&format!("{APP}/env-vars"), json!({ "key": "LIST", "secret": [wrong] })).await.expect(400),
    );

    // A store: the keys are shown by the answers that make them.
    let store = json!({ "name": "store", "project_id": project, "bucket_name": "photos", "versioning": true, "mfa_delete": true });
    let made = post("/v1/types/s3/instances", store).await.expect(201).body;
    told.push(post(&format!("{STORE}/users"), json!({ "name": "ann" })).await.expect(201));
    let of_user = post(&format!("{STORE}/users/ann/access-keys"), json!({})).await.expect(201).body;

    // Actions: what they take, what they give.
    let _ = vault(&installation).await;
    let entered = act(&installation, &format!("{VAULT}/actions/enter"), json!({ "code": code })).await;
    let refused = json!({ "code": { "a": wrong } });
    told.push(post(&format!("{VAULT}/actions/enter"), refused).await.expect(400));
    let rotated = act(&installation, &format!("{VAULT}/actions/rotate"), json!({})).await.body;
    let of_store = act(&installation, &format!("{STORE}/actions/rotate-keys"), json!({})).await.body;
    told.push(entered);
    let _ = installation.active(STORE).await;
    let _ = installation.active(VAULT).await;
    eventually("the app cannot be built", || async { installation.get(APP).await.body["status"] == "ERROR" })
        .await;

    let markers = Markers(vec![
        ("a deploy key", key),
        ("a variable's secret", variable),
        ("a variable's later secret", next_variable),
        ("what an action takes", code.clone()),
        ("a secret in a wrong request", wrong),
        ("what an action gives", text(&rotated["secrets"]["token"])),
        ("the key of a store", text(&made["secret_access_key"])),
        ("the later key of a store", text(&of_store["secrets"]["secret_access_key"])),
        ("the key of a user of a store", text(&of_user["secret_access_key"])),
    ]);
    // The search finds what is there: the vault's node has what the action took.
    let holds = |dir: &std::path::PathBuf| {
        std::fs::read_to_string(dir.join("work/vault.json")).is_ok_and(|text| text.contains(&code))
    };
    assert!(installation.node_dirs().iter().any(holds), "the node has it");
    let first = watch.until(|event| event.object["key"] == "PASSWORD" && event.kind != "ADDED").await;
    let watched: Vec<Value> = first.into_iter().map(|event| event.object).collect();
    markers.absent("a watch", json!(watched).to_string().as_bytes());
    for path in [
        APP,
        &format!("{APP}/env-vars"),
        &format!("{APP}/releases"),
        &format!("{APP}/releases/1"),
        STORE,
        &format!("{STORE}/users"),
        &format!("{STORE}/users/ann/access-keys"),
        VAULT,
        "/v1/operations?limit=1000",
        "/v1/events?limit=1000",
        "/v1/iam/audit?limit=1000",
        "/v1/types",
        "/metrics",
    ] {
        told.push(installation.get(path).await);
    }
    markers.absent_in(&told);
    markers.absent_everywhere(&installation);
}
