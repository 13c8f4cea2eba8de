//! The commands of the app type, as their user types them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use metapaas_tests::harness::{Installation, On, client, eventually, signal};
use rustix::process::Signal;
use serde_json::Value;

use super::repository::Repository;
use super::{App, SETTINGS, samples};
use crate::PROGRAM;

/// An installation whose apps have URLs.
async fn installation() -> Installation {
    installation_with(On::Sqlite, SETTINGS).await
}

/// The same on either database, with settings of plugins.
pub(super) async fn installation_with(on: On, settings: &str) -> Installation {
    let environment = [("METAPAAS_PLUGINS", settings), ("METAPAAS_ROUTER_LISTEN", "127.0.0.1:0")];
    let installation = Installation::start_with(PROGRAM, on, &environment).await;
    eventually("the router listens", || async { installation.router().is_some() }).await;
    installation
}

/// Runs a command: its exit code, its results, and what it said beside them.
pub(super) fn run(installation: &Installation, words: &[&str]) -> (i32, String, String) {
    said(words, &tokio::task::block_in_place(|| installation.cli(words)))
}

pub(super) fn said(words: &[&str], ended: &std::process::Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&ended.stdout), text(&ended.stderr));
    println!("$ metapaas {}\n{out}{err}", words.join(" "));
    (ended.status.code().unwrap(), out, err)
}

/// What the app says to who asks for its URL.
pub(super) async fn says(installation: &Installation, url: &str) -> String {
    let url = reqwest::Url::parse(url.trim()).unwrap();
    let address = installation.router_address();
    assert!(address.ends_with(&format!(":{}", url.port().unwrap())), "{url} is not at {address}");
    let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let request = client().get(format!("http://{address}/")).header("host", host);
    request.send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_deploys_changes_and_goes_back() {
    let installation = installation().await;
    let repository = Repository::new();
    repository.commit(&samples::GREETER);
    let url = repository.url();
    let (code, out, err) = run(
        &installation,
        &["deploy", "--app", "shop", "--runtime", "python", "--repo", &url, "--env", "GREETING=hi=there"],
    );
    assert_eq!(code, 0);
    assert!(out.starts_with("http://shop.localhost:") && out.lines().count() == 1, "{out}");
    for part in ["app shop made", "--- fetching HEAD", "--- built", " serves\n"] {
        assert_eq!(err.matches(part).count(), 1, "{part}: {err}");
    }
    assert_eq!(says(&installation, &out).await, "hi=there");
    let (_, apps, _) = run(&installation, &["apps"]);
    assert!(apps.contains("shop  ACTIVE") && apps.contains(out.trim()), "{apps}");

    assert_eq!(run(&installation, &["env", "set", "shop", "GREETING=bye", "KEY=k", "--wait"]).0, 0);
    assert_eq!(says(&installation, &out).await, "bye");
    assert_eq!(run(&installation, &["env", "set", "shop", "KEY=hush", "--secret"]).0, 0);
    let (_, listed, _) = run(&installation, &["env", "list", "shop"]);
    assert!(listed.contains("GREETING  bye") && listed.contains("KEY       (secret)"), "{listed}");
    assert_eq!(run(&installation, &["env", "unset", "shop", "KEY", "--wait"]).0, 0);
    assert_eq!(run(&installation, &["env", "unset", "shop", "KEY"]).0, 3, "it is gone");

    // A failed build ends with its reason, and the old release serves.
    repository.commit(&[("requirements.txt", "no such package\n")]);
    let (code, failed, err) = run(&installation, &["deploy", "--app", "shop"]);
    assert_eq!((code, failed.as_str()), (1, ""));
    assert!(err.contains("Invalid requirement"), "the log: {err}");
    assert!(err.lines().last().unwrap().starts_with("error: release "), "{err}");
    assert!(err.contains("goes on serving"), "{err}");
    let (_, releases, _) = run(&installation, &["releases", "shop"]);
    let lines: Vec<&str> = releases.lines().collect();
    assert!(lines[1].contains("FAILED") && lines[2].contains("SERVING"), "{releases}");

    let (code, again, _) = run(&installation, &["rollback", "shop", "1"]);
    assert_eq!((code, again.as_str()), (0, out.as_str()));
    let first = says(&installation, &out).await;
    assert!(["hi=there", "none"].contains(&first.as_str()), "the first release: {first}");

    let (code, opened, _) = run(&installation, &["open", "app/shop"]);
    assert_eq!((code, opened.as_str()), (0, out.as_str()));

    for (words, code, part) in [
        (&["deploy", "--app", "nobody"][..], 3, "--repo"),
        (&["deploy", "--app", "nobody", "--env", "A"], 2, "expected KEY=VALUE"),
        (&["deploy", "--app", "nobody", "--repo", "ext::sh"], 6, "/repo"),
        (&["deploy", "--app", "nobody", "--repo", &url, "--runtime", "cobol"], 6, "/runtime"),
        (&["rollback", "shop", "99"], 6, "there is no release 99"),
        (&["releases", "nobody"], 3, "nobody"),
        (&["env", "set", "shop", "PORT=1"], 6, "set by the platform"),
    ] {
        let (found, _, err) = run(&installation, words);
        assert_eq!(found, code, "{words:?}");
        assert!(err.contains(part), "{words:?}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_goes_on_without_who_began_it() {
    let installation = installation().await;
    let repository = Repository::new();
    repository.commit(&samples::GREETER);
    let mut deploy = Command::new(PROGRAM)
        .args(["deploy", "--app", "shop", "--repo", &repository.url()])
        .env_clear()
        .env("METAPAAS_DATA_DIR", installation.data_dir())
        .env("HOME", installation.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(deploy.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("release 1") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
    }
    signal(deploy.id(), Signal::INT);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(deploy.wait().unwrap().code(), Some(130));
    assert!(rest.contains("the deploy goes on"), "{rest}");
    let app = App { installation: &installation, beside: None, path: format!("{}/shop", super::APPS) };
    assert_eq!(app.active().await["release"], 1);
    let said = run(&installation, &["apps", "-o", "json"]).1;
    let apps: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(apps["items"][0]["name"], "shop");
}
