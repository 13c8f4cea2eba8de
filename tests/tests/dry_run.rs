//! `?dry_run=true` on every change: the real call's answer, the steps that would follow, and nothing done.

use metapaas_tests::harness::{Installation, On, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, WITH_VAULT, on_both};

on_both!(
    a_dry_run_of_a_create_says_what_then_happens,
    a_dry_run_of_an_update_says_what_then_happens,
    a_dry_run_of_a_child_says_what_then_happens,
    a_dry_run_of_a_delete_says_what_then_happens,
    a_dry_run_changes_nothing,
    a_dry_run_is_refused_as_the_real_call_is,
    a_dry_run_shows_no_generated_secret,
);

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/my-demo";

fn dry(path: &str) -> String {
    format!("{path}?dry_run=true")
}

async fn body(installation: &Installation, replicas: u32) -> Value {
    let project = installation.default_project().await;
    json!({ "name": "my-demo", "project_id": project, "greeting": "hi", "replicas": replicas })
}

/// The steps of a plan, as `node action`.
fn planned(answer: &Value) -> Vec<String> {
    let steps = answer["plan"].as_array().unwrap_or_else(|| panic!("no plan in {answer:#}"));
    for step in steps {
        assert!(step["reason"].is_string() && step["disruption"].is_string(), "{step}");
    }
    steps
        .iter()
        .map(|step| format!("{} {}", step["node"].as_str().unwrap(), step["action"].as_str().unwrap()))
        .collect()
}

/// The steps that were taken for an instance, as the log tells them, in the same form.
fn taken(installation: &Installation, id: &str) -> Vec<String> {
    let log = installation.read_log();
    let word = |line: &str, name: &str| {
        let rest = line.split_once(&format!(" {name}="))?.1;
        Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
    };
    log.lines()
        .filter(|line| line.contains(&format!(" step instance={id} ")))
        .map(|line| {
            format!("{} {}", word(line, "node").unwrap(), word(line, "action").unwrap().to_lowercase())
        })
        .collect()
}

/// The steps taken since there were `before`, once the instance has come to rest.
fn since(installation: &Installation, id: &str, before: usize) -> Vec<String> {
    taken(installation, id).split_off(before)
}

async fn a_dry_run_of_a_create_says_what_then_happens(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let body = body(&installation, 2).await;
    let tried = installation.call(Method::POST, &dry(DEMO), body.clone()).await.expect(201);
    assert_eq!((tried.header("location"), tried.header("etag")), (None, None), "there is nothing there");
    assert_eq!(tried.body["status"], "PENDING");
    let plan = planned(&tried.body);
    assert_eq!(plan, ["web-0 create", "web-1 create", "web-0 ensure", "web-1 ensure"]);
    let made = installation.call(Method::POST, DEMO, body).await.expect(201);
    assert_eq!(made.body.get("plan"), None);
    let (mut before, mut after) = (tried.body, made.body);
    // What is not known before: id, revision and times.
    for one in [&mut before, &mut after] {
        for member in ["id", "revision", "created_at", "updated_at", "conditions", "plan"] {
            one.as_object_mut().unwrap().remove(member);
        }
    }
    assert_eq!(before, after);
    let id = installation.active(ONE).await["id"].as_str().unwrap().to_owned();
    assert_eq!(since(&installation, &id, 0), plan);
}

async fn a_dry_run_of_an_update_says_what_then_happens(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let made = installation.call(Method::POST, DEMO, body(&installation, 1).await).await.expect(201);
    let id = made.body["id"].as_str().unwrap().to_owned();
    for (change, expected) in [
        (json!({ "description": "no node need act on it" }), vec![]),
        (json!({ "greeting": "new" }), vec!["web-0 update"]),
        (json!({ "replicas": 2 }), vec!["web-0 update", "web-1 create", "web-1 ensure"]),
        (json!({ "replicas": 1 }), vec!["web-0 update", "web-1 drain", "web-1 delete"]),
    ] {
        let _ = installation.active(ONE).await;
        let before = taken(&installation, &id).len();
        let tried = installation.call(Method::PATCH, &dry(ONE), change.clone()).await.expect(200);
        assert_eq!(planned(&tried.body), expected, "{change}");
        let put = installation.get(ONE).await.body;
        let mut whole = put.clone();
        whole.as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
        let tried_put = installation.call(Method::PUT, &dry(ONE), whole).await.expect(200);
        assert_eq!(planned(&tried_put.body), expected, "PUT {change}");
        let real = installation.call(Method::PATCH, ONE, change.clone()).await.expect(200);
        assert_eq!(real.body["generation"], tried.body["generation"], "{change}");
        let _ = installation.active(ONE).await;
        eventually("the steps are taken", || async {
            since(&installation, &id, before).len() >= expected.len()
        })
        .await;
        assert_eq!(since(&installation, &id, before), expected, "{change}");
    }
    let tried = installation.call(Method::PATCH, &dry(ONE), json!({ "replicas": 1 })).await.expect(200);
    assert!(planned(&tried.body).is_empty(), "it has one already");
}

async fn a_dry_run_of_a_child_says_what_then_happens(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let made = installation.call(Method::POST, DEMO, body(&installation, 1).await).await.expect(201);
    let id = made.body["id"].as_str().unwrap().to_owned();
    let settled = installation.active(ONE).await;
    let before = taken(&installation, &id).len();
    let (pages, page) = (format!("{ONE}/pages"), json!({ "path": "p", "text": "x" }));
    let tried = installation.call(Method::POST, &dry(&pages), page.clone()).await.expect(201);
    assert_eq!(planned(&tried.body), ["web-0 update"]);
    let now = installation.get(ONE).await.body;
    assert_eq!((&now["generation"], &now["revision"]), (&settled["generation"], &settled["revision"]));
    let _ = installation.get(&format!("{pages}/p")).await.expect(404);
    let _ = installation.call(Method::POST, &pages, page).await.expect(201);
    let _ = installation.active(ONE).await;
    let tried = installation.call(Method::DELETE, &dry(&format!("{pages}/p")), Value::Null).await.expect(202);
    assert_eq!(
        (planned(&tried.body), &tried.body["status"]),
        (vec!["web-0 update".into()], &json!("DELETING"))
    );
    assert_eq!(since(&installation, &id, before), ["web-0 update"]);
}

async fn a_dry_run_of_a_delete_says_what_then_happens(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let made = installation.call(Method::POST, DEMO, body(&installation, 2).await).await.expect(201);
    let id = made.body["id"].as_str().unwrap().to_owned();
    let _ = installation.active(ONE).await;
    let before = taken(&installation, &id).len();
    let tried = installation.call(Method::DELETE, &dry(ONE), Value::Null).await.expect(202);
    let plan = planned(&tried.body);
    assert_eq!(plan, ["web-0 drain", "web-1 drain", "web-0 delete", "web-1 delete"]);
    assert_eq!(tried.body["plan"][0]["disruption"], "outage");
    assert_eq!(installation.get(ONE).await.body["status"], "ACTIVE");
    let _ = installation.call(Method::DELETE, ONE, Value::Null).await.expect(202);
    eventually("it is gone", || async { installation.get(ONE).await.status == 404 }).await;
    // The two nodes say in their own order that they have removed what they made.
    let mut steps = since(&installation, &id, before);
    steps[2..].sort_unstable();
    assert_eq!(steps, plan);
}

async fn a_dry_run_changes_nothing(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let _ = installation.call(Method::POST, DEMO, body(&installation, 1).await).await.expect(201);
    let settled = installation.active(ONE).await;
    let mut other = body(&installation, 1).await;
    other["name"] = "other".into();
    for (method, path, body) in [
        (Method::POST, DEMO, other.clone()),
        (Method::PATCH, ONE, json!({ "greeting": "new", "labels": { "a": "b" } })),
        (Method::PUT, ONE, json!({ "greeting": "new", "replicas": 3 })),
        (Method::DELETE, ONE, Value::Null),
    ] {
        let answer = installation.call(method.clone(), &dry(path), body).await;
        assert!(answer.status.is_success(), "{method}: {}", answer.body);
        assert_eq!(installation.get(ONE).await.body, settled, "{method}");
    }
    let list = installation.get(DEMO).await.expect(200);
    assert_eq!(list.body["items"].as_array().unwrap().len(), 1);
    // Nothing was reserved either: the name is free.
    let _ = installation.call(Method::POST, DEMO, other).await.expect(201);
    for wrong in ["yes", "1", ""] {
        let path = format!("{ONE}?dry_run={wrong}");
        let _ = installation.call(Method::PATCH, &path, json!({})).await.expect(400);
    }
    assert!(!installation.read_log().contains("drain"), "no node was told to go");
}

async fn a_dry_run_is_refused_as_the_real_call_is(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = body(&installation, 1).await;
    let _ = installation.call(Method::POST, DEMO, body.clone()).await.expect(201);
    let taken = installation.call(Method::POST, &dry(DEMO), body).await.expect(409);
    assert_eq!(taken.body["code"], "NAME_TAKEN");
    let wrong =
        json!({ "name": "x", "project_id": project, "greeting": "hi", "replicas": 99, "nonsense": 1 });
    let wrong = installation.call(Method::POST, &dry(DEMO), wrong).await.expect(400);
    assert_eq!(wrong.body["errors"].as_array().unwrap().len(), 2);
    let nowhere =
        json!({ "name": "x", "project_id": "00000000-0000-0000-0000-000000000009", "greeting": "hi" });
    let _ = installation.call(Method::POST, &dry(DEMO), nowhere).await.expect(400);
    let viewer = installation.user("viewer", &project, "viewer").await;
    let _ =
        installation.call_as(&viewer, Method::PATCH, &dry(ONE), json!({ "greeting": "x" })).await.expect(403);
    let _ = installation.call_as("nonsense", Method::PATCH, &dry(ONE), json!({})).await.expect(401);
    let _ = installation.call(Method::PATCH, &dry(&format!("{DEMO}/none")), json!({})).await.expect(404);
    let late = format!("{ONE}?dry_run=true&if_generation_match=7");
    let _ = installation.call(Method::PATCH, &late, json!({ "greeting": "x" })).await.expect(412);
    let _ = installation.call(Method::PATCH, ONE, json!({ "deletion_protection": true })).await.expect(200);
    let refused = installation.call(Method::POST, &dry("/v1/iam/logout"), Value::Null).await.expect(400);
    assert_eq!(refused.body["errors"][0]["pointer"], "?dry_run", "what cannot be tried is not done");
    let protected = installation.call(Method::DELETE, &dry(ONE), Value::Null).await.expect(409);
    assert_eq!(protected.body["code"], "INVALID_STATE");
}

async fn a_dry_run_shows_no_generated_secret(on: On) {
    let installation = Installation::start(WITH_VAULT, on).await;
    let project = installation.default_project().await;
    let vaults = "/v1/types/vault/instances";
    let body = json!({ "name": "v", "project_id": project, "password": "planted", "replicas": 1 });
    let tried = installation.call(Method::POST, &dry(vaults), body.clone()).await.expect(201);
    assert_eq!(tried.body.get("token"), None, "it is not the one that the real call will make");
    assert!(!planned(&tried.body).is_empty());
    let made = installation.call(Method::POST, vaults, body).await.expect(201);
    assert!(made.body["token"].is_string());
}
