//! Logs of apps: lines of all nodes, also those that are gone, read and followed, at any control plane.

use std::time::{Duration, Instant};

use metapaas_tests::harness::{Installation, On, PATIENCE, eventually};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{App, Repository, installation, samples};
use crate::on_both;

on_both!(what_apps_write_is_read_and_followed);

/// `GET .../logs` as an open answer.
async fn open(at: &Installation, token: &str, app: &App<'_>, query: &str) -> Response {
    let url = format!("{}{}/logs{query}", at.url, app.path);
    // Whoever follows reads for as long as the test takes.
    at.client().get(url).bearer_auth(token).timeout(10 * PATIENCE).send().await.unwrap()
}

async fn read(at: &Installation, app: &App<'_>, query: &str) -> String {
    let answer = open(at, &at.token, app, query).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"text/plain; charset=utf-8".parse().unwrap())
    );
    answer.text().await.unwrap()
}

/// Lines as they come.
struct Followed {
    answer: Response,
    text: String,
}

impl Followed {
    async fn until(&mut self, wanted: &str) {
        let reading = async {
            while !self.text.contains(wanted) {
                let chunk = self.answer.chunk().await.unwrap();
                self.text.push_str(std::str::from_utf8(&chunk.expect("the stream goes on")).unwrap());
            }
        };
        let ended = tokio::time::timeout(PATIENCE, reading).await;
        assert!(ended.is_ok(), "{wanted:?} is not in {}", self.text);
    }
}

async fn what_apps_write_is_read_and_followed(on: On) {
    let first = installation(on).await;
    // Agents talk to the first control plane; the second one reads.
    let second = if on == On::Postgres { Some(first.second().await) } else { None };
    let at = second.as_ref().unwrap_or(&first);
    let repository = Repository::new();
    repository.commit(&samples::TALKER);
    let mut app = App::create(&first, "talker", json!({ "repo": repository.url(), "replicas": 2 })).await;
    app.beside = second.as_ref();
    app.active().await;
    eventually("both nodes tell their lines", || async {
        let text = read(at, &app, "?tail=1000").await;
        [
            "web-1-0[web]: started with nothing",
            "web-1-1[web]: started with nothing",
            "web-1-0[web]: to standard error",
        ]
        .iter()
        .all(|line| text.contains(line))
    })
    .await;
    assert_eq!(read(at, &app, "?tail=1").await.lines().count(), 1);
    assert!(!read(at, &app, "?tail=1000&node=web-1-1").await.contains("web-1-0"));
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    assert_eq!(read(at, &app, &format!("?since={now}")).await, "");
    let refused = |query: &'static str| async { open(at, &at.token, &app, query).await.status().as_u16() };
    assert_eq!((refused("?node=web-9-9").await, refused("?tail=many").await), (404, 400));

    let answer = open(at, &at.token, &app, "?tail=0&follow=true").await;
    let mut followed = Followed { answer, text: String::new() };
    app.says("/say/first-words").await;
    followed.until("web-1-0[web]: first-words\n").await;
    app.act("restart", json!({})).await;
    app.active().await;
    for node in ["web-1-0", "web-1-1"] {
        followed.until(&format!("{node}[web]: started with nothing\n")).await;
    }
    app.set_env("GREETING", "flowers").await;
    app.active().await;
    for node in ["web-2-0", "web-2-1"] {
        followed.until(&format!("{node}[web]: started with flowers\n")).await;
    }
    assert_eq!(followed.text.matches("first-words").count(), 1, "{}", followed.text);

    eventually("the nodes of the first release are gone", || async {
        app.active().await["nodes"].as_array().unwrap().len() == 3
    })
    .await;
    let text = read(at, &app, "?tail=1000&node=web-1-0").await;
    assert!(text.contains("web-1-0[web]: first-words\n"), "what the first release said is kept: {text}");

    app.says("/flood/150000").await;
    followed.until("the flood is over\n").await;
    assert!(
        followed.text.contains("left out") || followed.text.len() > 15_000_000,
        "nothing is lost in silence"
    );
    assert!(read(at, &app, "?tail=1&node=web-2-0").await.ends_with("the flood is over\n"));
    drop(followed);

    let project = first.default_project().await;
    let role = json!({ "name": "reader", "project_id": project, "permissions": ["app.instances.read"] });
    let _ = first.call(Method::POST, "/v1/iam/roles", role).await.expect(201);
    let (viewer, reader) =
        (first.user("vera", &project, "viewer").await, first.user("rita", &project, "reader").await);
    eventually("both are known", || async { open(at, &viewer, &app, "").await.status() == 200 }).await;
    assert_eq!(open(at, &reader, &app, "").await.status(), 403);
    let answer = open(at, &viewer, &app, "?follow=true").await;
    let mut lost = Followed { answer, text: String::new() };
    let _ = first.call(Method::DELETE, "/v1/iam/users/vera", Value::Null).await.expect(204);
    let ended =
        tokio::time::timeout(PATIENCE, async { while lost.answer.chunk().await.unwrap().is_some() {} });
    assert!(ended.await.is_ok(), "who loses the permission is told no more");
    lost.text.clear();

    let mut open_ones = Vec::new();
    let until = Instant::now() + PATIENCE;
    let refused = loop {
        assert!(Instant::now() < until, "{} followers after {PATIENCE:?}", open_ones.len());
        let answer = open(at, &at.token, &app, "?tail=0&follow=true&node=web-2-0").await;
        match answer.status().as_u16() {
            200 => open_ones.push(answer),
            // A busy machine may need another try for the database.
            503 => tokio::time::sleep(Duration::from_millis(200)).await,
            _ => break answer.status(),
        }
    };
    assert_eq!((refused.as_u16(), open_ones.len()), (429, 32));
    drop(open_ones);
    eventually("clients that are gone make room", || async {
        open(at, &at.token, &app, "").await.status() == 200
    })
    .await;

    let shown = first.cli(&["logs", "talker", "--tail", "2", "--node", "web-2-1"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("web-2-1[web]: started with flowers"), "{shown}");
    app.delete().await;
}
