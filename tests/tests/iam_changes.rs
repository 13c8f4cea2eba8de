//! Changes of IAM and of quotas keep the contract of all changes: tried, made once, made only on the row one knows.

use futures::future::join_all;
use metapaas_tests::harness::{Installation, On};
use reqwest::Method;
use serde_json::{Value, json};

use crate::writes::{Sent, send};
use crate::{PROGRAM, on_both};

on_both!(
    an_iam_post_is_made_once_and_a_replay_gives_the_first_answer,
    a_patch_of_iam_is_made_once_and_a_key_is_for_one_request,
    a_dry_run_of_an_iam_change_answers_as_the_real_one_and_changes_nothing,
    iam_rows_have_entity_tags_and_changes_hold_them,
    of_two_updates_of_a_project_that_know_the_same_row_one_is_refused,
    a_quota_is_tried_and_its_change_is_in_the_audit,
    a_new_project_gets_the_limits_of_the_operator,
);

const KEY: &str = "idempotency-key";

/// What is made in each collection, in an order in which each finds what it needs.
fn creates(project: &str) -> [(&'static str, Value); 6] {
    let principal = json!({ "kind": "user", "name": "ann" });
    let permissions = ["demo.instances.read"];
    [
        ("/v1/iam/users", json!({ "name": "ann" })),
        ("/v1/iam/projects", json!({ "name": "shop" })),
        ("/v1/iam/service-accounts", json!({ "name": "robot", "project_id": project })),
        ("/v1/iam/service-accounts/robot/tokens", json!({ "description": "for the test" })),
        ("/v1/iam/roles", json!({ "name": "reader", "project_id": project, "permissions": permissions })),
        ("/v1/iam/bindings", json!({ "project_id": project, "role": "reader", "principal": principal })),
    ]
}

async fn with(
    installation: &Installation,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Sent {
    send(installation, &installation.token, method, path, headers, body).await
}

async fn count(installation: &Installation, path: &str) -> usize {
    let list = installation.get(&format!("{path}?limit=1000")).await.expect(200);
    list.body["items"].as_array().unwrap().len()
}

fn dry(path: &str) -> String {
    format!("{path}?dry_run=true")
}

async fn an_iam_post_is_made_once_and_a_replay_gives_the_first_answer(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let second = if on == On::Postgres { Some(installation.second().await) } else { None };
    let project = installation.default_project().await;
    for (path, body) in creates(&project) {
        let before = count(&installation, path).await;
        let sent = join_all((0..6).map(|index| {
            let to = second.as_ref().filter(|_| index % 2 == 1).unwrap_or(&installation);
            let body = body.clone();
            async move { with(to, Method::POST, path, &[(KEY, path)], &body).await }
        }))
        .await;
        let made: Vec<&Sent> = sent.iter().filter(|one| one.status() == 201).collect();
        let fresh = made.iter().filter(|one| one.header("idempotency-replayed").is_none()).count();
        assert_eq!(fresh, 1, "{path}: one of them was carried out");
        for one in sent.iter().filter(|one| !matches!(one.status(), 201 | 503)) {
            assert_eq!(one.answer.body["code"], "IDEMPOTENCY_IN_PROGRESS", "{path}: {}", one.text);
        }
        let again = with(&installation, Method::POST, path, &[(KEY, path)], &body).await.expect(201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{path}");
        // A password or token that is shown once is shown to whoever missed it the first time.
        assert!(made.iter().all(|one| one.text == again.text), "{path}");
        assert!(made.iter().all(|one| one.header("location") == again.header("location")), "{path}");
        assert_eq!(count(&installation, path).await, before + 1, "{path}");
    }
    let gone = installation.user("olga", &project, "owner").await;
    let role = json!({ "name": "hers", "project_id": project, "permissions": ["demo.instances.read"] });
    let key = [(KEY, "hers")];
    let _ = send(&installation, &gone, Method::POST, "/v1/iam/roles", &key, &role).await.expect(201);
    let bindings = installation.get("/v1/iam/bindings").await.expect(200).body;
    let hers = bindings["items"].as_array().unwrap().iter().find(|one| one["principal"]["name"] == "olga");
    let path = format!("/v1/iam/bindings/{}", hers.unwrap()["id"].as_str().unwrap());
    let _ = installation.call(Method::DELETE, &path, Value::Null).await.expect(204);
    let refused = send(&installation, &gone, Method::POST, "/v1/iam/roles", &key, &role).await;
    assert_eq!(refused.status(), 404, "who has lost the right is told nothing by a replay: {}", refused.text);
}

async fn a_patch_of_iam_is_made_once_and_a_key_is_for_one_request(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let path = "/v1/iam/projects/default";
    let body = json!({ "description": "sells" });
    let first = with(&installation, Method::PATCH, path, &[(KEY, "k")], &body).await.expect(200);
    let again = with(&installation, Method::PATCH, path, &[(KEY, "k")], &body).await.expect(200);
    assert_eq!((again.header("idempotency-replayed"), &again.text), (Some("true"), &first.text));
    assert_eq!(again.header("etag"), first.header("etag"));
    let other = json!({ "description": "buys" });
    let refused = with(&installation, Method::PATCH, path, &[(KEY, "k")], &other).await.expect(422);
    assert_eq!(refused.answer.body["code"], "IDEMPOTENCY_KEY_REUSED");
    let user = json!({ "name": "ann" });
    let _ = with(&installation, Method::POST, "/v1/iam/users", &[(KEY, "k")], &user).await.expect(422);
    let now = with(&installation, Method::GET, path, &[], &Value::Null).await.expect(200);
    assert_eq!((now.header("etag"), &now.text), (first.header("etag"), &first.text));
}

async fn a_dry_run_of_an_iam_change_answers_as_the_real_one_and_changes_nothing(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    for (path, body) in creates(&project) {
        let before = count(&installation, path).await;
        let tried = installation.call(Method::POST, &dry(path), body.clone()).await.expect(201);
        assert_eq!(tried.body["plan"], json!([]), "{path}");
        assert_eq!((tried.header("etag"), tried.header("location")), (None, None), "{path}");
        // Nothing that is generated for nothing is shown.
        let shown = ["password", "token"].map(|secret| tried.body[secret].as_str().unwrap_or_default());
        assert_eq!(shown, ["", ""], "{path}");
        assert_eq!(count(&installation, path).await, before, "{path}");
        let made = installation.call(Method::POST, path, body.clone()).await.expect(201);
        for member in body.as_object().unwrap().keys().filter(|name| *name != "principal") {
            assert_eq!(tried.body[member], made.body[member], "{path} {member}");
        }
        assert_eq!(made.body.get("plan"), None, "{path}");
        // What the real call refuses, the dry run refuses.
        if !path.ends_with("/tokens") {
            let _ = installation.call(Method::POST, &dry(path), body).await.expect(409);
        }
    }
    for (path, change) in [
        ("/v1/iam/users/ann", json!({ "disabled": true })),
        ("/v1/iam/projects/shop", json!({ "description": "x" })),
        ("/v1/iam/service-accounts/robot", json!({ "disabled": true })),
        ("/v1/iam/roles/reader", json!({ "description": "x" })),
    ] {
        let before = installation.get(path).await.expect(200);
        let tried = installation.call(Method::PATCH, &dry(path), change.clone()).await.expect(200);
        for (member, value) in change.as_object().unwrap() {
            assert_eq!(&tried.body[member], value, "{path}");
        }
        let deleted = installation.call(Method::DELETE, &dry(path), Value::Null).await;
        // A role that a binding gives cannot go.
        assert_eq!(deleted.status, if path.ends_with("reader") { 409 } else { 204 }, "{path}");
        let after = installation.get(path).await.expect(200);
        assert_eq!((&after.body, after.header("etag")), (&before.body, before.header("etag")), "{path}");
    }
    let last = installation.get("/v1/iam/audit?limit=1").await.expect(200).body;
    assert_eq!(last["items"][0]["action"], "iam.bindings.create", "a dry run leaves no line in the audit");
}

async fn iam_rows_have_entity_tags_and_changes_hold_them(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let mut binding = String::new();
    for (path, body) in creates(&project) {
        let made = installation.call(Method::POST, path, body).await.expect(201);
        if path.ends_with("/bindings") {
            binding = made.header("location").unwrap().to_owned();
        }
    }
    let rows = ["users/ann", "projects/shop", "service-accounts/robot", "roles/reader"];
    for path in rows.map(|row| format!("/v1/iam/{row}")) {
        let read = with(&installation, Method::GET, &path, &[], &Value::Null).await.expect(200);
        let old = read.header("etag").unwrap().to_owned();
        let same = [("if-none-match", old.as_str())];
        let unchanged = with(&installation, Method::GET, &path, &same, &Value::Null).await.expect(304);
        assert_eq!((unchanged.header("etag"), unchanged.text.as_str()), (Some(old.as_str()), ""));
        let member = if path.contains("users") { "must_change_password" } else { "description" };
        let value = if path.contains("users") { json!(false) } else { json!("other") };
        let change = json!({ member: value });
        let held = [("if-match", old.as_str())];
        let changed = with(&installation, Method::PATCH, &path, &held, &change).await.expect(200);
        let new = changed.header("etag").unwrap().to_owned();
        assert_ne!(new, old, "{path}");
        let refused = with(&installation, Method::PATCH, &path, &held, &change).await.expect(412);
        assert_eq!(refused.answer.body["code"], "PRECONDITION_FAILED");
        assert_eq!(refused.answer.body["etag"], new.as_str(), "{path}");
        let _ = with(&installation, Method::DELETE, &path, &held, &Value::Null).await.expect(412);
        let tried = with(&installation, Method::PATCH, &dry(&path), &held, &change).await;
        assert_eq!(tried.status(), 412, "{path}: a dry run is refused as the real call is");
    }
    let read = with(&installation, Method::GET, &binding, &[], &Value::Null).await.expect(200);
    let tag = read.header("etag").unwrap().to_owned();
    let other = [("if-match", "\"77\"")];
    let _ = with(&installation, Method::DELETE, &binding, &other, &Value::Null).await.expect(412);
    let own = [("if-match", tag.as_str())];
    let _ = with(&installation, Method::DELETE, &binding, &own, &Value::Null).await.expect(204);
    for path in rows.map(|row| format!("/v1/iam/{row}")) {
        let read = with(&installation, Method::GET, &path, &[], &Value::Null).await.expect(200);
        let own = [("if-match", read.header("etag").unwrap())];
        let _ = with(&installation, Method::DELETE, &path, &own, &Value::Null).await.expect(204);
    }
    // A role that is built in may differ in the next version without having been changed.
    let built_in = with(&installation, Method::GET, "/v1/iam/roles/viewer", &[], &Value::Null).await;
    assert_eq!(built_in.expect(200).header("etag"), None);
    let create = [("if-match", "\"1\"")];
    let body = json!({ "name": "x" });
    let _ = with(&installation, Method::POST, "/v1/iam/users", &create, &body).await.expect(400);
}

async fn of_two_updates_of_a_project_that_know_the_same_row_one_is_refused(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let path = "/v1/iam/projects/default";
    for round in 0..5 {
        let read = with(&installation, Method::GET, path, &[], &Value::Null).await.expect(200);
        let tag = read.header("etag").unwrap().to_owned();
        let sent = join_all((0..4).map(|index| {
            let (installation, tag) = (&installation, tag.clone());
            let body = json!({ "description": format!("{round} {index}") });
            async move { with(installation, Method::PATCH, path, &[("if-match", &tag)], &body).await }
        }))
        .await;
        let made: Vec<&Sent> = sent.iter().filter(|one| one.status() == 200).collect();
        assert_eq!(made.len(), 1);
        assert!(sent.iter().all(|one| matches!(one.status(), 200 | 412)));
        let now = with(&installation, Method::GET, path, &[], &Value::Null).await.expect(200);
        assert_eq!(now.text, made[0].text);
    }
}

async fn a_quota_is_tried_and_its_change_is_in_the_audit(on: On) {
    const QUOTA: &str = "/v1/projects/default/quota";
    let installation = Installation::start(PROGRAM, on).await;
    let limit = |quota: &Value| {
        let items = quota["items"].as_array().unwrap();
        items.iter().find(|item| item["resource"] == "nodes").unwrap()["limit"].clone()
    };
    let body = |nodes: u32| json!({ "limits": { "nodes": nodes } });
    let tried = installation.call(Method::PUT, &dry(QUOTA), body(7)).await.expect(200).body;
    assert_eq!((limit(&tried), &tried["plan"]), (json!(7), &json!([])));
    assert_eq!(limit(&installation.get(QUOTA).await.expect(200).body), Value::Null);
    let lines = async || installation.get("/v1/iam/audit?action=iam.projects.quota").await.expect(200).body;
    assert_eq!(lines().await["items"], json!([]));
    for nodes in [3, 5] {
        let set = installation.call(Method::PUT, QUOTA, body(nodes)).await.expect(200).body;
        assert_eq!(limit(&set), json!(nodes));
    }
    let lines = lines().await;
    let line = &lines["items"][0];
    assert_eq!(line["detail"], json!({ "before": { "nodes": 3 }, "after": { "nodes": 5 } }));
    assert_eq!((&line["resource"], &line["outcome"]), (&json!("projects/default/quota"), &json!("OK")));
    assert_eq!(line["actor"]["name"], "local-cli");
    assert_eq!(lines["items"][1]["detail"]["before"], json!({}));
}

async fn a_new_project_gets_the_limits_of_the_operator(on: On) {
    let mut installation = Installation::start(PROGRAM, on).await;
    assert!(installation.stop());
    let file = installation.data_dir().join("metapaas.toml");
    std::fs::write(&file, "[project_quota]\ninstances = 1\n\"instances:demo\" = 1\n").unwrap();
    installation.up().await;
    let made = installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "shop" })).await;
    let project = made.expect(201).body["id"].clone();
    let quota = installation.get("/v1/projects/shop/quota").await.expect(200).body;
    let limited: Vec<&Value> =
        quota["items"].as_array().unwrap().iter().filter(|item| !item["limit"].is_null()).collect();
    assert_eq!(limited.len(), 2);
    let create = |name: &str| json!({ "name": name, "project_id": project, "greeting": "hi" });
    const DEMO: &str = "/v1/types/demo/instances";
    let _ = installation.call(Method::POST, DEMO, create("one")).await.expect(201);
    let refused = installation.call(Method::POST, DEMO, create("two")).await.expect(409);
    assert_eq!((&refused.body["code"], &refused.body["used"]), (&json!("QUOTA_EXCEEDED"), &json!(1)));
    // Those that were there before keep what they had: nothing.
    let quota = installation.get("/v1/projects/default/quota").await.expect(200).body;
    assert!(quota["items"].as_array().unwrap().iter().all(|item| item["limit"].is_null()));

    assert!(installation.stop());
    std::fs::write(&file, "[project_quota]\n\"instances:none\" = 1\n").unwrap();
    let refused = installation.cli(&["up", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("instances:none"), "{said}");
    assert!(!installation.data_dir().join("router/run/router.json").exists(), "it has started nothing");
}
