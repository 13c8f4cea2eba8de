//! A load through the router to an app in containers, while one after the other dies.

use metapaas_tests::docker::Docker;
use metapaas_tests::harness::{Installation, eventually, is_running, signal};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::apps::{SETTINGS, all_say, start, web};
use crate::app::load::{CLIENTS, Load};
use crate::app::repository::{Repository, Server};
use crate::app::{App, samples};

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    App,
    Agent,
    Killed,
    Removed,
    ControlPlane,
}

/// Kills the processes of a node's container that have this in their command line, and waits until others are in their
/// place.
async fn kill(docker: &Docker, node: &Value, text: &str) {
    let before = docker.pids(node, text).await;
    assert!(!before.is_empty(), "{text} runs");
    for pid in &before {
        signal(*pid, Signal::KILL);
    }
    eventually(&format!("another {text} runs"), || async {
        let now = docker.pids(node, text).await;
        !now.is_empty() && now.iter().all(|pid| !before.contains(pid))
    })
    .await;
}

/// The first node of the release that serves.
async fn node_of(installation: &Installation, path: &str) -> Value {
    let app = installation.active(path).await;
    let place = format!("web-{}-0", app["release"]);
    web(&app).into_iter().find(|node| node["place"] == place.as_str()).unwrap()
}

async fn dies(victim: Victim, docker: &Docker, installation: &mut Installation, node: &Value) {
    match victim {
        Victim::App => kill(docker, node, "node server.js").await,
        Victim::Agent => {
            let app = docker.pids(node, "node server.js").await;
            kill(docker, node, "metapaas agent --dir").await;
            assert!(is_running(app[0]), "the app outlives its agent");
        }
        Victim::Killed => docker.act(node, "kill").await,
        Victim::Removed => docker.remove(node).await,
        Victim::ControlPlane => installation.kill(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_goes_on_whoever_dies_in_containers() {
    let docker = Docker::new();
    let mut installation = start(&docker, SETTINGS).await;
    let repository = Repository::new();
    repository.commit(&samples::SERVER);
    let server = Server::start_on(repository.folder(), "0.0.0.0", &docker.host());
    let path = {
        let body = json!({ "repo": server.url(), "replicas": 2, "ram_mb": 256 });
        let app = App::create(&installation, "shop", body).await;
        app.set_env("GREETING", "first").await;
        app.active().await;
        app.path
    };
    all_say(&installation, 2, "one", "first").await;
    let load = Load::start(&installation.router_address(), "shop.localhost");
    assert_eq!(load.failures().await, [""; 0]);

    for victim in [Victim::App, Victim::Agent, Victim::Killed, Victim::Removed, Victim::ControlPlane] {
        let node = node_of(&installation, &path).await;
        dies(victim, &docker, &mut installation, &node).await;
        if victim == Victim::ControlPlane {
            assert_eq!(load.failures().await, [""; 0], "without a control plane");
            installation.up().await;
        }
        all_say(&installation, 2, "one", "first").await;
        let failures = load.failures().await;
        // A request that a process had taken when it died may be lost with it; nothing else may.
        let most = if matches!(victim, Victim::Agent | Victim::ControlPlane) { 0 } else { CLIENTS };
        assert!(failures.len() <= most, "{victim:?}: {failures:#?}");
        assert!(failures.iter().all(|failure| failure.starts_with("502 ")), "{victim:?}: {failures:#?}");
    }

    // In the middle of a change, where the node may go before there is another process in it.
    for (victim, greeting) in
        [(Victim::App, "second"), (Victim::Agent, "third"), (Victim::ControlPlane, "fourth")]
    {
        let node = node_of(&installation, &path).await;
        let variable = format!("{path}/env-vars/GREETING");
        let _ = installation.call(Method::PATCH, &variable, json!({ "value": greeting })).await.expect(200);
        match victim {
            Victim::ControlPlane => {
                installation.kill();
                assert_eq!(load.failures().await, [""; 0], "without a control plane");
                installation.up().await;
            }
            _ => {
                let text = if victim == Victim::App { "node server.js" } else { "metapaas agent --dir" };
                for pid in docker.pids(&node, text).await {
                    signal(pid, Signal::KILL);
                }
            }
        }
        all_say(&installation, 2, "one", greeting).await;
        let failures = load.failures().await;
        let most = if victim == Victim::App { CLIENTS } else { 0 };
        assert!(failures.len() <= most, "{victim:?} {greeting}: {failures:#?}");
        assert!(failures.iter().all(|failure| failure.starts_with("502 ")), "{victim:?}: {failures:#?}");
    }
    load.end().await;
}
