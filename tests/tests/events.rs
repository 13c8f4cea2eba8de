//! `/v1/events`: who did what when, on both databases.

use metapaas_tests::harness::{Installation, On, eventually};
use metapaas_tests::sse::Stream;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    the_history_says_who_did_what_when,
    events_are_shown_as_far_as_the_caller_may_see,
    the_history_is_a_stream_too,
    a_position_older_than_retention_is_expired,
);

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/my-demo";
const PAGES: &str = "/v1/types/demo/instances/my-demo/pages";

async fn with_demo(on: On) -> Installation {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    installation.active(ONE).await;
    installation
}

async fn events(installation: &Installation, query: &str) -> Vec<Value> {
    let page = installation.get(&format!("/v1/events?{query}")).await.expect(200);
    page.body["items"].as_array().unwrap().clone()
}

fn seqs(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

async fn the_history_says_who_did_what_when(on: On) {
    let installation = with_demo(on).await;
    let project = installation.default_project().await;
    let olga = installation.user("olga", &project, "owner").await;
    let page = json!({ "path": "home", "text": "x" });
    let page = installation.call_as(&olga, Method::POST, PAGES, page).await.expect(201);
    let patched =
        installation.call_as(&olga, Method::PATCH, ONE, json!({ "greeting": "ho" })).await.expect(200);
    let _ =
        installation.call_as(&olga, Method::DELETE, &format!("{PAGES}/home"), Value::Null).await.expect(202);
    eventually("the page is gone", || async {
        installation.get(&format!("{PAGES}/home")).await.status == 404
    })
    .await;
    let request = patched.header("x-request-id").unwrap();
    let found = events(&installation, &format!("request_id={request}")).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    let event = &found[0];
    assert_eq!((&event["type"], &event["plural"]), (&json!("demo"), &json!("instances")));
    assert_eq!((&event["name"], &event["action"]), (&json!("my-demo"), &json!("updated")));
    assert_eq!((&event["actor"]["kind"], &event["actor"]["name"]), (&json!("user"), &json!("olga")));
    assert_eq!((&event["resource_id"], &event["seq"]), (&patched.body["id"], &patched.body["revision"]));
    assert_eq!((&event["project_id"], &event["generation"]), (&json!(project), &patched.body["generation"]));
    assert!(event["detail"].is_object() && event["at"].is_string());

    // What happened to a row stays when it is gone, by the row and by its instance.
    let id = page.body["id"].as_str().unwrap();
    let of_page = events(&installation, &format!("resource_id={id}&order_by=seq")).await;
    let actions: Vec<&str> = of_page.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!((actions.first(), actions.last()), (Some(&"created"), Some(&"deleted")));
    assert!(of_page.iter().all(|event| event["parent_id"] == patched.body["id"]));
    let instance = patched.body["id"].as_str().unwrap();
    let all = events(&installation, &format!("instance_id={instance}&limit=1000")).await;
    assert!(seqs(&all).is_sorted_by(|a, b| a > b), "the newest come first");
    let oldest_first =
        events(&installation, &format!("instance_id={instance}&limit=1000&order_by=seq")).await;
    assert_eq!(oldest_first, all.iter().rev().cloned().collect::<Vec<_>>());
    let child = all.iter().find(|event| event["action"] == "child").unwrap();
    assert_eq!(child["detail"]["child"]["plural"], "pages");

    for (query, expected) in [
        ("action=created", 2),
        ("action=created&plural=pages", 1),
        ("type=demo&plural=instances&action=created", 1),
        ("actor=olga&action=updated", 1),
        ("since=2999-01-01T00:00:00Z", 0),
        ("until=1999-01-01T00:00:00Z", 0),
        ("since=1999-01-01T00:00:00Z&action=created", 2),
        (&format!("project_id={project}&action=created"), 2),
        ("project_id=00000000-0000-0000-0000-000000000009", 0),
    ] {
        assert_eq!(events(&installation, query).await.len(), expected, "{query}");
    }
    for order in ["seq", "seq%20desc"] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let query =
                format!("/v1/events?instance_id={instance}&limit=2&order_by={order}&page_token={token}");
            let answer = installation.get(&query).await.expect(200).body;
            seen.extend(seqs(answer["items"].as_array().unwrap()));
            match answer["next_page_token"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        seen.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(seen, seqs(&all), "{order}");
    }
    for query in
        ["order_by=at", "type=none", "since=yesterday", "action=%00", "limit=0", "page_token=x", "x=1"]
    {
        let _ = installation.get(&format!("/v1/events?{query}")).await.expect(400);
    }
    let _ = installation.call(Method::POST, "/v1/events", json!({})).await.expect(405);
}

async fn events_are_shown_as_far_as_the_caller_may_see(on: On) {
    let installation = with_demo(on).await;
    let other = installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await;
    let other = other.expect(201).body["id"].as_str().unwrap().to_owned();
    let vera = installation.user("vera", &other, "viewer").await;
    let seen = installation.call_as(&vera, Method::GET, "/v1/events", Value::Null).await.expect(200);
    assert_eq!(seen.body["items"], json!([]));
    let body = json!({ "name": "theirs", "project_id": other, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    let seen =
        installation.call_as(&vera, Method::GET, "/v1/events?limit=1000", Value::Null).await.expect(200);
    let items = seen.body["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|event| event["project_id"] == other.as_str()));
    let _ = installation.call_as("nonsense", Method::GET, "/v1/events", Value::Null).await.expect(401);
}

async fn the_history_is_a_stream_too(on: On) {
    let installation = with_demo(on).await;
    let mut stream = Stream::open(&installation, "/v1/events?type=demo&action=updated", None).await;
    let first = stream.must().await;
    assert_eq!(first.kind, "SYNCED", "it begins with what happens from now on");
    let mut revisions = Vec::new();
    for index in 0..5 {
        let body = json!({ "description": format!("{index}") });
        let changed = installation.call(Method::PATCH, ONE, body).await.expect(200);
        revisions.push(changed.body["revision"].as_i64().unwrap());
    }
    let last = *revisions.last().unwrap();
    let told = stream.until(|event| event.id == Some(last)).await;
    let seqs: Vec<i64> = told.iter().map(|event| event.object["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, revisions, "no event is left out for a later one");
    assert!(told.iter().all(|event| event.kind == "ADDED" && event.id == event.object["seq"].as_i64()));
    // It goes on after any of them, and can begin with what there is.
    let mut resumed = Stream::open(&installation, "/v1/events?action=updated", Some(revisions[1])).await;
    let told = resumed.until(|event| event.kind == "BOOKMARK").await;
    let seqs: Vec<Option<i64>> = told.iter().map(|event| event.object["seq"].as_i64()).collect();
    assert_eq!(seqs[..3], [Some(revisions[2]), Some(revisions[3]), Some(revisions[4])]);
    let mut whole =
        Stream::open(&installation, "/v1/events?action=created&since=2000-01-01T00:00:00Z", None).await;
    let told = whole.until(|event| event.kind == "SYNCED").await;
    assert_eq!(told.iter().filter(|event| event.kind == "ADDED").count(), 1);
}

async fn a_position_older_than_retention_is_expired(on: On) {
    let mut installation = with_demo(on).await;
    installation.stop();
    // The shortest that the settings take would still keep what has just happened.
    let file = installation.data_dir().join("metapaas.toml");
    std::fs::write(&file, "event_retention = \"1m\"\n").unwrap();
    installation.age_events(3600).await;
    installation.up().await;
    eventually("old events are gone", || async {
        installation.get("/v1/events?limit=1000").await.body["items"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    for path in [DEMO, "/v1/events"] {
        let url = format!("{}{path}", installation.url);
        let expired = Stream::try_open(&url, &installation.token, Some("1")).await.unwrap_err();
        assert_eq!((expired.status.as_u16(), &expired.body["code"]), (410, &json!("EXPIRED")));
    }
    // The revision that a row is at is still good: nothing that follows it is gone.
    let revision = installation.get(ONE).await.body["revision"].as_i64().unwrap();
    let mut stream = Stream::open(&installation, DEMO, Some(revision)).await;
    assert_eq!(stream.must().await.kind, "BOOKMARK");
}
