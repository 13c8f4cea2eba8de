//! The audit by HTTP: changes, logins and denials, also those of the moment before a stop.

use metapaas_tests::harness::{Installation, On, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(changes_and_denials_are_audited, the_audit_is_for_owners);

const DEMO: &str = "/v1/types/demo/instances";

async fn lines(installation: &Installation, query: &str) -> Vec<Value> {
    let listed = installation.get(&format!("/v1/iam/audit{query}")).await.expect(200);
    listed.body["items"].as_array().unwrap().clone()
}

async fn changes_and_denials_are_audited(on: On) {
    let mut installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let viewer = installation.user("vera", &project, "viewer").await;
    let found = lines(&installation, "?action=iam.bindings.create").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["actor"]["name"], "local-cli");
    assert_eq!((&found[0]["outcome"], &found[0]["project_id"]), (&json!("OK"), &json!(project)));
    assert_eq!(found[0]["detail"]["after"]["principal"]["name"], "vera");
    let found = lines(&installation, "?action=iam.users.create").await;
    assert!(!found[0].to_string().contains("correct horse battery"));

    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let denied = installation.call_as(&viewer, Method::POST, DEMO, body).await.expect(403);
    let request = denied.header("x-request-id").unwrap().to_owned();
    eventually("the denial is written", || async {
        lines(&installation, "?outcome=DENIED&actor=vera").await.iter().any(|line| {
            line["request_id"] == request.as_str()
                && line["action"] == "demo.instances.create"
                && line["resource"] == format!("POST {DEMO}")
                && line["detail"]["code"] == "FORBIDDEN"
        })
    })
    .await;
    // What exists and may not be seen is a denial too, though the answer does not say so.
    let other =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await.expect(201);
    let hidden = json!({ "name": "secret", "project_id": other.body["id"], "permissions": ["demo.*.read"] });
    let hidden = installation.call(Method::POST, "/v1/iam/roles", hidden).await.expect(201);
    let path = format!("/v1/iam/roles/{}", hidden.body["id"].as_str().unwrap());
    let _ = installation.call_as(&viewer, Method::GET, &path, Value::Null).await.expect(404);
    let wrong = json!({ "grant_type": "password", "username": "vera", "password": "no" });
    let _ = installation.call(Method::POST, "/v1/iam/token", wrong).await.expect(401);
    // A stop in order loses none of them.
    assert!(installation.stop());
    installation.up().await;
    let found = lines(&installation, "?actor=vera").await;
    let told = |action: &str, outcome: &str| {
        found.iter().any(|line| line["action"] == action && line["outcome"] == outcome)
    };
    assert!(told("iam.sessions.login", "FAILED") && told("iam.sessions.login", "OK"), "{found:#?}");
    assert!(
        found
            .iter()
            .any(|line| line["detail"]["code"] == "NOT_VISIBLE" && line["resource"] == format!("GET {path}")),
        "{found:#?}"
    );
}

async fn the_audit_is_for_owners(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let viewer = installation.user("vera", &project, "viewer").await;
    let owner = installation.user("olga", &project, "owner").await;
    let audit = "/v1/iam/audit";
    let _ = installation.call_as(&viewer, Method::GET, audit, Value::Null).await.expect(403);
    let seen = installation.call_as(&owner, Method::GET, audit, Value::Null).await.expect(200).body;
    let seen = seen["items"].as_array().unwrap().clone();
    assert_eq!(seen.len(), 2, "the two bindings of the project: {seen:#?}");
    let first = installation.get(&format!("{audit}?limit=1")).await.expect(200).body;
    let token = first["next_page_token"].as_str().unwrap();
    let next = installation.get(&format!("{audit}?limit=1&page_token={token}")).await.expect(200).body;
    assert!(next["items"][0]["id"].as_str() < first["items"][0]["id"].as_str(), "newest first");
    let wrong = installation.get(&format!("{audit}?since=yesterday&who=vera")).await.expect(400);
    assert_eq!(wrong.body["errors"].as_array().unwrap().len(), 2);
    let _ = installation.call(Method::POST, audit, json!({})).await.expect(405);
}
