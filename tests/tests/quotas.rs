//! Limits of projects: exact whoever creates, with the numbers in the answer, and given back.

use futures::future::join_all;
use metapaas_tests::harness::{Installation, On, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    a_quota_is_set_kept_and_given_back,
    a_hundred_concurrent_creates_stop_at_the_limit,
    quotas_are_read_by_viewers_and_set_by_the_platform,
);

const DEMO: &str = "/v1/types/demo/instances";
const QUOTA: &str = "/v1/projects/default/quota";

async fn set(installation: &Installation, limits: Value) -> Value {
    installation.call(Method::PUT, QUOTA, json!({ "limits": limits })).await.expect(200).body
}

/// Limit and use of a resource.
fn item(quota: &Value, resource: &str) -> (Value, Value) {
    let items = quota["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["resource"] == resource).unwrap();
    assert_eq!(found["exact"], true);
    (found["limit"].clone(), found["used"].clone())
}

async fn a_quota_is_set_kept_and_given_back(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = |name: &str, replicas: u32| json!({ "name": name, "project_id": project, "greeting": "hi", "replicas": replicas });
    let _ = installation.call(Method::POST, DEMO, body("one", 1)).await.expect(201);
    let before = installation.get(QUOTA).await.expect(200).body;
    assert_eq!(before["project"], "default");
    assert_eq!(item(&before, "nodes"), (Value::Null, json!(1)), "use is shown without a limit, too");
    let quota = set(&installation, json!({ "instances:demo": 2, "nodes": 3 })).await;
    assert_eq!(item(&quota, "instances:demo"), (json!(2), json!(1)));
    assert_eq!(item(&quota, "nodes"), (json!(3), json!(1)));
    assert_eq!(item(&quota, "instances"), (Value::Null, json!(1)));
    assert_eq!(item(&quota, "disk_gb"), (Value::Null, json!(0)));

    let over = installation.call(Method::POST, DEMO, body("two", 3)).await.expect(409);
    assert_eq!(over.body["code"], "QUOTA_EXCEEDED");
    let numbers = ["resource", "limit", "used", "requested"].map(|name| over.body[name].clone());
    assert_eq!(numbers, [json!("nodes"), json!(3), json!(1), json!(3)]);
    let tried = format!("{DEMO}?dry_run=true");
    let _ = installation.call(Method::POST, &tried, body("two", 3)).await.expect(409);
    let _ = installation.call(Method::POST, &tried, body("two", 2)).await.expect(201);
    let _ = installation.call(Method::POST, DEMO, body("two", 2)).await.expect(201);
    let _ = installation.call(Method::POST, DEMO, body("three", 0)).await.expect(400);
    let over = installation.call(Method::POST, DEMO, body("three", 1)).await.expect(409);
    assert_eq!(over.body["resource"], "instances:demo");
    let one = format!("{DEMO}/one");
    let over = installation.call(Method::PATCH, &one, json!({ "replicas": 2 })).await.expect(409);
    assert_eq!(over.body["code"], "QUOTA_EXCEEDED");
    let _ = installation.call(Method::PATCH, &one, json!({ "greeting": "same size" })).await.expect(200);
    let page = json!({ "path": "a", "text": "b" });
    let _ = installation.call(Method::POST, &format!("{one}/pages"), page).await.expect(201);
    let _ = installation.call(Method::POST, &format!("{one}/actions/restart"), Value::Null).await.expect(202);
    let _ =
        installation.call(Method::PATCH, &format!("{DEMO}/two"), json!({ "replicas": 1 })).await.expect(200);
    assert_eq!(item(&installation.get(QUOTA).await.body, "nodes"), (json!(3), json!(2)));

    let _ = installation.call(Method::DELETE, &format!("{DEMO}/two"), Value::Null).await.expect(202);
    eventually("the instance is gone", || async {
        installation.get(&format!("{DEMO}/two")).await.status == 404
    })
    .await;
    let quota = installation.get(QUOTA).await.body;
    assert_eq!(item(&quota, "instances:demo"), (json!(2), json!(1)), "what is gone is given back");
    assert_eq!(item(&quota, "nodes"), (json!(3), json!(1)));

    let quota = set(&installation, json!({ "instances": 0.0 })).await;
    assert_eq!(item(&quota, "instances"), (json!(0), json!(1)), "a limit below the use is fine");
    assert_eq!(item(&quota, "nodes").0, Value::Null, "what is not named has no limit");
    let _ = installation.call(Method::POST, DEMO, body("three", 1)).await.expect(409);

    let shown = installation.cli(&["quota", "default", "set", "instances:demo=5", "instances="]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && text.contains("instances:demo  1     5"), "{shown:?}");
    let shown = installation.cli(&["quota"]);
    assert_eq!(shown.stdout, text.split_once('\n').unwrap().1.as_bytes(), "{shown:?}");
    let _ = installation.call(Method::POST, DEMO, body("three", 1)).await.expect(201);
}

async fn a_hundred_concurrent_creates_stop_at_the_limit(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let second = if on == On::Postgres { Some(installation.second().await) } else { None };
    set(&installation, json!({ "instances:demo": 3 })).await;
    let creates = (0..100).map(|index| {
        let server = second.as_ref().filter(|_| index % 2 == 1).unwrap_or(&installation);
        let body = json!({ "name": format!("d{index}"), "project_id": project, "greeting": "hi" });
        server.call(Method::POST, DEMO, body)
    });
    let mut made = 0;
    for answer in join_all(creates).await {
        match answer.status.as_u16() {
            201 => made += 1,
            409 => {
                let numbers = ["limit", "used", "requested"].map(|name| answer.body[name].as_i64().unwrap());
                assert_eq!(numbers, [3, 3, 1]);
            }
            other => panic!("{other}: {:#}", answer.body),
        }
    }
    assert_eq!(made, 3);
    let quota = installation.get(QUOTA).await.body;
    assert_eq!(item(&quota, "instances:demo"), (json!(3), json!(3)));
}

async fn quotas_are_read_by_viewers_and_set_by_the_platform(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let viewer = installation.user("vera", &project, "viewer").await;
    let owner = installation.user("olga", &project, "owner").await;
    let other =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await.expect(201);
    let stranger = installation.user("stan", other.body["id"].as_str().unwrap(), "owner").await;
    let by_id = format!("/v1/projects/{project}/quota");
    let read = |token: String, path: &str| {
        let path = path.to_owned();
        let installation = &installation;
        async move { installation.call_as(&token, Method::GET, &path, Value::Null).await }
    };
    let _ = read(viewer.clone(), QUOTA).await.expect(200);
    assert_eq!(read(viewer, &by_id).await.expect(200).body["project_id"], project.as_str());
    let _ = read(stranger, QUOTA).await.expect(404);
    let limits = json!({ "limits": { "nodes": 1 } });
    let denied = installation.call_as(&owner, Method::PUT, QUOTA, limits.clone()).await.expect(403);
    assert_eq!(denied.body["permission"], "iam.projects.update");
    let _ = installation.call(Method::PUT, "/v1/projects/none/quota", limits).await.expect(404);

    for (body, pointer) in [
        (json!({}), "/limits"),
        (json!({ "limits": 1 }), "/limits"),
        (json!({ "limits": {}, "used": {} }), "/used"),
        (json!({ "limits": { "nodes": -1 } }), "/limits/nodes"),
        (json!({ "limits": { "nodes": 1.5 } }), "/limits/nodes"),
        (json!({ "limits": { "instances:none": 1 } }), "/limits/instances:none"),
        (json!([]), ""),
    ] {
        let wrong = installation.call(Method::PUT, QUOTA, body).await.expect(400);
        assert_eq!(wrong.body["errors"][0]["pointer"], pointer);
        if pointer == "/limits/instances:none" {
            assert_eq!(wrong.body["errors"][0]["code"], "INVALID_VALUE");
        }
    }
    let _ = installation.call(Method::POST, QUOTA, json!({})).await.expect(405);
    let _ = installation.get(&format!("{QUOTA}?x=1")).await.expect(400);
}
