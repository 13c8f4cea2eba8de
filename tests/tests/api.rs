//! The HTTP contract, right and wrong, on both databases.

use std::time::Duration;

use metapaas_core::store::StoreError;
use metapaas_tests::harness::{Installation, On, answer, client, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    wrong_bodies_name_every_problem,
    wrong_requests_get_the_answers_of_the_contract,
    rows_are_read_updated_and_replaced,
    pages_follow_each_other,
    concurrent_changes_are_not_lost,
    the_control_plane_describes_itself,
    the_health_of_a_type_is_that_of_its_instances_and_workers,
);

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/my-demo";

async fn with_demo(on: On) -> Installation {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    installation
}

fn pointers(body: &Value) -> Vec<&str> {
    body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

async fn wrong_bodies_name_every_problem(on: On) {
    let installation = with_demo(on).await;
    let project = installation.default_project().await;
    let body = json!({
        "name": "Not A Name", "project_id": project, "replicas": 9, "theme": "pink", "colour": 1,
        "labels": { "a b": "c" }, "status": "ACTIVE",
    });
    let wrong = installation.call(Method::POST, DEMO, body).await.expect(400);
    assert_eq!(wrong.header("content-type"), Some("application/problem+json"));
    assert_eq!(wrong.body["code"], "INVALID_REQUEST");
    assert_eq!(wrong.body["request_id"], wrong.header("x-request-id").unwrap());
    let mut found = pointers(&wrong.body);
    found.sort_unstable();
    assert_eq!(found, ["/colour", "/greeting", "/labels/a b", "/name", "/replicas", "/theme"]);

    let again = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let taken = installation.call(Method::POST, DEMO, again).await.expect(409);
    assert_eq!(taken.body["code"], "NAME_TAKEN");
    assert_eq!(taken.body["id"], installation.get(ONE).await.body["id"]);
    let uuid =
        json!({ "name": "a1fd58d9-066a-7706-b139-d081c749308c", "project_id": project, "greeting": "hi" });
    assert_eq!(pointers(&installation.call(Method::POST, DEMO, uuid).await.expect(400).body), ["/name"]);
    let nowhere =
        json!({ "name": "x", "project_id": "00000000-0000-0000-0000-000000000009", "greeting": "hi" });
    let refused = installation.call(Method::POST, DEMO, nowhere).await.expect(400);
    assert_eq!(pointers(&refused.body), ["/project_id"]);
    let nul = json!({ "name": "x", "project_id": project, "greeting": "a\u{0}b" });
    assert_eq!(pointers(&installation.call(Method::POST, DEMO, nul).await.expect(400).body), ["/greeting"]);
}

async fn wrong_requests_get_the_answers_of_the_contract(on: On) {
    let installation = with_demo(on).await;
    for path in [
        "/nothing",
        "/v1/types/none",
        "/v1/types/none/instances",
        "/v1/types/demo/none",
        "/v1/types/demo/instances/none",
        "/v1/types/demo/instances/my-demo/none",
        "/v1/types/demo/instances/my-demo/pages/none",
        "/v1/iam/none",
        "/v1/types/demo/instances//pages",
        "/v1/types/demo/instances/%FF",
        "/v1/types/demo/instances/01a1fd58-066a-7706-b139-d081c749308c",
    ] {
        let missing = installation.get(path).await.expect(404);
        assert_eq!(missing.body["code"], "NOT_FOUND", "{path}");
    }
    for (method, path) in [
        (Method::PUT, DEMO),
        (Method::POST, ONE),
        (Method::DELETE, "/v1/types"),
        (Method::POST, "/healthz"),
        (Method::PATCH, "/v1/iam/users"),
        (Method::GET, "/v1/iam/token"),
    ] {
        let _ = installation.call(method, path, Value::Null).await.expect(405);
    }
    for query in
        ["limit=0", "limit=1001", "limit=x", "page_token=x", "nonsense=1", "limit=1&limit=2", "project_id=x"]
    {
        let _ = installation.get(&format!("{DEMO}?{query}")).await.expect(400);
    }
    let url = format!("{}{DEMO}", installation.url);
    let post = |media_type: &str, body: Vec<u8>| {
        answer(
            client()
                .post(&url)
                .bearer_auth(&installation.token)
                .header("content-type", media_type)
                .timeout(Duration::from_secs(20))
                .body(body),
        )
    };
    let _ = post("text/plain", b"{}".to_vec()).await.expect(415);
    let _ = post("application/json", b"{".to_vec()).await.expect(400);
    let _ = post("application/json", b"[1,2".to_vec()).await.expect(400);
    let _ = post("application/json", b"[]".to_vec()).await.expect(400);
    let _ = post("application/json", b"\xff\xfe".to_vec()).await.expect(400);
    let _ = post("application/json", "[".repeat(100_000).into_bytes()).await.expect(400);
    let large = post("application/json", vec![b' '; 2 << 20]).await.expect(413);
    assert_eq!(large.body["code"], "BODY_TOO_LARGE");
    for path in [ONE, "/v1/types", "/v1/openapi.json"] {
        let slashed = installation.get(&format!("{path}/")).await.expect(200);
        assert_eq!(slashed.header("location"), None);
    }
}

async fn rows_are_read_updated_and_replaced(on: On) {
    let installation = with_demo(on).await;
    let settled = installation.active(ONE).await;
    let by_id = format!("{DEMO}/{}", settled["id"].as_str().unwrap());
    let read = installation.get(&by_id).await.expect(200);
    let etag = read.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", read.body["revision"]));

    let conditional = |method: Method, name: &'static str, tag: &str, body: Value| {
        let mut request = client().request(method, format!("{}{ONE}", installation.url));
        request = request.bearer_auth(&installation.token).header(name, tag.to_owned());
        answer(if body.is_null() { request } else { request.json(&body) })
    };
    let _ = conditional(Method::GET, "if-none-match", &etag, Value::Null).await.expect(304);
    let _ = conditional(Method::PATCH, "if-match", "\"1\"", json!({ "greeting": "x" })).await.expect(412);
    let patched = conditional(Method::PATCH, "if-match", &etag, json!({ "greeting": "x" })).await.expect(200);
    assert_eq!(patched.body["generation"], 2);

    let nothing = installation.call(Method::PATCH, ONE, json!({})).await.expect(200);
    assert_eq!(nothing.body["generation"], 2, "a patch that changes nothing is no change");
    let meta = json!({ "description": "mine", "labels": { "team": "a" } });
    let described = installation.call(Method::PATCH, ONE, meta).await.expect(200);
    assert_eq!(described.body["generation"], 2, "nodes need not act on a description");
    let merged =
        installation.call(Method::PATCH, ONE, json!({ "labels": { "tier": "b", "team": null } })).await;
    assert_eq!(merged.expect(200).body["labels"], json!({ "tier": "b" }));

    let immutable = installation.call(Method::PATCH, ONE, json!({ "name": "other" })).await.expect(400);
    assert_eq!(immutable.body["errors"][0]["code"], "IMMUTABLE");
    // GET, edit, PUT works: what answers have besides the spec is ignored.
    let mut whole = installation.active(ONE).await;
    whole["greeting"] = "put".into();
    whole.as_object_mut().unwrap().remove("labels");
    let put = installation.call(Method::PUT, ONE, whole).await.expect(200);
    assert_eq!(put.body["greeting"], "put");
    assert_eq!(put.body["labels"], json!({}), "what a PUT leaves out goes back to its default");
    let _ = installation.call(Method::PUT, ONE, json!({ "replicas": 1 })).await.expect(400);
}

async fn pages_follow_each_other(on: On) {
    let installation = with_demo(on).await;
    for index in 0..7 {
        let page = json!({ "path": format!("page-{index}"), "text": "x" });
        let _ = installation.call(Method::POST, &format!("{ONE}/pages"), page).await.expect(201);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let list = installation.get(&format!("{ONE}/pages?limit=3&page_token={token}")).await.expect(200);
        for item in list.body["items"].as_array().unwrap() {
            seen.push(item["path"].as_str().unwrap().to_owned());
        }
        match list.body["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    let expected: Vec<String> = (0..7).map(|index| format!("page-{index}")).collect();
    assert_eq!(seen, expected);
    let taken = json!({ "path": "page-1", "text": "x" });
    let _ = installation.call(Method::POST, &format!("{ONE}/pages"), taken).await.expect(409);
}

async fn concurrent_changes_are_not_lost(on: On) {
    let installation = with_demo(on).await;
    let changes = (0..12).map(|index| {
        let labels = json!({ "labels": { format!("l{index}"): "1" } });
        installation.call(Method::PATCH, ONE, labels)
    });
    for changed in futures_join(changes).await {
        let _ = changed.expect(200);
    }
    let labels = installation.get(ONE).await.body["labels"].as_object().unwrap().len();
    assert_eq!(labels, 12);
}

/// Runs futures at the same time.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Some(Box::pin(future)), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut pending {
            if let Some(running) = future
                && let std::task::Poll::Ready(value) = running.as_mut().poll(context)
            {
                (*future, *output) = (None, Some(value));
            }
        }
        if pending.iter().all(|(future, _)| future.is_none()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

async fn the_health_of_a_type_is_that_of_its_instances_and_workers(on: On) {
    let installation = with_demo(on).await;
    let _ = installation.active(ONE).await;
    let health = async || installation.get("/v1/types/demo").await.expect(200).body["health"].clone();
    let fine = health().await;
    assert_eq!((&fine["status"], &fine["message"], &fine["exact"]), (&json!("ok"), &json!(""), &json!(true)));
    assert_eq!((&fine["instances"]["ACTIVE"], &fine["instances"]["ERROR"]), (&json!(1), &json!(0)));
    let stranger = installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await;
    let other = stranger.expect(201).body["id"].as_str().unwrap().to_owned();
    let stranger = installation.user("stan", &other, "owner").await;

    // No pass is due for it, so that it stays as it is put here.
    run(&installation, "UPDATE demo_instances SET status = 'ERROR'").await;
    let broken = health().await;
    assert_eq!((&broken["status"], &broken["instances"]["ERROR"]), (&json!("degraded"), &json!(1)));
    let seen = installation.call_as(&stranger, Method::GET, "/v1/types", Value::Null).await.expect(200).body;
    assert_eq!(seen["items"][0]["health"]["status"], "ok", "what one may not see is nothing to tell");
    assert_eq!(seen["items"][0]["counts"]["instances"], 0);

    // As it looks when every worker is busy, or none runs: due for long, and taken by nobody who finishes it.
    let (past, future) = match on {
        On::Postgres => ("now() - interval '90 seconds'", "now() + interval '1 hour'"),
        On::Sqlite => {
            let micros = "CAST(strftime('%s', 'now') AS integer) * 1000000";
            (&*format!("{micros} - 90000000").leak(), &*format!("{micros} + 3600000000").leak())
        }
    };
    run(&installation, &format!("UPDATE metapaas_work SET due_at = {past}, lease_until = {future}")).await;
    let stalled = installation.get("/v1/types").await.expect(200).body["items"][0]["health"].clone();
    assert_eq!(stalled["status"], "stalled", "{stalled}");
    assert!(stalled["message"].as_str().unwrap().contains("worker"));
    run(&installation, &format!("UPDATE metapaas_work SET due_at = {past}, lease_until = NULL")).await;
    eventually("a worker takes it and finds the instance well", || async {
        health().await["status"] == "ok"
    })
    .await;
}

/// Runs SQL that changes something on an installation's database.
pub(crate) async fn run(installation: &Installation, sql: &str) {
    let database = installation.sql().await;
    let sql = sql.to_owned();
    let done: Result<(), StoreError> = database
        .write("test", move |tx| Box::pin(async move { tx.execute_script("test", &sql).await }))
        .await;
    done.unwrap();
    database.close().await;
}

async fn the_control_plane_describes_itself(on: On) {
    let installation = with_demo(on).await;
    let types = installation.get("/v1/types").await.expect(200);
    let demo = &types.body["items"][0];
    assert_eq!((demo["slug"].as_str(), &demo["counts"]["instances"]), (Some("demo"), &json!(1)));
    let versions = installation.get("/v1/types/demo/versions").await.expect(200);
    assert_eq!(versions.body["items"][0]["default"], true);
    let openapi = answer(client().get(format!("{}/v1/openapi.json", installation.url))).await.expect(200);
    assert!(openapi.body["openapi"].as_str().unwrap().starts_with("3.1"));
    let operation = &openapi.body["paths"]["/v1/types/demo/instances"]["post"];
    assert_eq!(operation["x-required-permission"], "demo.instances.create");
    let one =
        answer(client().get(format!("{}/v1/types/demo/openapi.json", installation.url))).await.expect(200);
    assert!(one.body["paths"].as_object().unwrap().len() < openapi.body["paths"].as_object().unwrap().len());
    for path in ["/healthz", "/readyz", "/docs", "/docs/docs.js"] {
        let _ = answer(client().get(format!("{}{path}", installation.url))).await.expect(200);
    }
    let metrics = answer(client().get(format!("{}/metrics", installation.url))).await.expect(200);
    assert!(metrics.body.as_str().unwrap().contains("metapaas_http_requests_total"));
}
