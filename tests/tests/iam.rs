//! Roles by HTTP: what viewer, operator and owner may do, and who sees what.

use metapaas_tests::harness::{Installation, On};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(each_role_may_do_its_part, another_project_is_not_seen, credentials_are_checked);

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/my-demo";

async fn each_role_may_do_its_part(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let viewer = installation.user("vera", &project, "viewer").await;
    let operator = installation.user("otto", &project, "operator").await;
    let owner = installation.user("olga", &project, "owner").await;

    let body = |name: &str| json!({ "name": name, "greeting": "hi" });
    let _ = installation.call_as(&viewer, Method::POST, DEMO, body("my-demo")).await.expect(403);
    let _ = installation.call_as(&operator, Method::POST, DEMO, body("my-demo")).await.expect(403);
    // The only project that the owner has a role in need not be named.
    let made = installation.call_as(&owner, Method::POST, DEMO, body("my-demo")).await.expect(201);
    assert_eq!(made.body["project_id"], project.as_str());

    let _ = installation.call_as(&viewer, Method::GET, ONE, Value::Null).await.expect(200);
    let refused =
        installation.call_as(&viewer, Method::PATCH, ONE, json!({ "greeting": "x" })).await.expect(403);
    assert_eq!(refused.body["code"], "FORBIDDEN");
    assert_eq!(refused.body["permission"], "demo.instances.update");

    let _ = installation.call_as(&operator, Method::PATCH, ONE, json!({ "greeting": "x" })).await.expect(200);
    let guarded =
        installation.call_as(&operator, Method::PATCH, ONE, json!({ "theme": "dark" })).await.expect(403);
    assert_eq!(guarded.body["errors"][0]["pointer"], "/theme");
    assert_eq!(guarded.body["permission"], "demo.instances.field:theme");
    let same = json!({ "theme": "light", "greeting": "y" });
    let _ = installation.call_as(&operator, Method::PATCH, ONE, same).await.expect(200);
    let _ = installation.call_as(&operator, Method::DELETE, ONE, Value::Null).await.expect(403);

    let _ = installation.call_as(&owner, Method::PATCH, ONE, json!({ "theme": "dark" })).await.expect(200);
    let check = json!({ "permission": "demo.instances.field:theme", "project_id": project });
    let may = installation.call_as(&operator, Method::POST, "/v1/iam/check", check).await.expect(200);
    assert_eq!(may.body["allowed"], false);
    let _ = installation.call_as(&owner, Method::DELETE, ONE, Value::Null).await.expect(202);
}

async fn another_project_is_not_seen(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let ours = installation.default_project().await;
    let theirs =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "theirs" })).await.expect(201);
    let theirs = theirs.body["id"].as_str().unwrap().to_owned();
    let stranger = installation.user("sam", &theirs, "owner").await;
    let body = json!({ "name": "my-demo", "project_id": ours, "greeting": "hi" });
    let made = installation.call(Method::POST, DEMO, body).await.expect(201);
    let by_id = format!("{DEMO}/{}", made.body["id"].as_str().unwrap());

    for path in [ONE, &by_id, &format!("{by_id}/pages"), &format!("{by_id}/pages/home")] {
        let _ = installation.call_as(&stranger, Method::GET, path, Value::Null).await.expect(404);
    }
    let _ = installation.call_as(&stranger, Method::PATCH, ONE, json!({ "greeting": "x" })).await.expect(404);
    let _ = installation.call_as(&stranger, Method::DELETE, &by_id, Value::Null).await.expect(404);
    let list = installation.call_as(&stranger, Method::GET, DEMO, Value::Null).await.expect(200);
    assert_eq!(list.body["items"], json!([]));
    let elsewhere = json!({ "name": "other", "project_id": ours, "greeting": "hi" });
    let _ = installation.call_as(&stranger, Method::POST, DEMO, elsewhere).await.expect(403);
    let page = json!({ "path": "home", "text": "x" });
    let _ = installation.call_as(&stranger, Method::POST, &format!("{by_id}/pages"), page).await.expect(404);

    let same_name = json!({ "name": "my-demo", "project_id": theirs, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, same_name).await.expect(201);
    let unclear = installation.get(ONE).await.expect(409);
    assert_eq!(unclear.body["code"], "AMBIGUOUS_NAME");
    let _ = installation.get(&format!("{ONE}?project_id={theirs}")).await.expect(200);
    let _ = installation.call_as(&stranger, Method::GET, ONE, Value::Null).await.expect(200);
}

async fn credentials_are_checked(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let anonymous = metapaas_tests::harness::client().get(format!("{}{DEMO}", installation.url));
    let refused = metapaas_tests::harness::answer(anonymous).await.expect(401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    for token in ["x", "mpst_x", "eyJhbGciOiJub25lIn0.e30.", "mpnt_x"] {
        let _ = installation.call_as(token, Method::GET, DEMO, Value::Null).await.expect(401);
    }
    let project = installation.default_project().await;
    let token = installation.user("vera", &project, "viewer").await;
    let _ = installation.call_as(&token, Method::GET, DEMO, Value::Null).await.expect(200);
    let mut forged = token.clone();
    let place = token.len() - 10..token.len() - 9;
    forged.replace_range(place.clone(), if &token[place] == "A" { "B" } else { "A" });
    let _ = installation.call_as(&forged, Method::GET, DEMO, Value::Null).await.expect(401);
    let wrong = json!({ "grant_type": "password", "username": "vera", "password": "nope" });
    let _ = installation.call(Method::POST, "/v1/iam/token", wrong).await.expect(401);
    let _ = installation.call_as(&token, Method::POST, "/v1/iam/logout", Value::Null).await.expect(204);
    let _ = installation.call_as(&token, Method::GET, DEMO, Value::Null).await.expect(401);
}
