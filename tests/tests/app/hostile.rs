//! Apps that look for what is not theirs: processes, files of the platform, of others and of their own node, sockets.
//! Each tries all of it as real code of a tenant, at work and while it is built.

use std::path::{Path, PathBuf};

use metapaas_tests::docker::Docker;
use metapaas_tests::harness::{Installation, On, client, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::repository::{Repository, Server};
use super::{App, SETTINGS, samples};
use crate::PROGRAM;
use crate::docker::apps;

const HOSTILE: [(&str, &str); 2] = [("app.py", include_str!("hostile.py")), ("requirements.txt", "")];

/// It looks around when its dependencies are installed.
const HOSTILE_BUILD: [(&str, &str); 3] = [
    (
        "package.json",
        r#"{ "name": "x", "private": true, "scripts": { "preinstall": "node hostile.js", "start": "node server.js" } }"#,
    ),
    ("hostile.js", include_str!("hostile.js")),
    ("server.js", samples::SERVER[0].1),
];

/// What another app keeps for itself.
const MARKER: &str = "the-secret-of-another-app";

/// Where a container has its node's directory.
const NODE: &str = "/var/lib/metapaas/node";

/// Another app, with a secret.
async fn victim<'a>(installation: &'a Installation, repo: &str) -> App<'a> {
    let victim = App::create(installation, "victim", json!({ "repo": repo })).await;
    let secret = json!({ "key": "KEPT", "secret": MARKER });
    let _ = installation.call(Method::POST, &format!("{}/env-vars", victim.path), secret).await.expect(201);
    victim.active().await;
    victim
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path()),
        _ => vec![entry.path()],
    });
    found.collect()
}

/// The tokens of nodes and of the admin, and the secret of the victim.
fn needles(installation: &Installation, nodes: &Path) -> Vec<String> {
    let tokens = files(nodes).into_iter().filter(|file| file.ends_with("token"));
    let mut found: Vec<String> = tokens.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert!(found.len() > 2, "{found:?}");
    found.extend([installation.token.clone(), MARKER.to_owned()]);
    found
}

async fn attack(installation: &Installation, told: &Value) -> Value {
    let url = format!("http://{}/try", installation.router_address());
    let answer = client().post(url).header("host", "hostile.localhost").json(told).send().await.unwrap();
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn got_nothing(found: &Value) {
    for kind in ["processes", "signals", "needles", "opened", "written"] {
        assert_eq!(found[kind], json!([]), "{kind}: {found:#}");
    }
    let of_the_app = |path: &Value| {
        let path = path.as_str().unwrap();
        path.starts_with("/etc/") || path.starts_with(found["folder"].as_str().unwrap())
    };
    let read: Vec<_> = found["read"].as_array().unwrap().iter().filter(|path| !of_the_app(path)).collect();
    assert!(read.is_empty(), "{read:?}");
    for status in found["urls"].as_array().unwrap() {
        assert_ne!(*status, 200, "{found:#}");
    }
    assert_eq!((&found["root"], &found["mounted"]), (&json!("EPERM"), &json!(false)));
    assert_ne!(found["user"], 0);
    assert!(!found["groups"].as_array().unwrap().contains(&json!(0)), "{found:#}");
    let status = &found["status"];
    assert_eq!((&status["CapEff"], &status["CapPrm"]), (&json!("0".repeat(16)), &json!("0".repeat(16))));
    assert_eq!(status["NoNewPrivs"], "1");
}

/// The tests run as root, where the platform can choose the user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_app_gets_at_nothing_on_a_process_node() {
    let environment = [("METAPAAS_PLUGINS", SETTINGS), ("METAPAAS_ROUTER_LISTEN", "127.0.0.1:0")];
    let installation = Installation::start_with(PROGRAM, On::Sqlite, &environment).await;
    eventually("the router listens", || async { installation.router().is_some() }).await;
    let (good, bad) = (Repository::new(), Repository::new());
    good.commit(&samples::GREETER);
    bad.commit(&HOSTILE);
    let victim = victim(&installation, &good.url()).await;
    let hostile = App::create(&installation, "hostile", json!({ "repo": bad.url() })).await;
    let app = hostile.active().await;

    let data = installation.data_dir();
    let all = files(&data);
    let layers = node(&app, "build-0")["port"].clone();
    let layers = format!("http://{}:{layers}/layers/x", node(&app, "build-0")["ip"].as_str().unwrap());
    let root = [PathBuf::from("/"), data.clone()].into_iter();
    let paths: Vec<_> = root.chain(all.iter().filter_map(|file| file.parent().map(Path::to_owned))).collect();
    let told = json!({
        "needles": needles(&installation, &data.join("nodes")),
        "paths": paths,
        "files": all,
        "writes": ["/app/x", "/etc/x", "/usr/x", "/x", "/proc/sys/kernel/core_pattern"],
        "sockets": [std::env::var("METAPAAS_TEST_DOCKER").unwrap_or_default(), "/run/docker.sock".to_owned()],
        "urls": [format!("{}/v1/types", installation.url), layers],
    });
    let found = attack(&installation, &told).await;
    got_nothing(&found);
    assert_eq!(found["listed"], json!(["/"]));
    assert_eq!(found["seen"], json!([]), "not even that others run");
    assert_eq!(found["sockets"], json!(["ENOENT", "ENOENT"]));
    assert_eq!(victim.says("/").await, "none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_app_gets_at_nothing_in_a_container() {
    let docker = Docker::new();
    let installation = apps::start(&docker, apps::SETTINGS).await;
    let (good, bad) = (Repository::new(), Repository::new());
    good.commit(&samples::GREETER);
    bad.commit(&HOSTILE);
    let servers = [&good, &bad].map(|from| Server::start_on(from.folder(), "0.0.0.0", &docker.host()));
    let victim = victim(&installation, servers[0].url()).await;
    let hostile = App::create(&installation, "hostile", json!({ "repo": servers[1].url() })).await;
    let app = hostile.active().await;

    let data = installation.data_dir();
    let (nodes, web) = (data.join("docker/nodes"), node(&app, "web-1-0"));
    let own = nodes.join(web["id"].as_str().unwrap());
    let inside = files(&own).into_iter().map(|file| Path::new(NODE).join(file.strip_prefix(&own).unwrap()));
    // Its own files are below `work/image`.
    let inside: Vec<PathBuf> =
        inside.filter(|file| !file.starts_with(format!("{NODE}/work/image"))).collect();
    for name in ["token", "node.json", "work/run.json"] {
        assert!(inside.contains(&Path::new(NODE).join(name)), "{name} in {inside:?}");
    }
    let control = std::fs::read_dir(data.join("docker/control")).unwrap().next().unwrap().unwrap();
    let folders = ["/", "/var", "/var/lib/metapaas", NODE, "/run", "/run/metapaas", "/root", "/home", "/tmp"];
    let own_folders = ["run", "log", "services", "work", "work/image"].map(|name| format!("{NODE}/{name}"));
    let paths: Vec<String> = folders.map(str::to_owned).into_iter().chain(own_folders).collect();
    let outside = ["/etc/x", "/usr/x", "/x", "/run/metapaas/x"].map(PathBuf::from);
    let writes: Vec<PathBuf> = inside.iter().cloned().chain(outside).collect();
    let all: Vec<PathBuf> = inside.into_iter().chain(files(&data)).collect();
    let layers = format!("http://{}:8080/layers/x", node(&app, "build-0")["ip"].as_str().unwrap());
    let told = json!({
        "needles": needles(&installation, &nodes),
        "paths": paths,
        "files": all,
        "writes": writes,
        "sockets": [format!("/run/metapaas/{}", control.file_name().to_string_lossy()), "/run/docker.sock".to_owned()],
        "urls": [format!("{}/v1/types", installation.url), layers],
    });
    let found = attack(&installation, &told).await;
    got_nothing(&found);
    assert_eq!(found["listed"], json!(["/tmp"]));
    assert_eq!(found["status"]["Seccomp"], "2");
    assert_eq!(found["status"]["CapBnd"], "0".repeat(16));
    let socket = found["sockets"][0].as_str().unwrap();
    assert!(socket.contains(" 404 "), "agents' calls are all that there is: {found:#}");
    assert_eq!(found["sockets"][1], "ENOENT");

    // What it may signal comes back, and so does what it kills of its own.
    let _ = apps::get(&installation, "hostile", "/kill").await;
    eventually("it is served", || async {
        apps::get(&installation, "hostile", "/").await.is_ok_and(|text| text == "harmless")
    })
    .await;
    hostile.active().await;
    victim.active().await;
}

fn node(app: &Value, place: &str) -> Value {
    app["nodes"].as_array().unwrap().iter().find(|node| node["place"] == place).unwrap().clone()
}

/// The build log of the first release of an app that looks around while it is built.
async fn built(installation: &Installation, repo: &str) -> String {
    let app = App::create(installation, "builder", json!({ "repo": repo })).await;
    app.active().await;
    app.release(1).await["build_log"].as_str().unwrap().to_owned()
}

fn stole_nothing(log: &str) {
    assert!(log.contains("looking around") && log.contains("looked around"), "it ran: {log}");
    assert!(!log.contains("STOLEN"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_build_gets_at_nothing_on_a_process_node() {
    let installation = super::installation(On::Sqlite).await;
    let repository = Repository::new();
    repository.commit(&HOSTILE_BUILD);
    stole_nothing(&built(&installation, &repository.url()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_build_gets_at_nothing_in_a_container() {
    let docker = Docker::new();
    let installation = apps::start(&docker, apps::SETTINGS).await;
    let repository = Repository::new();
    repository.commit(&HOSTILE_BUILD);
    let server = Server::start_on(repository.folder(), "0.0.0.0", &docker.host());
    stole_nothing(&built(&installation, server.url()).await);
}
