//! Conditional requests, the ways to change and delete a row, and the methods that paths take, on both databases.

use futures::future::join_all;
use metapaas_tests::harness::{Answer, Installation, On, client, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, WITH_ALL, on_both};

on_both!(
    if_match_refuses_a_lost_update,
    if_match_compares_strongly_and_takes_lists_and_star,
    if_none_match_on_a_read_gives_304,
    if_generation_match_compares_the_spec_alone,
    a_protected_instance_is_not_deleted,
    patch_is_a_merge_patch,
    put_sets_what_is_left_out_back,
    a_change_that_changes_nothing_is_none,
    delete_is_202_then_404,
    delete_of_what_has_nothing_left_is_204_then_404,
    with_or_without_a_slash_at_the_end_answers_the_same,
    head_and_options_say_what_there_is,
);

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/my-demo";

/// An answer, and its body as it came.
pub(crate) struct Sent {
    pub(crate) answer: Answer,
    pub(crate) text: String,
}

impl Sent {
    pub(crate) fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{}", self.text);
        self
    }
}

/// A request with headers.
pub(crate) async fn send(
    installation: &Installation,
    token: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Sent {
    let mut request = client().request(method, format!("{}{path}", installation.url)).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    if !body.is_null() {
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        request = request.body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let headers = answer.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_default();
    Sent { answer: Answer { status, headers, body }, text }
}

async fn with_demo(on: On, more: Value) -> Installation {
    let installation = Installation::start(PROGRAM, on).await;
    let mut body =
        json!({ "name": "my-demo", "project_id": installation.default_project().await, "greeting": "hi" });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    let _ = installation.active(ONE).await;
    installation
}

async fn as_admin(
    installation: &Installation,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> Sent {
    send(installation, &installation.token, method, path, headers, &body).await
}

async fn if_match_refuses_a_lost_update(on: On) {
    let installation = with_demo(on, Value::Null).await;
    let etag = installation.get(ONE).await.header("etag").unwrap().to_owned();
    let changes =
        ["one", "two", "three", "four"].map(|greeting| {
            let headers = [("if-match", etag.as_str())];
            let installation = &installation;
            async move {
                as_admin(installation, Method::PATCH, ONE, &headers, json!({ "greeting": greeting })).await
            }
        });
    let sent = join_all(changes).await;
    let won: Vec<&Sent> = sent.iter().filter(|one| one.status() == 200).collect();
    assert_eq!(won.len(), 1, "of changes to the same version one wins");
    let now = installation.get(ONE).await;
    assert_eq!(now.body["greeting"], won[0].answer.body["greeting"]);
    for lost in sent.iter().filter(|one| one.status() != 200) {
        assert_eq!((lost.status(), &lost.answer.body["code"]), (412, &json!("PRECONDITION_FAILED")));
    }
    for (method, body) in [
        (Method::PUT, json!({ "greeting": "late" })),
        (Method::PATCH, json!({ "greeting": "late" })),
        (Method::DELETE, Value::Null),
    ] {
        let late = as_admin(&installation, method, ONE, &[("if-match", &etag)], body).await.expect(412);
        let found = late.answer.body["etag"].as_str().unwrap();
        assert!(found.starts_with('"') && found != etag, "{found}");
    }
}

async fn if_match_compares_strongly_and_takes_lists_and_star(on: On) {
    let installation = with_demo(on, Value::Null).await;
    let patch = async |headers: &[(&str, &str)]| {
        as_admin(&installation, Method::PATCH, ONE, headers, json!({ "greeting": "hi" })).await
    };
    let etag = installation.get(ONE).await.header("etag").unwrap().to_owned();
    let _ = patch(&[("if-match", &format!("\"1\", {etag}"))]).await.expect(200);
    let _ = patch(&[("if-match", "\"1\""), ("if-match", &etag)]).await.expect(200);
    let _ = patch(&[("if-match", "*")]).await.expect(200);
    let _ = patch(&[("if-match", &format!("W/{etag}"))]).await.expect(412);
    let _ = patch(&[("if-none-match", &etag)]).await.expect(412);
    let _ = patch(&[("if-none-match", "*")]).await.expect(412);
    let _ = patch(&[("if-none-match", "\"1\"")]).await.expect(200);
    for wrong in ["1", "\"1", "*, \"1\""] {
        let refused = patch(&[("if-match", wrong)]).await.expect(400);
        assert_eq!(refused.answer.body["errors"][0]["pointer"], "If-Match:");
    }
    // A create has nothing to compare with.
    let body = json!({ "name": "x", "project_id": installation.default_project().await, "greeting": "hi" });
    let post = async |name: &str, value: &str| {
        as_admin(&installation, Method::POST, DEMO, &[(name, value)], body.clone()).await
    };
    let _ = post("if-match", "*").await.expect(400);
    let _ = post("if-none-match", "\"1\"").await.expect(400);
    let _ = post("if-none-match", "*").await.expect(201);
}

async fn if_none_match_on_a_read_gives_304(on: On) {
    let installation = with_demo(on, Value::Null).await;
    let read = installation.get(ONE).await;
    let etag = read.header("etag").unwrap();
    for tag in [etag, &format!("W/{etag}"), "*"] {
        let same = as_admin(&installation, Method::GET, ONE, &[("if-none-match", tag)], Value::Null).await;
        assert_eq!((same.status(), same.text.as_str()), (304, ""));
        assert_eq!(same.header("etag"), Some(etag));
    }
    let _ = as_admin(&installation, Method::GET, ONE, &[("if-none-match", "\"1\"")], Value::Null)
        .await
        .expect(200);
}

async fn if_generation_match_compares_the_spec_alone(on: On) {
    let installation = with_demo(on, Value::Null).await;
    let on_generation = |generation: i64| format!("{ONE}?if_generation_match={generation}");
    // Status writes have raised the revision since the create; the generation is what it was.
    let changed =
        installation.call(Method::PATCH, &on_generation(1), json!({ "greeting": "two" })).await.expect(200);
    assert_eq!(changed.body["generation"], 2);
    for (method, body) in [
        (Method::PATCH, json!({ "greeting": "three" })),
        (Method::PUT, json!({ "greeting": "three" })),
        (Method::DELETE, Value::Null),
    ] {
        let refused = installation.call(method, &on_generation(1), body).await.expect(412);
        assert_eq!(
            (&refused.body["code"], &refused.body["generation"]),
            (&json!("PRECONDITION_FAILED"), &json!(2))
        );
    }
    // Labels are no spec.
    let _ = installation
        .call(Method::PATCH, &on_generation(2), json!({ "labels": { "a": "b" } }))
        .await
        .expect(200);
    let put =
        installation.call(Method::PUT, &on_generation(2), json!({ "greeting": "three" })).await.expect(200);
    assert_eq!(put.body["generation"], 3);
    for wrong in ["x", "-1", "1.5", ""] {
        let path = format!("{ONE}?if_generation_match={wrong}");
        let _ = installation.call(Method::PATCH, &path, json!({})).await.expect(400);
    }
    let _ = installation.call(Method::DELETE, &on_generation(3), Value::Null).await.expect(202);
}

async fn a_protected_instance_is_not_deleted(on: On) {
    let installation = with_demo(on, json!({ "deletion_protection": true })).await;
    assert_eq!(installation.get(ONE).await.body["deletion_protection"], true);
    let refused = installation.call(Method::DELETE, ONE, Value::Null).await.expect(409);
    assert_eq!(refused.body["code"], "INVALID_STATE");
    assert!(refused.body["detail"].as_str().unwrap().contains("deletion_protection"), "{}", refused.body);
    let generation = installation.get(ONE).await.body["generation"].clone();
    let off =
        installation.call(Method::PATCH, ONE, json!({ "deletion_protection": false })).await.expect(200);
    assert_eq!(off.body["generation"], generation, "nodes need not act on it");
    // Of a delete and a protection at the same time one comes too late.
    let (deleted, on) = tokio::join!(
        installation.call(Method::DELETE, ONE, Value::Null),
        installation.call(Method::PATCH, ONE, json!({ "deletion_protection": true })),
    );
    match (deleted.status.as_u16(), on.status.as_u16()) {
        (202, 409 | 404) | (409, 200) => {}
        both => panic!("both won: {both:?}"),
    }
}

async fn patch_is_a_merge_patch(on: On) {
    let installation =
        with_demo(on, json!({ "replicas": 2, "description": "d", "labels": { "a": "1", "b": "2" } })).await;
    for media_type in
        ["application/json", "application/merge-patch+json", "application/merge-patch+json; charset=utf-8"]
    {
        let headers = [("content-type", media_type)];
        let _ = as_admin(&installation, Method::PATCH, ONE, &headers, json!({ "description": media_type }))
            .await
            .expect(200);
    }
    let headers = [("content-type", "application/json-patch+json")];
    let _ = as_admin(&installation, Method::PATCH, ONE, &headers, json!([])).await.expect(415);
    let merged =
        installation.call(Method::PATCH, ONE, json!({ "labels": { "a": null, "c": "3" } })).await.expect(200);
    assert_eq!(merged.body["labels"], json!({ "b": "2", "c": "3" }));
    assert_eq!(merged.body["replicas"], 2, "what is not named stays");
    let back = installation
        .call(Method::PATCH, ONE, json!({ "replicas": null, "description": null, "labels": null }))
        .await;
    let back = back.expect(200);
    assert_eq!(
        (&back.body["replicas"], &back.body["description"], &back.body["labels"]),
        (&json!(1), &json!(""), &json!({}))
    );
    let refused = installation.call(Method::PATCH, ONE, json!({ "greeting": null })).await.expect(400);
    assert_eq!(
        (&refused.body["errors"][0]["pointer"], &refused.body["errors"][0]["code"]),
        (&json!("/greeting"), &json!("REQUIRED"))
    );
    let ignored = json!({ "status": "ERROR", "nodes": [], "revision": 1, "generation": 99, "conditions": [], "created_at": "x" });
    let ignored = installation.call(Method::PATCH, ONE, ignored).await.expect(200);
    assert_ne!(ignored.body["generation"], 99);
    let unknown = installation.call(Method::PATCH, ONE, json!({ "a/b~c": 1 })).await.expect(400);
    assert_eq!(unknown.body["errors"][0]["pointer"], "/a~1b~0c");
    for (member, value) in
        [("name", json!("other")), ("project_id", json!("4d657461-0000-0000-0000-000000000002"))]
    {
        let refused = installation.call(Method::PATCH, ONE, json!({ member: value })).await.expect(400);
        let problem = &refused.body["errors"][0];
        assert_eq!(
            (&problem["pointer"], &problem["code"]),
            (&json!(format!("/{member}")), &json!("IMMUTABLE"))
        );
    }
}

async fn put_sets_what_is_left_out_back(on: On) {
    let installation = with_demo(
        on,
        json!({ "replicas": 2, "theme": "dark", "labels": { "a": "1" }, "deletion_protection": true }),
    )
    .await;
    let whole = installation.get(ONE).await.body;
    let same = installation.call(Method::PUT, ONE, whole.clone()).await.expect(200);
    assert_eq!(same.body["generation"], whole["generation"], "GET, PUT changes nothing");
    let put = installation.call(Method::PUT, ONE, json!({ "greeting": "put" })).await.expect(200);
    let (replicas, labels) = (&put.body["replicas"], &put.body["labels"]);
    assert_eq!((replicas, labels, &put.body["theme"]), (&json!(1), &json!({}), &json!("light")));
    assert_eq!((&put.body["name"], &put.body["deletion_protection"]), (&json!("my-demo"), &json!(false)));
    let refused =
        installation.call(Method::PUT, ONE, json!({ "replicas": 1, "name": "x" })).await.expect(400);
    let mut pointers: Vec<_> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/greeting", "/name"], "every problem at once");
}

async fn a_change_that_changes_nothing_is_none(on: On) {
    let installation = with_demo(on, Value::Null).await;
    let before = installation.get(ONE).await;
    for (method, body) in [
        (Method::PATCH, json!({})),
        (Method::PATCH, json!({ "greeting": "hi" })),
        (Method::PUT, before.body.clone()),
    ] {
        let same = installation.call(method, ONE, body).await.expect(200);
        assert_eq!(same.body["revision"], before.body["revision"]);
        assert_eq!(same.header("etag"), before.header("etag"));
    }
}

async fn delete_of_what_has_nothing_left_is_204_then_404(on: On) {
    const ZOOS: &str = "/v1/types/zoo/instances";
    let installation = Installation::start(WITH_ALL, on).await;
    let project = installation.default_project().await;
    let limits = json!({ "limits": { "instances": 2 } });
    let quota = "/v1/projects/default/quota";
    let _ = installation.call(Method::PUT, quota, limits).await.expect(200);
    let make = async |name: &str| {
        let body = json!({ "name": name, "project_id": project, "site": name, "sign": "hi" });
        installation.call(Method::POST, ZOOS, body).await.expect(201)
    };
    let (empty, full) = (format!("{ZOOS}/empty"), format!("{ZOOS}/full"));
    let made = make("empty").await;
    let _ = make("full").await;
    // A zoo has no nodes, so that nothing is left of one without houses.
    let tried = installation.call(Method::DELETE, &format!("{empty}?dry_run=true"), Value::Null).await;
    assert_eq!(tried.expect(204).body, Value::Null);
    let partner = json!({ "partner": made.body["id"] });
    let _ = installation.call(Method::PATCH, &full, partner).await.expect(200);
    let used = installation.call(Method::DELETE, &empty, Value::Null).await.expect(409);
    assert_eq!(used.body["code"], "IN_USE");
    let _ = installation.call(Method::PATCH, &full, json!({ "partner": null })).await.expect(200);
    let wrong = [("if-match", "\"1\"")];
    let token = &installation.token;
    let _ = send(&installation, token, Method::DELETE, &empty, &wrong, &Value::Null).await.expect(412);
    let _ = installation.call(Method::DELETE, &empty, Value::Null).await.expect(204);
    let _ = installation.get(&empty).await.expect(404);
    let _ = installation.call(Method::DELETE, &empty, Value::Null).await.expect(404);
    // Its place is free at once: its name, its unique site, what it had of the quota.
    let _ = make("empty").await;
    let id = made.body["id"].as_str().unwrap();
    let events = installation.get(&format!("/v1/events?resource_id={id}")).await.expect(200).body;
    let actions: Vec<&str> =
        events["items"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"deleted"), "{actions:?}");
    let house = json!({ "name": "apes" });
    let _ = installation.call(Method::POST, &format!("{full}/houses"), house).await.expect(201);
    let going = installation.call(Method::DELETE, &full, Value::Null).await.expect(202);
    assert_eq!(going.body["status"], "DELETING", "its house has to go first");
    eventually("it is gone", || async { installation.get(&full).await.status == 404 }).await;
}

async fn delete_is_202_then_404(on: On) {
    let installation = with_demo(on, Value::Null).await;
    let page = json!({ "path": "p", "text": "x" });
    let _ = installation.call(Method::POST, &format!("{ONE}/pages"), page.clone()).await.expect(201);
    let of_page = format!("{ONE}/pages/p");
    let deleted = installation.call(Method::DELETE, &of_page, Value::Null).await.expect(202);
    assert_eq!(deleted.body["status"], "DELETING");
    eventually("the page is gone", || async { installation.get(&of_page).await.status == 404 }).await;
    let _ = installation.call(Method::DELETE, &of_page, Value::Null).await.expect(404);

    let _ = installation.call(Method::POST, &format!("{ONE}/pages"), page.clone()).await.expect(201);
    let deleted = installation.call(Method::DELETE, ONE, Value::Null).await.expect(202);
    assert_eq!(deleted.body["status"], "DELETING");
    assert!(deleted.header("etag").is_some());
    let again = installation.call(Method::DELETE, ONE, Value::Null).await;
    assert!(
        matches!(again.status.as_u16(), 202 | 404),
        "a repeat is 202 as long as there is something: {}",
        again.status
    );
    let late = installation.call(Method::PATCH, ONE, json!({ "greeting": "late" })).await;
    assert!(matches!(late.status.as_u16(), 409 | 404), "{}", late.status);
    let late =
        installation.call(Method::POST, &format!("{ONE}/pages"), json!({ "path": "q", "text": "x" })).await;
    assert!(matches!(late.status.as_u16(), 409 | 404), "{}", late.status);
    eventually("it is gone", || async { installation.get(ONE).await.status == 404 }).await;
    let _ = installation.get(&of_page).await.expect(404);
    let _ = installation.call(Method::DELETE, ONE, Value::Null).await.expect(404);
    assert_eq!(installation.node_dirs_of_nodes(), 0);
}

async fn with_or_without_a_slash_at_the_end_answers_the_same(on: On) {
    let installation = with_demo(on, Value::Null).await;
    let body = json!({ "name": "x", "project_id": installation.default_project().await, "greeting": "hi" });
    for (method, path, body, status) in [
        (Method::POST, format!("{DEMO}/"), body, 201),
        (Method::GET, format!("{DEMO}/"), Value::Null, 200),
        (Method::GET, format!("{DEMO}/?limit=1"), Value::Null, 200),
        (Method::GET, format!("{ONE}/"), Value::Null, 200),
        (Method::PATCH, format!("{ONE}/"), json!({ "greeting": "x" }), 200),
        (Method::PUT, format!("{ONE}/"), json!({ "greeting": "y" }), 200),
        (Method::GET, format!("{ONE}/pages/"), Value::Null, 200),
        (Method::GET, "/v1/types/".into(), Value::Null, 200),
        (Method::GET, "/v1/iam/users/".into(), Value::Null, 200),
        (Method::GET, "/healthz/".into(), Value::Null, 200),
        (Method::DELETE, format!("{ONE}/"), Value::Null, 202),
    ] {
        let answer = installation.call(method.clone(), &path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.body);
        if method != Method::POST {
            assert_eq!(answer.header("location"), None, "{method} {path}");
        }
    }
}

async fn head_and_options_say_what_there_is(on: On) {
    let installation = with_demo(on, Value::Null).await;
    for path in
        [ONE, DEMO, "/v1/types/demo", "/v1/types/demo/versions", "/v1/types", "/v1/iam/users", "/healthz"]
    {
        let got = as_admin(&installation, Method::GET, path, &[], Value::Null).await.expect(200);
        let head = as_admin(&installation, Method::HEAD, path, &[], Value::Null).await.expect(200);
        assert_eq!(head.text, "", "{path}");
        for header in ["content-type", "etag"] {
            assert_eq!(head.header(header), got.header(header), "{path} {header}");
        }
    }
    for (path, allowed) in [
        (ONE, "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        (DEMO, "GET, HEAD, OPTIONS, POST"),
        ("/v1/types/demo", "GET, HEAD, OPTIONS"),
    ] {
        let options = as_admin(&installation, Method::OPTIONS, path, &[], Value::Null).await.expect(204);
        assert_eq!(options.header("allow"), Some(allowed));
        let wrong = as_admin(&installation, Method::TRACE, path, &[], Value::Null).await.expect(405);
        assert_eq!(wrong.header("allow"), Some(allowed));
    }
    for path in ["/v1/types", "/healthz"] {
        let wrong = as_admin(&installation, Method::DELETE, path, &[], Value::Null).await.expect(405);
        assert!(
            wrong.header("allow").is_some_and(|allow| allow.contains("GET")),
            "{path}: {:?}",
            wrong.answer.headers
        );
    }
}
