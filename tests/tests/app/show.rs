//! A load through the router while one after the other dies: a process of the app, an agent, the control plane; at rest,
//! and in the middle of a redeploy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use metapaas_tests::harness::{Installation, On, eventually, is_running, recorded_pid, signal};
use metapaas_tests::repository::Repository;
use rustix::process::Signal;
use serde_json::json;

use super::load::{CLIENTS, Load};
use super::{App, SETTINGS, samples};
use crate::PROGRAM;

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    App,
    Agent,
    ControlPlane,
}

/// Folders of the nodes of the release that serves, by place.
async fn nodes(installation: &Installation, path: &str) -> BTreeMap<String, PathBuf> {
    let app = installation.active(path).await;
    let serving = format!("web-{}-", app["release"]);
    let folder = |node: &serde_json::Value| {
        let place = node["place"].as_str()?.starts_with(&serving).then(|| node["place"].as_str())??;
        let folder = installation.data_dir().join("nodes").join(node["id"].as_str()?);
        Some((place.to_owned(), folder))
    };
    app["nodes"].as_array().unwrap().iter().filter_map(folder).collect()
}

/// Kills a process and waits until another is in its place, unless its node goes first.
async fn kill(record: &Path) {
    let pid = recorded_pid(record).unwrap();
    signal(pid, Signal::KILL);
    eventually("another one runs, or none is wanted", || async {
        !record.exists() || recorded_pid(record).is_some_and(|other| other != pid && is_running(other))
    })
    .await;
}

async fn dies(victim: Victim, installation: &mut Installation, folder: &Path, greeting: Option<&str>) {
    match victim {
        Victim::App => kill(&folder.join("run/web.json")).await,
        Victim::Agent => {
            let app = recorded_pid(&folder.join("run/web.json")).unwrap();
            kill(&folder.join("agent.json")).await;
            // In a redeploy its time may be over.
            assert!(greeting.is_some() || is_running(app), "the app outlives its agent");
        }
        Victim::ControlPlane => installation.kill(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_goes_on_whoever_dies() {
    let settings = [("METAPAAS_PLUGINS", SETTINGS), ("METAPAAS_ROUTER_LISTEN", "127.0.0.1:0")];
    let mut installation = Installation::start_with(PROGRAM, On::Sqlite, &settings).await;
    eventually("the router listens", || async { installation.router().is_some() }).await;
    let repository = Repository::new();
    repository.commit(&samples::GREETER);
    let path = {
        let body = json!({ "repo": repository.url(), "replicas": 2 });
        let app = App::create(&installation, "busy", body).await;
        app.set_env("GREETING", "first").await;
        app.active().await;
        app.path.clone()
    };
    let load = Load::start(&installation.router_address(), "busy.localhost");
    load.hears("first").await;
    let _ = load.failures().await;

    let victims = [Victim::App, Victim::Agent, Victim::ControlPlane];
    let at_rest = victims.map(|victim| (victim, None));
    let in_a_redeploy =
        [(Victim::App, Some("2")), (Victim::Agent, Some("3")), (Victim::ControlPlane, Some("4"))];
    for (victim, greeting) in at_rest.into_iter().chain(in_a_redeploy) {
        let folders = nodes(&installation, &path).await;
        assert_eq!(folders.len(), 2, "{folders:?}");
        if let Some(greeting) = greeting {
            let path = format!("{path}/env-vars/GREETING");
            let change = json!({ "value": greeting });
            let _ = installation.call(reqwest::Method::PATCH, &path, change).await.expect(200);
        }
        let folder = folders.values().next().unwrap();
        dies(victim, &mut installation, folder, greeting).await;
        if victim == Victim::ControlPlane {
            let failures = load.failures().await;
            assert_eq!(failures, [""; 0], "without a control plane");
            installation.up().await;
        }
        if let Some(greeting) = greeting {
            load.hears(greeting).await;
        }
        assert_eq!(nodes(&installation, &path).await.len(), 2);
        let failures = load.failures().await;
        // A request that a process had taken when it died may be lost with it; nothing else may.
        let most = if victim == Victim::App { CLIENTS } else { 0 };
        assert!(failures.len() <= most, "{victim:?} {greeting:?}: {failures:#?}");
        assert!(failures.iter().all(|failure| failure.starts_with("502 ")), "{failures:#?}");
    }

    // Both processes of the last release serve: either alone will do.
    for folder in nodes(&installation, &path).await.values() {
        kill(&folder.join("run/web.json")).await;
        let failures = load.failures().await;
        assert!(failures.len() <= CLIENTS, "{failures:#?}");
    }
    load.end().await;
}
