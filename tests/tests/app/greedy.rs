//! Apps and builds that take all they can get: each ends in a clear state with the reason in the instance, nothing of it
//! is left, and a neighbour is served all the time.

use std::path::Path;

use metapaas_tests::harness::{Installation, On, client, eventually};
use metapaas_tests::repository::Repository;
use serde_json::{Value, json};

use super::{App, samples};
use crate::PROGRAM;

const SETTINGS: &str =
    r#"{app={transports=["file"],drain_seconds=1,start_seconds=20,build_seconds=20,build_disk_mb=64}}"#;

/// Each process makes another, for as long as it may.
const FORKS: &str = r#"import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.5)
"#;

/// It keeps what it writes, until there is no room.
const FILLS: &str = r#"with open("/tmp/big", "wb") as file:
    while True:
        file.write(b"x" * (1 << 20))
"#;

/// What comes before the greeter: a thread that fills what there is, and goes on trying.
const HOARDS: &str = r#"import threading, time
def hoard():
    number = 0
    while True:
        try:
            with open(f"/tmp/{number}", "wb") as file:
                file.write(b"x" * (8 << 20))
            number += 1
        except OSError:
            time.sleep(0.1)
threading.Thread(target=hoard, daemon=True).start()
"#;

/// It takes memory until there is no more.
const GROWS: &str = "hoard = []\nwhile True:\n    hoard.append(bytearray(16 << 20))\n";

/// What comes before the greeter: words without end, as fast as they are taken.
const SHOUTS: &str = r#"import threading
def shout():
    while True:
        print("x" * 1000, flush=True)
threading.Thread(target=shout, daemon=True).start()
"#;

/// Processes of a node, by the marker in their environment.
fn processes(node: &str) -> usize {
    let marker = format!("METAPAAS_NODE={node}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments
        .filter(|bytes| bytes.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes()))
        .count()
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// What a neighbour says through the router.
async fn neighbour(installation: &Installation) -> Option<String> {
    let url = format!("http://{}/", installation.router_address());
    client().get(url).header("host", "neighbour.localhost").send().await.ok()?.text().await.ok()
}

async fn installation() -> Installation {
    let settings = [("METAPAAS_PLUGINS", SETTINGS), ("METAPAAS_ROUTER_LISTEN", "127.0.0.1:0")];
    let installation = Installation::start_with(PROGRAM, On::Sqlite, &settings).await;
    eventually("the router listens", || async { installation.router().is_some() }).await;
    let repository = Repository::new();
    repository.commit(&samples::PLAIN);
    let app = App::create(&installation, "neighbour", json!({ "repo": repository.url() })).await;
    app.active().await;
    eventually("a neighbour serves", || async { neighbour(&installation).await.as_deref() == Some("plain") })
        .await;
    installation
}

fn node_of(row: &Value, place: &str) -> String {
    let nodes = row["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["place"] == place);
    node.unwrap_or_else(|| panic!("no {place} in {row:#}"))["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_takes_all_it_can_get_is_held_and_told_why() {
    let installation = installation().await;
    let repository = Repository::new();
    repository.commit(&samples::GREETER);
    let body = json!({ "repo": repository.url(), "ram_mb": 256 });
    let app = App::create(&installation, "greedy", body).await;
    app.active().await;
    for (number, code, expected) in
        [(2, FORKS, "which is $PORT"), (3, FILLS, "exit status: 1"), (4, GROWS, "exit status: 1")]
    {
        repository.commit(&[("app.py", code)]);
        app.act("deploy", json!({})).await;
        eventually("the release has failed", || async {
            installation.get(&format!("{}/releases/{number}", app.path)).await.body["state"] == "FAILED"
        })
        .await;
        let broken = app.broken("HealthCheckFailed").await;
        let message = broken["conditions"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("release {number}:")), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("release 1 goes on serving"), "{message}");
        assert_eq!(app.says("/").await, "none");
        assert_eq!(neighbour(&installation).await.as_deref(), Some("plain"));
        if code == FORKS {
            let node = node_of(&broken, "web-2-0");
            let count = processes(&node);
            assert!((2..=520).contains(&count), "{count} processes");
        }
    }

    // Another release takes the place of all that.
    let greeter = samples::GREETER[0].1;
    let before = installation.get(&app.path).await.body;
    repository.commit(&[("app.py", &format!("{HOARDS}{SHOUTS}{greeter}"))]);
    app.act("deploy", json!({})).await;
    let serving = app.active().await;
    assert_eq!(serving["release"], 5);
    for node in before["nodes"].as_array().unwrap().iter().filter(|node| node["place"] != "build-0") {
        let id = node["id"].as_str().unwrap();
        eventually("nothing of an old node is left", || async { processes(id) == 0 }).await;
    }
    // It serves although its disk is full and nobody reads all that it says.
    let node = installation.data_dir().join("nodes").join(node_of(&serving, "web-5-0"));
    let log = node.join("log");
    eventually("its log has been moved aside", || async {
        std::fs::read_dir(&log).is_ok_and(|entries| entries.count() > 1) && size(&log) > 1 << 20
    })
    .await;
    for _ in 0..20 {
        assert_eq!(app.says("/").await, "none");
        assert_eq!(neighbour(&installation).await.as_deref(), Some("plain"));
        // It is looked at ten times a second; what is written in between is there, too.
        assert!(size(&log) < 400 << 20, "{} bytes of log", size(&log));
    }
    app.delete().await;
    assert_eq!(processes(node.file_name().unwrap().to_str().unwrap()), 0);
}

/// A script that npm runs before it installs.
fn package(script: &str) -> String {
    json!({ "name": "greedy", "version": "1.0.0", "scripts": { "start": "node app.js", "preinstall": script } })
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_takes_all_it_can_get_is_ended_and_told_why() {
    let installation = installation().await;
    for (name, script, expected) in [
        ("fills", "head -c 1G /dev/zero > big", "wrote a file of more than 64 MiB"),
        (
            "hoards",
            "for i in 1 2 3 4 5 6 7 8; do head -c 16M /dev/zero > $i; done; sleep 60",
            "more than 64 MiB on disk",
        ),
        ("waits", "sleep 3600", "the build took longer than 20s"),
        ("leaves", "sleep 3600 & true", ""),
        ("forks", "while true; do sleep 3600 & done", "npm install --no-audit ended with"),
    ] {
        let repository = Repository::new();
        repository.commit(&[("package.json", &package(script)), ("app.js", "require('http')")]);
        let app = App::create(&installation, name, json!({ "repo": repository.url() })).await;
        let row = if expected.is_empty() {
            app.broken("HealthCheckFailed").await
        } else {
            let broken = app.broken("BuildFailed").await;
            let message = broken["conditions"][0]["message"].as_str().unwrap();
            assert!(message.contains(expected), "{name}: {message}");
            let log = app.release(1).await["build_log"].as_str().unwrap().len();
            assert!(log < 2 << 20, "{name}: a log of {log} bytes");
            broken
        };
        // The agent and the builder are what is left of it.
        let builder = node_of(&row, "build-0");
        eventually("nothing of the build is left", || async { processes(&builder) <= 2 }).await;
        assert_eq!(neighbour(&installation).await.as_deref(), Some("plain"), "{name}");
        let work = installation.data_dir().join("nodes").join(&builder).join("work/workspace");
        assert!(size(&work.join("app")) < 200 << 20, "{name}");
        app.delete().await;
    }
}
