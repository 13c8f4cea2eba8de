//! `Accept: text/event-stream` on lists, on both databases.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use metapaas_tests::harness::{Installation, On, eventually, signal};
use metapaas_tests::sse::{Event, Fold, Stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    any_list_is_a_stream_of_added_synced_and_live_changes,
    last_event_id_resumes_without_loss_or_repeat,
    positions_that_cannot_be_are_refused,
    losing_the_right_to_see_closes_the_stream,
    a_watch_shows_only_what_the_caller_may_see,
    a_slow_reader_is_coalesced_and_never_buffered_without_bound,
    a_stop_ends_the_streams,
    filter_label_selector_and_fields_apply_to_watches,
);

const DEMO: &str = "/v1/types/demo/instances";
const ONE: &str = "/v1/types/demo/instances/my-demo";
const PAGES: &str = "/v1/types/demo/instances/my-demo/pages";

async fn with_demo(on: On) -> Installation {
    let installation = Installation::start(PROGRAM, on).await;
    make(&installation, "my-demo").await;
    installation
}

async fn make(installation: &Installation, name: &str) -> Value {
    let project = installation.default_project().await;
    let body = json!({ "name": name, "project_id": project, "greeting": "hi" });
    installation.call(Method::POST, DEMO, body).await.expect(201).body
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

async fn any_list_is_a_stream_of_added_synced_and_live_changes(on: On) {
    let installation = with_demo(on).await;
    let settled = installation.active(ONE).await;
    let project = installation.default_project().await;
    let page = json!({ "path": "home", "text": "x" });
    let page = installation.call(Method::POST, PAGES, page).await.expect(201).body;
    installation.active(&format!("{PAGES}/home")).await;

    let mut all = Stream::open(&installation, DEMO, None).await;
    let mut of_project = Stream::open(&installation, &format!("{DEMO}?project_id={project}"), None).await;
    let mut pages = Stream::open(&installation, PAGES, None).await;
    for stream in [&mut all, &mut of_project] {
        let first = stream.until(|event| event.kind == "SYNCED").await;
        assert_eq!(kinds(&first), ["ADDED", "SYNCED"]);
        assert_eq!(first[0].object["id"], settled["id"]);
        assert_eq!((first[0].id, first[0].object["greeting"].as_str()), (None, Some("hi")));
        assert!(first[1].id.is_some(), "a client that comes back before SYNCED begins anew");
    }
    let first = pages.until(|event| event.kind == "SYNCED").await;
    assert_eq!(kinds(&first), ["ADDED", "SYNCED"]);
    assert_eq!(first[0].object["path"], "home");

    // A change of a child is one of its instance as well.
    let changed = json!({ "text": "y" });
    let changed = installation.call(Method::PATCH, &format!("{PAGES}/home"), changed).await.expect(200).body;
    let told = pages.until(|event| event.object["text"] == "y").await;
    assert_eq!(told.last().unwrap().kind, "MODIFIED");
    assert!(told.last().unwrap().id >= changed["revision"].as_i64());
    let generation = settled["generation"].as_i64().unwrap();
    for stream in [&mut all, &mut of_project] {
        let told = stream.until(|event| event.object["generation"].as_i64() > Some(generation + 1)).await;
        assert!(told.iter().all(|event| event.kind == "MODIFIED" && event.object["type"] == "demo"));
    }

    let other = make(&installation, "other").await;
    for stream in [&mut all, &mut of_project] {
        let is_other = |event: &Event| event.object["id"] == other["id"];
        let told = stream.until(|event| is_other(event) && event.object["status"] == "ACTIVE").await;
        assert_eq!(told.iter().find(|event| is_other(event)).unwrap().kind, "ADDED");
    }
    let _ = installation.call(Method::DELETE, &format!("{PAGES}/home"), Value::Null).await.expect(202);
    let told = pages.until(|event| event.kind == "DELETED").await;
    let gone = &told.last().unwrap().object;
    assert_eq!(
        (&gone["id"], &gone["key"], &gone["type"]),
        (&page["id"], &json!("home"), &json!("demo/pages"))
    );
    assert_eq!((&gone["project_id"], &gone["instance_id"]), (&json!(project), &settled["id"]));
    let _ = installation.call(Method::DELETE, &format!("{DEMO}/other"), Value::Null).await.expect(202);
    for stream in [&mut all, &mut of_project] {
        let told = stream.until(|event| event.kind == "DELETED").await;
        let gone = told.last().unwrap();
        assert_eq!((&gone.object["id"], &gone.object["key"]), (&other["id"], &json!("other")));
        assert_eq!(gone.id, gone.object["revision"].as_i64());
    }
}

async fn last_event_id_resumes_without_loss_or_repeat(on: On) {
    let installation = with_demo(on).await;
    installation.active(ONE).await;
    let mut fold = Fold::default();
    let mut stream = Stream::open(&installation, DEMO, None).await;
    for event in stream.until(|event| event.kind == "SYNCED").await {
        fold.take(&event);
    }
    for round in 0..5 {
        let position = stream.position;
        drop(stream);
        for change in 0..3 {
            let body = json!({ "description": format!("{round}-{change}") });
            let _ = installation.call(Method::PATCH, ONE, body).await.expect(200);
        }
        if round == 1 {
            make(&installation, "late").await;
        }
        if round == 3 {
            let _ = installation.call(Method::DELETE, &format!("{DEMO}/late"), Value::Null).await.expect(202);
            eventually("it is gone", || async {
                installation.get(&format!("{DEMO}/late")).await.status == 404
            })
            .await;
        }
        stream = Stream::open(&installation, DEMO, position).await;
        let wanted = format!("{round}-2");
        let told = stream.until(|event| event.object["description"] == wanted.as_str()).await;
        for event in &told {
            assert_ne!(event.kind, "SYNCED", "no first items are told again");
            fold.take(event);
        }
    }
    // With nothing missed it says at once where it is.
    let rest = stream.until(|event| event.kind == "BOOKMARK").await;
    rest.iter().for_each(|event| fold.take(event));
    let url = format!("{DEMO}?last_event_id={}", stream.position.unwrap());
    let mut again = Stream::open(&installation, &url, None).await;
    assert_eq!(again.must().await.kind, "BOOKMARK");
    let list = installation.get(DEMO).await.body;
    let listed: Vec<&Value> = list["items"].as_array().unwrap().iter().collect();
    assert_eq!(fold.rows.values().collect::<Vec<_>>(), listed);
}

async fn positions_that_cannot_be_are_refused(on: On) {
    let installation = with_demo(on).await;
    for path in [DEMO, "/v1/events"] {
        for position in ["99999999", "x", "-1", "1.5", "99999999999999999999"] {
            let url = format!("{}{path}", installation.url);
            let refused = Stream::try_open(&url, &installation.token, Some(position)).await.unwrap_err();
            assert_eq!((refused.status.as_u16(), &refused.body["code"]), (400, &json!("INVALID_REQUEST")));
            assert_eq!(refused.body["errors"][0]["pointer"], "Last-Event-ID");
        }
    }
    let url = format!("{}{DEMO}?limit=5", installation.url);
    let refused = Stream::try_open(&url, &installation.token, None).await.unwrap_err();
    assert_eq!(refused.status, 400, "a stream has no pages");
    let url = format!("{}/v1/types/demo/instances/nobody/pages", installation.url);
    assert_eq!(Stream::try_open(&url, &installation.token, None).await.unwrap_err().status, 404);
    assert_eq!(Stream::try_open(&url, "nonsense", None).await.unwrap_err().status, 401);
}

async fn losing_the_right_to_see_closes_the_stream(on: On) {
    let installation = with_demo(on).await;
    let project = installation.default_project().await;
    let vera = installation.user("vera", &project, "viewer").await;
    let olga = installation.user("olga", &project, "owner").await;
    let open = async |token: &str, path: &str| {
        Stream::try_open(&format!("{}{path}", installation.url), token, None).await.unwrap()
    };
    let mut watch = open(&vera, DEMO).await;
    let mut pages = open(&vera, PAGES).await;
    let mut events = open(&vera, "/v1/events").await;
    let mut other = open(&olga, DEMO).await;
    for stream in [&mut watch, &mut pages, &mut events, &mut other] {
        stream.until(|event| event.kind == "SYNCED").await;
    }
    let bindings = installation.get("/v1/iam/bindings?limit=1000").await.expect(200).body;
    let binding = bindings["items"].as_array().unwrap().iter().find(|one| one["principal"]["name"] == "vera");
    let path = format!("/v1/iam/bindings/{}", binding.unwrap()["id"].as_str().unwrap());
    let _ = installation.call(Method::DELETE, &path, Value::Null).await.expect(204);
    let body = json!({ "description": "after the right was lost" });
    let _ = installation.call(Method::PATCH, ONE, body).await.expect(200);
    for stream in [&mut watch, &mut pages, &mut events] {
        let told = stream.until(|event| event.kind == "ERROR").await;
        assert_eq!(told.last().unwrap().object["code"], "FORBIDDEN");
        assert!(told.iter().all(|event| event.object["description"] != "after the right was lost"));
        assert!(stream.next().await.is_none());
    }
    other.until(|event| event.object["description"] == "after the right was lost").await;
    let _ = installation.call(Method::DELETE, "/v1/iam/users/olga", Value::Null).await.expect(204);
    let told = other.until(|event| event.kind == "ERROR").await;
    assert_eq!(told.last().unwrap().object["code"], "UNAUTHENTICATED");
    assert!(other.next().await.is_none());
}

async fn a_watch_shows_only_what_the_caller_may_see(on: On) {
    let installation = with_demo(on).await;
    let hidden = installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "hidden" })).await;
    let hidden = hidden.expect(201).body["id"].as_str().unwrap().to_owned();
    let project = installation.default_project().await;
    let vera = installation.user("vera", &project, "viewer").await;
    let body = json!({ "name": "secret", "project_id": hidden, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    for (path, items) in [(DEMO.to_owned(), 1), (format!("{DEMO}?project_id={hidden}"), 0)] {
        let url = format!("{}{path}", installation.url);
        let mut stream = Stream::try_open(&url, &vera, None).await.unwrap();
        let first = stream.until(|event| event.kind == "SYNCED").await;
        let added = first.iter().filter(|event| event.kind == "ADDED").count();
        assert_eq!(added, items, "{path}");
        let description = json!({ "description": path });
        let _ = installation
            .call(Method::PATCH, &format!("{DEMO}/secret?project_id={hidden}"), description)
            .await;
        let seen = json!({ "description": format!("seen {items}") });
        let _ = installation.call(Method::PATCH, ONE, seen.clone()).await.expect(200);
        if items == 1 {
            let told = stream.until(|event| event.object["description"] == seen["description"]).await;
            assert!(told.iter().all(|event| event.object["name"] == "my-demo"));
        } else {
            assert!(stream.is_quiet().await);
        }
    }
    let url = format!("{}/v1/types/demo/instances/secret/pages", installation.url);
    assert_eq!(Stream::try_open(&url, &vera, None).await.unwrap_err().status, 404);
}

async fn filter_label_selector_and_fields_apply_to_watches(on: On) {
    let installation = with_demo(on).await;
    let other = make(&installation, "other").await;
    installation.active(ONE).await;
    installation.active(&format!("{DEMO}/other")).await;
    let label = async |name: &str, labels: Value| {
        let path = format!("{DEMO}/{name}");
        let _ = installation.call(Method::PATCH, &path, json!({ "labels": labels })).await.expect(200);
    };
    let mut by_name =
        Stream::open(&installation, &format!("{DEMO}?filter=name:my&fields=id,name,labels"), None).await;
    let first = by_name.until(|event| event.kind == "SYNCED").await;
    assert_eq!(kinds(&first), ["ADDED", "SYNCED"]);
    let mut members: Vec<&String> = first[0].object.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["id", "labels", "name"]);
    let mut by_label = Stream::open(&installation, &format!("{DEMO}?label_selector=tier%3Dweb"), None).await;
    assert_eq!(by_label.must().await.kind, "SYNCED");
    let mut by_field = Stream::open(&installation, &format!("{DEMO}?name=other"), None).await;
    let first = by_field.until(|event| event.kind == "SYNCED").await;
    assert_eq!((kinds(&first), &first[0].object["id"]), (vec!["ADDED", "SYNCED"], &other["id"]));

    // A row is added when it begins to fit, and deleted when it no longer does.
    label("other", json!({ "tier": "web" })).await;
    let told = by_label.until(|event| event.object["id"] == other["id"]).await;
    assert_eq!(told.last().unwrap().kind, "ADDED");
    label("other", json!({ "tier": "web", "more": "x" })).await;
    let told = by_label.until(|event| event.object["labels"]["more"] == "x").await;
    assert_eq!(told.last().unwrap().kind, "MODIFIED");
    label("other", json!({ "tier": null })).await;
    let told = by_label.until(|event| event.kind != "BOOKMARK").await;
    let gone = told.last().unwrap();
    assert_eq!((gone.kind.as_str(), &gone.object["key"]), ("DELETED", &json!("other")));
    label("my-demo", json!({ "seen": "y" })).await;
    let told = by_name.until(|event| event.object["labels"]["seen"] == "y").await;
    assert!(told.iter().all(|event| event.object["name"] != "other"));
    for query in ["filter=nonsense", "label_selector=%3D", "fields=none", "order_by=name", "greeting=hi"] {
        let url = format!("{}{DEMO}?{query}", installation.url);
        assert_eq!(
            Stream::try_open(&url, &installation.token, None).await.unwrap_err().status,
            400,
            "{query}"
        );
    }
}

async fn a_stop_ends_the_streams(on: On) {
    let mut installation = with_demo(on).await;
    let mut watch = Stream::open(&installation, DEMO, None).await;
    let mut events = Stream::open(&installation, "/v1/events", None).await;
    for stream in [&mut watch, &mut events] {
        stream.until(|event| event.kind == "SYNCED").await;
    }
    assert!(installation.stop());
    while watch.next().await.is_some() {}
    while events.next().await.is_some() {}
    assert!(!installation.read_log().contains("cut off"), "nothing had to be cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_follows_changes_until_ctrl_c() {
    let installation = with_demo(On::Sqlite).await;
    installation.active(ONE).await;
    let start = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env_clear().env("METAPAAS_DATA_DIR", installation.data_dir());
        command.env("HOME", installation.data_dir()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        (process, lines)
    };
    let (mut watch, mut lines) = start(&["watch", "demo"]);
    let (mut json, mut documents) = start(&["watch", "demo", "-o", "json"]);
    let (mut events, mut history) = start(&["events", "demo/my-demo", "--follow"]);
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.starts_with("ADDED") && first.contains("demo/my-demo") && first.contains("ACTIVE"),
        "{first}"
    );
    let _ = installation.call(Method::PATCH, ONE, json!({ "greeting": "seen" })).await.expect(200);
    let changed = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("MODIFIED")).unwrap();
    assert!(changed.trim_end().ends_with('2'), "the generation comes last: {changed}");
    let is_change = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["type"] == "MODIFIED" && event["object"]["greeting"] == "seen"
    };
    assert!(documents.by_ref().map(Result::unwrap).any(|line| is_change(&line)));
    assert!(
        history
            .by_ref()
            .map(Result::unwrap)
            .any(|line| line.contains("updated") && line.contains("by local-cli"))
    );
    for process in [&mut watch, &mut json, &mut events] {
        signal(process.id(), rustix::process::Signal::INT);
        assert_eq!(process.wait().unwrap().code(), Some(130));
    }
    let listed = installation.cli(&["events", "demo/my-demo", "--limit", "1"]);
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stdout).lines().count() == 1);
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

async fn a_slow_reader_is_coalesced_and_never_buffered_without_bound(on: On) {
    let mut installation = with_demo(on).await;
    // On a busy machine the client may not read for longer than connections are kept that take nothing.
    installation.stop();
    std::fs::write(installation.data_dir().join("metapaas.toml"), "write_timeout = 3600\n").unwrap();
    installation.up().await;
    installation.active(ONE).await;
    // Pages of text make each change large: together they are many times what may be kept.
    let text = "x".repeat(60_000);
    for index in 0..4 {
        let page = json!({ "path": format!("page-{index}"), "text": text });
        let _ = installation.call(Method::POST, PAGES, page).await.expect(201);
    }
    let mut fold = Fold::default();
    let mut stream = Stream::open(&installation, PAGES, None).await;
    for event in stream.until(|event| event.kind == "SYNCED").await {
        fold.take(&event);
    }
    // Connections are kept, since there are many changes.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let change = async |round: usize| {
        for index in 0..4 {
            let url = format!("{}{PAGES}/page-{index}", installation.url);
            let body = json!({ "text": format!("{round} {text}") });
            let sent = client.patch(url).bearer_auth(&installation.token).json(&body).send().await;
            assert_eq!(sent.unwrap().status(), 200);
        }
    };
    // What is kept for all watches is full before anything is measured.
    for round in 0..40 {
        change(round).await;
    }
    let before = resident(installation.pid());
    const ROUNDS: usize = 160;
    for round in 0..ROUNDS {
        change(round).await;
    }
    let grown = resident(installation.pid()).saturating_sub(before);
    let written = (ROUNDS * 4 * text.len()) as u64;
    assert!(grown < written / 4 * 3, "it grew by {grown} bytes while {written} were written");
    let list = installation.get(PAGES).await.body;
    let mut told = 0;
    let newest = |fold: &Fold, list: &Value| {
        let items = list["items"].as_array().unwrap();
        items.iter().all(|item| {
            let row = fold.rows.get(item["id"].as_str().unwrap());
            row.is_some_and(|row| row["text"] == item["text"])
        })
    };
    while !newest(&fold, &list) {
        let event = stream.must().await;
        told += 1;
        fold.take(&event);
    }
    // Kernels hold some of what was sent; all that did not fit there was coalesced.
    assert!(told < ROUNDS * 4, "{told} events for {ROUNDS} rounds of changes that nobody read");
}
