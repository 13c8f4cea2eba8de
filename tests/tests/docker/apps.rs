//! Apps in containers, through the router as their users come: changed and rolled back under load, with containers that
//! go and stand still, with a bucket, up to their end.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use metapaas_tests::docker::Docker;
use metapaas_tests::harness::{Installation, On, client, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::nodes;
use crate::app::load::Load;
use crate::app::repository::{Repository, Server};
use crate::app::{App, bound, samples};
use crate::openapi::{python, run};

/// What operators would set.
pub(crate) const SETTINGS: &str = r#"{app={transports=["http"],build_ram_mb=1024,drain_seconds=1}}"#;

/// An installation whose apps live in containers and have URLs.
pub(crate) async fn start(docker: &Docker, plugins: &str) -> Installation {
    let mut settings = docker.settings("docker");
    settings.push(("METAPAAS_PLUGINS".into(), plugins.into()));
    settings.push(("METAPAAS_ROUTER_LISTEN".into(), "127.0.0.1:0".into()));
    let installation = super::start(On::Sqlite, &settings).await;
    docker.runtime(&installation).await;
    eventually("the router listens", || async { installation.router().is_some() }).await;
    installation
}

/// What an app answers who comes by its name.
pub(crate) async fn get(
    installation: &Installation,
    name: &str,
    path: &str,
) -> Result<String, reqwest::Error> {
    let url = format!("http://{}{path}", installation.router_address());
    let request = client().get(url).header("host", format!("{name}.localhost"));
    request.timeout(Duration::from_secs(20)).send().await?.error_for_status()?.text().await
}

/// What the sample `SERVER` says of itself.
async fn told(installation: &Installation) -> Value {
    let text = get(installation, "shop", "/").await.unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// When the nodes that answer were started; `None` unless that many answer, and all say this.
pub(crate) async fn say(
    installation: &Installation,
    count: usize,
    version: &str,
    greeting: &str,
) -> Option<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for _ in 0..count * 4 {
        let told = told(installation).await;
        if told["version"] != version || told["greeting"] != greeting {
            return None;
        }
        found.insert(told["started"].to_string());
    }
    (found.len() == count).then_some(found)
}

/// Waits for that.
pub(crate) async fn all_say(installation: &Installation, count: usize, version: &str, greeting: &str) {
    eventually(&format!("{count} nodes say {version} {greeting}"), || async {
        say(installation, count, version, greeting).await.is_some()
    })
    .await;
}

/// The nodes that serve.
pub(crate) fn web(app: &Value) -> Vec<Value> {
    let is_web = |node: &Value| node["place"].as_str().unwrap().starts_with("web-");
    nodes(app).into_iter().filter(is_web).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_in_containers_is_changed_and_rolled_back_without_a_lost_request() {
    let docker = Docker::new();
    let installation = start(&docker, SETTINGS).await;
    let repository = Repository::new();
    repository.commit(&samples::SERVER);
    let server = Server::start_on(repository.folder(), "0.0.0.0", &docker.host());
    let body = json!({ "repo": server.url(), "replicas": 2, "runtime": "node", "ram_mb": 256 });
    let app = App::create(&installation, "shop", body).await;
    app.active().await;
    all_say(&installation, 2, "one", "none").await;

    let load = Load::start(&installation.router_address(), "shop.localhost");
    app.set_env("GREETING", "hello").await;
    app.active().await;
    all_say(&installation, 2, "one", "hello").await;
    let (one, two) = (app.release(1).await, app.release(2).await);
    assert_eq!((&two["image"], &two["build"]), (&one["image"], &json!(1)), "nothing was built");
    repository.commit(&[("server.js", &samples::SERVER[0].1.replace("one", "two"))]);
    app.act("deploy", json!({})).await;
    app.active().await;
    all_say(&installation, 2, "two", "hello").await;
    repository.remove("package.json");
    app.act("deploy", json!({})).await;
    let broken = app.broken("BuildFailed").await;
    assert!(broken["conditions"][0]["message"].as_str().unwrap().contains("release 3 goes on serving"));
    app.act("rollback", json!({ "release": 1 })).await;
    app.active().await;
    all_say(&installation, 2, "one", "none").await;
    assert_eq!(load.failures().await, [""; 0]);
    load.end().await;
    eventually("only the builder and the nodes of the last release are left", || async {
        docker.containers().await.len() == 3
    })
    .await;

    let before = say(&installation, 2, "one", "none").await.unwrap();
    app.act("restart", json!({})).await;
    app.active().await;
    eventually("both were started again", || async {
        say(&installation, 2, "one", "none").await.is_some_and(|now| now.is_disjoint(&before))
    })
    .await;

    app.act("stop", json!({})).await;
    app.active().await;
    assert_eq!(docker.containers().await.len(), 1, "only the builder is left");
    let refused = get(&installation, "shop", "/").await.unwrap_err();
    assert_eq!(refused.status().unwrap(), 503);
    app.act("start", json!({})).await;
    app.active().await;
    all_say(&installation, 2, "one", "none").await;

    app.delete().await;
    assert!(docker.containers().await.is_empty());
    let left: Vec<_> = std::fs::read_dir(installation.data_dir().join("docker/nodes")).unwrap().collect();
    assert!(left.is_empty(), "no workspace is left: {left:?}");
    let (_, volumes) = docker.call(Method::GET, "/volumes", &Value::Null).await;
    assert!(volumes["Volumes"].as_array().is_none_or(Vec::is_empty), "{volumes}");
    eventually("its name is free", || async {
        get(&installation, "shop", "/").await.is_err_and(|error| error.status().unwrap() == 404)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_of_an_app_that_are_removed_or_paused_are_made_again() {
    let docker = Docker::new();
    let mut installation = start(&docker, SETTINGS).await;
    let repository = Repository::new();
    repository.commit(&samples::SERVER);
    let server = Server::start_on(repository.folder(), "0.0.0.0", &docker.host());
    let body = json!({ "repo": server.url(), "replicas": 2, "ram_mb": 256 });
    let app = App::create(&installation, "shop", body).await;
    let web = web(&app.active().await);
    all_say(&installation, 2, "one", "none").await;
    for what in ["remove", "pause"] {
        let before = docker.container(&web[0]).await.unwrap();
        match what {
            "remove" => docker.remove(&web[0]).await,
            _ => docker.act(&web[0], what).await,
        }
        eventually(&format!("another container runs after {what}"), || async {
            let now = docker.container(&web[0]).await;
            now.is_some_and(|now| now["Id"] != before["Id"] && now["State"]["Status"] == "running")
        })
        .await;
        all_say(&installation, 2, "one", "none").await;
    }

    // Users do not notice that nobody makes containers.
    drop(app);
    installation.kill();
    docker.act(&web[0], "kill").await;
    docker.remove(&web[0]).await;
    all_say(&installation, 1, "one", "none").await;
    installation.up().await;
    all_say(&installation, 2, "one", "none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_in_a_container_has_its_limits_and_goes_on() {
    let docker = Docker::new();
    let installation = start(&docker, SETTINGS).await;
    let repository = Repository::new();
    repository.commit(&samples::PROBE);
    let server = Server::start_on(repository.folder(), "0.0.0.0", &docker.host());
    // Files in `/tmp` and five hundred processes are memory too.
    let body = json!({ "repo": server.url(), "ram_mb": 2048 });
    let app = App::create(&installation, "probe", body).await;
    app.active().await;
    let told = get(&installation, "probe", "/probe").await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["filled"].as_u64().unwrap() <= 256, "{told}");
    assert!(told["forked"].as_u64().unwrap() < 512, "{told}");
    assert_eq!((&told["write"], &told["become"]), (&json!("PermissionError"), &json!("PermissionError")));
    assert_eq!(get(&installation, "probe", "/").await.unwrap(), "{}", "it goes on");
    app.active().await;
}

/// Gives the packages of a list to containers, which reach no index: fetched here, as files.
fn packages(list: &str, folder: &Path) {
    let mut pip = std::process::Command::new(python());
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
    run("fetch packages", pip.arg("--dest").arg(folder).arg(list.trim()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_in_a_container_stores_a_file_in_the_bucket_that_it_is_bound_to() {
    let docker = Docker::new();
    let folder = tempfile::tempdir().unwrap();
    tokio::task::block_in_place(|| packages(samples::KEEPER[1].1, folder.path()));
    let index = Server::of_files(folder.path(), "0.0.0.0", &docker.host());
    let host = docker.host();
    let environment =
        format!(r#"PIP_NO_INDEX="1",PIP_FIND_LINKS="{}",PIP_TRUSTED_HOST="{host}""#, index.url());
    let settings = SETTINGS.replace("}}", &format!(",build_environment={{{environment}}}}}}}"));
    let installation = start(&docker, &settings).await;
    let project = installation.default_project().await;
    let storage = json!({ "name": "data", "bucket_name": "data-bucket", "project_id": project });
    let _ = installation.call(Method::POST, bound::S3, storage).await.expect(201);
    let repository = Repository::new();
    repository.commit(&samples::KEEPER);
    let server = Server::start_on(repository.folder(), "0.0.0.0", &docker.host());
    let app = App::create(&installation, "shop", json!({ "repo": server.url() })).await;
    app.active().await;
    let says = |path: &'static str| get(&installation, "shop", path);
    assert_eq!(says("/").await.unwrap(), "unbound");

    let path = format!("{}/bindings/store", app.path);
    let binding = json!({ "name": "store", "to": "s3/data" });
    let _ = installation.call(Method::POST, &format!("{}/bindings", app.path), binding).await.expect(201);
    installation.active(&path).await;
    eventually("the release with the bucket serves", || async {
        says("/").await.is_ok_and(|text| text == "data-bucket")
    })
    .await;
    assert_eq!(says("/store").await.unwrap(), "kept");
    let keys: Value = serde_json::from_str(&says("/keys").await.unwrap()).unwrap();
    assert_eq!(bound::lists(&keys, "data-bucket").await, "listed");

    // The storage comes back where it was, with what it had.
    let s3 = installation.active(&format!("{}/data", bound::S3)).await;
    docker.remove(&nodes(&s3)[0]).await;
    eventually("the app stores files again", || async {
        says("/store").await.is_ok_and(|text| text == "kept")
    })
    .await;
    assert_eq!(bound::lists(&keys, "data-bucket").await, "listed");

    let _ = installation.call(Method::DELETE, &path, Value::Null).await.expect(202);
    eventually("the binding is gone", || async { installation.get(&path).await.status == 404 }).await;
    assert_eq!(bound::lists(&keys, "data-bucket").await, "InvalidAccessKeyId", "the key is revoked");
    eventually("the app is unbound", || async { says("/").await.is_ok_and(|text| text == "unbound") }).await;
}
