//! The app type with real apps: built from repositories that the tests make, answered by the nodes that serve them.

mod bad;
mod book;
pub(crate) mod bound;
mod commands;
mod greedy;
mod hostile;
pub(crate) mod load;
mod logs;
mod routes;
pub(crate) mod run;
pub(crate) mod samples;
mod show;
mod ssh;
mod unruly;
mod uploads;

use std::time::Instant;

use metapaas_tests::harness::{Installation, On, PATIENCE, client, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use self::repository::{Repository, Server};
use crate::{PROGRAM, on_both};

pub(crate) use metapaas_tests::repository;

on_both!(an_app_is_deployed_changed_and_rolled_back);

/// What operators would set: repositories of the tests are files and http.
const SETTINGS: &str = r#"{app={transports=["http","file"],drain_seconds=1}}"#;

const APPS: &str = "/v1/types/app/instances";

async fn installation(on: On) -> Installation {
    Installation::start_with(PROGRAM, on, &[("METAPAAS_PLUGINS", SETTINGS)]).await
}

/// An app of an installation.
pub(crate) struct App<'a> {
    installation: &'a Installation,
    /// Another control plane that may have made its nodes.
    beside: Option<&'a Installation>,
    pub(crate) path: String,
}

impl<'a> App<'a> {
    pub(crate) async fn create(installation: &'a Installation, name: &str, mut body: Value) -> Self {
        body["name"] = json!(name);
        body["project_id"] = json!(installation.default_project().await);
        let _ = installation.call(Method::POST, APPS, body).await.expect(201);
        Self { installation, beside: None, path: format!("{APPS}/{name}") }
    }

    pub(crate) async fn act(&self, verb: &str, body: Value) -> Value {
        let path = format!("{}/actions/{verb}", self.path);
        self.installation.call(Method::POST, &path, body).await.expect(202).body
    }

    pub(crate) async fn set_env(&self, key: &str, value: &str) {
        let body = json!({ "key": key, "value": value });
        let path = format!("{}/env-vars", self.path);
        let _ = self.installation.call(Method::POST, &path, body).await.expect(201);
    }

    pub(crate) async fn active(&self) -> Value {
        self.installation.active(&self.path).await
    }

    /// The app once it is in ERROR for this reason.
    pub(crate) async fn broken(&self, reason: &str) -> Value {
        let mut last = Value::Null;
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            last = self.installation.get(&self.path).await.body;
            if last["status"] == "ERROR" && last["conditions"][0]["reason"] == reason {
                return last;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{} does not come to {reason}: {last:#}", self.path);
    }

    pub(crate) async fn release(&self, number: u64) -> Value {
        self.installation.get(&format!("{}/releases/{number}", self.path)).await.expect(200).body
    }

    /// A release has this state: its row is written before that of the app.
    async fn release_is(&self, number: u64, state: &str) {
        let release = self.release(number).await;
        assert_eq!(release["state"], state, "{release:#}");
    }

    /// What the first node of the release that serves answers.
    async fn says(&self, path: &str) -> String {
        let app = self.installation.get(&self.path).await.body;
        let place = format!("web-{}-0", app["release"]);
        let nodes = app["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["place"] == place.as_str()).unwrap();
        let id = node["id"].as_str().unwrap();
        let port = |at: &Installation| {
            std::fs::read_to_string(at.data_dir().join("nodes").join(id).join("work/port")).ok()
        };
        let port = port(self.installation).or_else(|| self.beside.and_then(port)).unwrap();
        let answer = client().get(format!("http://127.0.0.1:{port}{path}")).send().await.unwrap();
        answer.text().await.unwrap()
    }

    pub(crate) async fn delete(&self) {
        let _ = self.installation.call(Method::DELETE, &self.path, Value::Null).await.expect(202);
        eventually("the app is gone", || async { self.installation.get(&self.path).await.status == 404 })
            .await;
    }
}

async fn an_app_is_deployed_changed_and_rolled_back(on: On) {
    let installation = installation(on).await;
    let repository = Repository::new();
    repository.commit(&samples::FLASK);
    let server = Server::start(repository.folder());
    let app = App::create(&installation, "shop", json!({ "repo": server.url() })).await;
    let first = app.active().await;
    assert_eq!(first["release"], 1);
    assert_eq!(app.says("/").await, "one hello");

    app.set_env("GREETING", "good morning").await;
    let second = app.active().await;
    assert_eq!(second["release"], 2);
    assert_eq!(app.says("/").await, "one good morning");
    let (one, two) = (app.release(1).await, app.release(2).await);
    assert_eq!((&two["image"], &two["build"]), (&one["image"], &json!(1)), "nothing was built");
    app.release_is(1, "RETIRED").await;
    app.release_is(2, "SERVING").await;
    eventually("the nodes of the first release are gone", || async {
        app.active().await["nodes"].as_array().unwrap().len() == 2
    })
    .await;

    repository.commit(&[("app.py", &samples::FLASK[0].1.replace("one", "two"))]);
    app.act("deploy", json!({})).await;
    assert_eq!(app.active().await["release"], 3);
    assert_eq!(app.says("/").await, "two good morning");
    let log = app.release(3).await["build_log"].as_str().unwrap().to_owned();
    assert!(log.contains("dependencies have not changed"), "{log}");

    repository.remove("requirements.txt");
    app.act("deploy", json!({})).await;
    let broken = app.broken("BuildFailed").await;
    let message = broken["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("requirements.txt"), "{message}");
    assert!(message.contains("release 3 goes on serving"), "{message}");
    app.release_is(4, "FAILED").await;
    assert_eq!(app.says("/").await, "two good morning", "a failed build changes nothing");

    app.act("rollback", json!({ "release": 1 })).await;
    assert_eq!(app.active().await["release"], 5);
    assert_eq!(app.says("/").await, "one hello", "code and environment are those of the first release");
    let path = format!("{}/actions/rollback", app.path);
    let _ = installation.call(Method::POST, &path, json!({ "release": 4 })).await.expect(409);
    let _ = installation.call(Method::POST, &path, json!({ "release": 99 })).await.expect(400);

    app.act("stop", json!({})).await;
    assert_eq!(app.active().await["nodes"].as_array().unwrap().len(), 1, "only the builder is left");
    app.act("start", json!({})).await;
    app.active().await;
    assert_eq!(app.says("/").await, "one hello");
    app.delete().await;
    assert_eq!(installation.get(APPS).await.body["items"], json!([]));
    let left = std::fs::read_dir(installation.data_dir().join("nodes")).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "addresses").collect();
    assert_eq!(left.len(), 0, "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_of_both_languages_serve_side_by_side() {
    let installation = installation(On::Sqlite).await;
    let samples = [
        ("plain", &samples::PLAIN[..], "", "plain"),
        ("fast", &samples::FASTAPI[..], "services/api", r#"{"framework":"fastapi"}"#),
        ("express", &samples::EXPRESS[..], "", "express"),
    ];
    let mut apps = Vec::new();
    let mut repositories = Vec::new();
    for (name, files, subdir, answer) in samples {
        let repository = Repository::new();
        let placed: Vec<(String, &str)> = files
            .iter()
            .map(|(file, text)| {
                (std::path::Path::new(subdir).join(file).to_string_lossy().into_owned(), *text)
            })
            .collect();
        let placed: Vec<(&str, &str)> = placed.iter().map(|(file, text)| (file.as_str(), *text)).collect();
        repository.commit(&placed);
        let body = json!({ "repo": repository.url(), "subdir": subdir, "git_ref": "main", "ram_mb": 1024 });
        apps.push((App::create(&installation, name, body).await, answer));
        repositories.push(repository);
    }
    for (app, answer) in &apps {
        app.active().await;
        assert_eq!(app.says("/").await, *answer);
    }
}
