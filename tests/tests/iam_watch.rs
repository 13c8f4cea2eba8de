//! `Accept: text/event-stream` on the lists below `/v1/iam/`, on both databases.

use std::collections::BTreeMap;

use metapaas_tests::harness::{Installation, On};
use metapaas_tests::sse::{Event, Stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    lists_of_iam_are_streams_that_add_up_to_the_list,
    a_stream_of_iam_goes_on_or_says_that_something_has_changed,
    a_stream_of_iam_shows_what_may_be_watched_and_ends_with_the_right,
);

const LISTS: [&str; 6] = [
    "/v1/iam/users",
    "/v1/iam/projects",
    "/v1/iam/roles",
    "/v1/iam/bindings",
    "/v1/iam/service-accounts",
    "/v1/iam/service-accounts/robot/tokens",
];

/// What events add up to.
fn fold(rows: &mut BTreeMap<String, Value>, events: &[Event]) {
    for event in events {
        let Some(id) = event.object["id"].as_str() else { continue };
        let before = match event.kind.as_str() {
            "DELETED" => rows.remove(id),
            _ => rows.insert(id.to_owned(), event.object.clone()),
        };
        assert_eq!(before.is_none(), event.kind == "ADDED", "{event:?}");
    }
}

async fn listed(installation: &Installation, path: &str) -> BTreeMap<String, Value> {
    let list = installation.get(&format!("{path}?limit=1000")).await.expect(200).body;
    let items = list["items"].as_array().unwrap().iter();
    items.map(|row| (row["id"].as_str().unwrap().to_owned(), row.clone())).collect()
}

async fn lists_of_iam_are_streams_that_add_up_to_the_list(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    // What another control plane changes is told as well.
    let second = if on == On::Postgres { Some(installation.second().await) } else { None };
    let writer = second.as_ref().unwrap_or(&installation);
    let project = installation.default_project().await;
    let account = json!({ "name": "robot", "project_id": project });
    let _ = installation.call(Method::POST, "/v1/iam/service-accounts", account).await.expect(201);
    for index in 0..3 {
        let user = json!({ "name": format!("user-{index}") });
        let _ = installation.call(Method::POST, "/v1/iam/users", user).await.expect(201);
    }
    // More than a stream reads at a time.
    for index in 0..101 {
        let project = json!({ "name": format!("project-{index}") });
        let _ = installation.call(Method::POST, "/v1/iam/projects", project).await.expect(201);
    }
    let mut streams = Vec::new();
    for path in LISTS {
        let mut stream = Stream::open(&installation, path, None).await;
        let first = stream.until(|event| event.kind == "SYNCED").await;
        assert!(
            first.iter().rev().skip(1).all(|event| event.kind == "ADDED" && event.id.is_none()),
            "{path}"
        );
        let mut rows = BTreeMap::new();
        fold(&mut rows, &first);
        assert_eq!(rows, listed(&installation, path).await, "{path}");
        streams.push((path, stream, rows));
    }
    let post = async |path: &str, body: Value| writer.call(Method::POST, path, body).await.expect(201).body;
    let made = post("/v1/iam/projects", json!({ "name": "other" })).await;
    let user = json!({ "kind": "user", "name": "user-0" });
    let role = json!({ "name": "painter", "project_id": project, "permissions": ["demo.*.read"] });
    let _ = post("/v1/iam/roles", role).await;
    let principal = json!({ "kind": "user", "id": listed(&installation, "/v1/iam/users").await
        .into_iter().find(|(_, row)| row["name"] == user["name"]).unwrap().0 });
    let binding = json!({ "project_id": project, "principal": principal, "role": "painter" });
    let binding = post("/v1/iam/bindings", binding).await;
    let _ = post("/v1/iam/service-accounts/robot/tokens", json!({})).await;
    let _ = post("/v1/iam/service-accounts", json!({ "name": "brush", "project_id": project })).await;
    let change = async |method: Method, path: String, body: Value, status: u16| {
        let _ = writer.call(method, &path, body).await.expect(status);
    };
    change(Method::PATCH, "/v1/iam/users/user-1".into(), json!({ "disabled": true }), 200).await;
    change(Method::DELETE, "/v1/iam/users/user-2".into(), Value::Null, 204).await;
    change(Method::DELETE, format!("/v1/iam/bindings/{}", binding["id"].as_str().unwrap()), Value::Null, 204)
        .await;
    change(Method::DELETE, format!("/v1/iam/projects/{}", made["id"].as_str().unwrap()), Value::Null, 204)
        .await;
    for (path, mut stream, mut rows) in streams {
        let expected = listed(&installation, path).await;
        // What was made and is gone again is told or not.
        let _ = stream
            .until(|event| {
                fold(&mut rows, std::slice::from_ref(event));
                event.kind == "BOOKMARK" && rows == expected
            })
            .await;
    }
}

async fn a_stream_of_iam_goes_on_or_says_that_something_has_changed(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let users = "/v1/iam/users";
    let mut stream = Stream::open(&installation, users, None).await;
    stream.until(|event| event.kind == "SYNCED").await;
    let position = stream.position;
    drop(stream);
    let mut again = Stream::open(&installation, users, position).await;
    let first = again.must().await;
    assert_eq!((first.kind.as_str(), first.id), ("BOOKMARK", position), "nothing has changed since");
    let vera = json!({ "name": "vera" });
    let _ = installation.call(Method::POST, users, vera).await.expect(201);
    let told = again.until(|event| event.kind == "BOOKMARK" && event.id != position).await;
    assert_eq!((told.len(), told[0].kind.as_str(), &told[0].object["name"]), (2, "ADDED", &json!("vera")));
    let url = format!("{}{users}", installation.url);
    let text = position.unwrap().to_string();
    let refused = Stream::try_open(&url, &installation.token, Some(&text)).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (410, &json!("EXPIRED")));
    for (query, token, status) in [
        ("?limit=5", installation.token.as_str(), 400),
        ("?last_event_id=x", &installation.token, 400),
        ("", "nonsense", 401),
    ] {
        let refused = Stream::try_open(&format!("{url}{query}"), token, None).await.unwrap_err();
        assert_eq!(refused.status, status, "{query}");
    }
}

async fn a_stream_of_iam_shows_what_may_be_watched_and_ends_with_the_right(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    let other =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await.expect(201);
    let vera = installation.user("vera", &project, "viewer").await;
    let open = async |path: &str| Stream::try_open(&format!("{}{path}", installation.url), &vera, None).await;
    assert_eq!(open("/v1/iam/users").await.unwrap_err().status, 403, "people are the platform's");
    let of_other = format!("/v1/iam/bindings?project_id={}", other.body["id"].as_str().unwrap());
    assert_eq!(open(&of_other).await.unwrap_err().status, 404);
    let mut projects = open("/v1/iam/projects").await.unwrap();
    let first = projects.until(|event| event.kind == "SYNCED").await;
    assert_eq!((first.len(), &first[0].object["name"]), (2, &json!("default")));
    let mut bindings = open("/v1/iam/bindings").await.unwrap();
    let first = bindings.until(|event| event.kind == "SYNCED").await;
    assert!(
        first.len() > 1
            && first.iter().rev().skip(1).all(|event| event.object["project_id"] == project.as_str())
    );
    let own = first.iter().find(|event| event.object["principal"]["name"] == "vera").unwrap();
    let path = format!("/v1/iam/bindings/{}", own.object["id"].as_str().unwrap());
    let _ = installation.call(Method::DELETE, &path, Value::Null).await.expect(204);
    for stream in [&mut projects, &mut bindings] {
        let told = stream.until(|event| event.kind == "ERROR").await;
        assert_eq!(told.last().unwrap().object["code"], "FORBIDDEN");
        assert!(stream.next().await.is_none());
    }
}
