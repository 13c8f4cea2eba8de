//! An app with packages of npm in a container, and one-off commands beside it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use metapaas_tests::docker::Docker;
use metapaas_tests::harness::{eventually, signal};
use rustix::process::Signal;
use serde_json::{Map, Value, json};

use super::apps::{SETTINGS, get, start, web};
use crate::PROGRAM;
use crate::app::repository::{Repository, Server};
use crate::app::run::Stream;
use crate::app::{App, samples};
use crate::openapi::run;

/// Makes a folder what npm takes for a registry at `url`, with the packages that `list` needs now: containers reach no
/// other.
fn registry(list: &str, folder: &Path, url: &str) {
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("package.json"), list).unwrap();
    let npm = |words: &[&str]| {
        let mut npm = Command::new("npm");
        npm.args(words).args(["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        run("npm", npm.current_dir(work.path()).env("npm_config_cache", work.path().join("cache")))
    };
    npm(&["install", "--package-lock-only"]);
    let lock = std::fs::read(work.path().join("package-lock.json")).unwrap();
    let lock: Value = serde_json::from_slice(&lock).unwrap();
    let mut packages: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (place, package) in lock["packages"].as_object().unwrap() {
        let Some((_, name)) = place.rsplit_once("node_modules/") else { continue };
        let version = package["version"].as_str().unwrap();
        let tarball = format!("{url}{name}-{version}.tgz");
        let dist = json!({ "tarball": tarball, "integrity": package["integrity"] });
        let dependencies = &package["dependencies"];
        let dependencies = if dependencies.is_null() { &json!({}) } else { dependencies };
        let of_version =
            json!({ "name": name, "version": version, "dependencies": dependencies, "dist": dist });
        packages.entry(name).or_default().insert(version.to_owned(), of_version);
    }
    let all =
        packages.iter().flat_map(|(name, versions)| versions.keys().map(move |one| format!("{name}@{one}")));
    let all: Vec<String> = all.collect();
    let mut words = vec!["pack", "--silent", "--pack-destination", folder.to_str().unwrap()];
    words.extend(all.iter().map(String::as_str));
    npm(&words);
    for (name, versions) in packages {
        let newest = versions.keys().next_back().unwrap();
        let told = json!({ "name": name, "dist-tags": { "latest": newest }, "versions": versions });
        std::fs::write(folder.join(name), told.to_string()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_express_app_runs_in_a_container_and_commands_beside_it() {
    let docker = Docker::new();
    let folder = tempfile::tempdir().unwrap();
    let files = Server::of_files(folder.path(), "0.0.0.0", &docker.host());
    tokio::task::block_in_place(|| registry(samples::EXPRESS[1].1, folder.path(), files.url()));
    let environment = format!(r#",build_environment={{npm_config_registry="{}"}}"#, files.url());
    let installation = start(&docker, &SETTINGS.replace("}}", &(environment + "}}"))).await;
    let repository = Repository::new();
    repository.commit(&samples::EXPRESS);
    let server = Server::start_on(repository.folder(), "0.0.0.0", &docker.host());
    let app = App::create(&installation, "api", json!({ "repo": server.url() })).await;
    app.set_env("GREETING", "hello").await;
    let node = web(&app.active().await).remove(0);
    assert_eq!(get(&installation, "api", "/").await.unwrap(), "express");

    // A command sees what the app sees, and nothing of this machine.
    let code = "const fs = require('fs'); require('express'); \
                console.error(require('child_process').execSync('ulimit -n').toString().trim()); \
                console.log(process.env.GREETING, process.getuid(), fs.existsSync('server.js'), require('os').hostname()); \
                process.exit(3)";
    let (out, err, end) = Stream::open(&app, json!({ "command": ["node", "-e", code] })).await.rest().await;
    let container = docker.container(&node).await.unwrap();
    let user = container["Config"]["User"].as_str().unwrap().split(':').next().unwrap();
    let host = container["Config"]["Hostname"].as_str().unwrap();
    assert_eq!(out, format!("hello {user} true {host}\n"), "{err} {end:?}");
    assert_eq!(err, "8192\n", "its limits are the app's, and its standard error is its own");
    assert_eq!((end.0.as_str(), &end.1["code"]), ("exit", &json!(3)));

    // It ends with who asked, and the app does not.
    let mark = format!("waits-{}", installation.pid());
    let code = format!("console.log('started'); setTimeout(() => 1, 300000) // {mark}");
    let mut stream = Stream::open(&app, json!({ "command": ["node", "-e", code] })).await;
    assert_eq!(stream.line().await, "started\n");
    assert!(!docker.pids(&node, &mark).await.is_empty(), "it runs in the app's container");
    drop(stream);
    eventually("it has ended", || async { docker.pids(&node, &mark).await.is_empty() }).await;
    let mut asked = Command::new(PROGRAM)
        .args(["run", "api", "--", "node", "-e", &code])
        .env_clear()
        .env("METAPAAS_DATA_DIR", installation.data_dir())
        .env("HOME", installation.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    asked.stdout.take().unwrap().read_exact(&mut [0; 8]).unwrap();
    signal(asked.id(), Signal::INT);
    assert_eq!(asked.wait().unwrap().code(), Some(130));
    eventually("it has ended", || async { docker.pids(&node, &mark).await.is_empty() }).await;
    let words = ["run", "api", "--", "node", "-p", "6 * 7"];
    let ended = tokio::task::block_in_place(|| installation.cli(&words));
    assert_eq!((ended.status.code(), &ended.stdout[..]), (Some(0), &b"42\n"[..]), "{ended:?}");
    assert_eq!(get(&installation, "api", "/").await.unwrap(), "express");
    assert_eq!(docker.container(&node).await.unwrap()["Id"], container["Id"]);
}
