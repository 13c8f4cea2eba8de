//! Apps from a directory: `metapaas deploy .`, and the uploads behind it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use metapaas_tests::harness::{Answer, Installation, On, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::commands::{installation_with, run, said, says};
use super::{APPS, App, SETTINGS, samples};
use crate::{PROGRAM, on_both};

on_both!(a_directory_is_deployed_changed_and_rolled_back, an_upload_survives_the_control_plane);

/// Writes files below a folder.
fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// A directory of that name beside an installation.
fn directory(installation: &Installation, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = installation.dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    write(&folder, files);
    folder
}

/// Runs the command line in a directory, as its user does after `cd`.
fn run_in(installation: &Installation, folder: &Path, words: &[&str]) -> (i32, String, String) {
    let command = || {
        Command::new(PROGRAM)
            .args(words)
            .current_dir(folder)
            .env_clear()
            .env("METAPAAS_DATA_DIR", installation.data_dir())
            .env("HOME", installation.dir())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    said(words, &tokio::task::block_in_place(command))
}

/// `PUT .../uploads/{digest}` with that content.
async fn put(installation: &Installation, token: &str, app: &str, digest: &str, content: Vec<u8>) -> Answer {
    let url = format!("{}{APPS}/{app}/uploads/{digest}", installation.url);
    let request = installation.client().put(url).bearer_auth(token);
    let request = request.header("content-type", "application/octet-stream").body(content);
    metapaas_tests::harness::answer(request).await
}

/// Returns once an app says that it waits for its upload.
async fn waits(installation: &Installation, path: &str) {
    eventually("it waits for the upload", || async {
        installation.get(path).await.body["conditions"][0]["reason"] == "WaitsForUpload"
    })
    .await;
}

/// What a tar packed with gzip holds, made by the programs of the machine; its digest and content.
fn packed(folder: &Path) -> (String, Vec<u8>) {
    let tar =
        Command::new("tar").args(["--create", "--gzip", "--file", "-", "."]).current_dir(folder).output();
    let content = tar.unwrap().stdout;
    (sha256(&content), content)
}

fn sha256(content: &[u8]) -> String {
    use std::io::Write;
    let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(content).unwrap();
    let sum = sum.wait_with_output().unwrap();
    String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

async fn a_directory_is_deployed_changed_and_rolled_back(on: On) {
    let installation = installation_with(on, SETTINGS).await;
    let shop = directory(&installation, "shop", &samples::GREETER);
    write(&shop, &[(".gitignore", "*.log\n"), ("debug.log", "x"), (".venv/bin/python", "not ours")]);
    let (code, url, err) =
        run_in(&installation, &shop, &["deploy", ".", "--env", "GREETING=one", "-e", "COLOUR=red"]);
    assert_eq!(code, 0);
    assert!(url.starts_with("http://shop.localhost:") && url.lines().count() == 1, "{url}");
    for part in
        [".venv is left out", "app shop made", "uploading 3 files", "--- unpacking", "--- built", " serves\n"]
    {
        assert_eq!(err.matches(part).count(), 1, "{part}: {err}");
    }
    assert_eq!(says(&installation, &url).await, "one");
    let (_, listed, _) = run(&installation, &["env", "list", "shop"]);
    assert!(listed.contains("GREETING  one") && listed.contains("COLOUR    red"), "{listed}");
    let app = App { installation: &installation, beside: None, path: format!("{APPS}/shop") };
    let row = app.active().await;
    let digest = row["repo"].as_str().unwrap().strip_prefix("upload:").unwrap().to_owned();
    let newest = installation.get(&format!("{}/releases?order_by=created_at desc", app.path)).await;
    assert_eq!(newest.body["items"][0]["commit"], digest.as_str());
    let count = newest.body["items"].as_array().unwrap().len();

    // The same again changes nothing; times and what is left out are not what it is made of.
    std::fs::File::open(shop.join("app.py")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    write(&shop, &[("debug.log", "other")]);
    let (code, again, err) = run_in(&installation, &shop, &["deploy", "."]);
    assert_eq!((code, &again), (0, &url));
    assert!(err.contains("nothing has changed since release"), "{err}");
    let releases = async || {
        let all = installation.get(&format!("{}/releases", app.path)).await.body;
        all["items"].as_array().unwrap().len()
    };
    assert_eq!(releases().await, count);
    // A variable alone makes a release without a build.
    let (code, _, err) = run_in(&installation, &shop, &["deploy", ".", "--env", "GREETING=two"]);
    assert_eq!((code, err.contains("unpacking")), (0, false), "{err}");
    assert_eq!(says(&installation, &url).await, "two");
    assert_eq!(releases().await, count + 1);

    // From elsewhere, by its path; only what has changed is another upload.
    write(&shop, &[("app.py", &samples::PLAIN[0].1.replace("plain", "three"))]);
    let (code, _, err) = run(&installation, &["deploy", shop.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("dependencies have not changed"), "{err}");
    assert_eq!(says(&installation, &url).await, "three");
    let newest = installation.get(&app.path).await.body["release"].as_u64().unwrap();
    let (code, _, err) = run(&installation, &["rollback", "shop", &(newest - 1).to_string()]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(says(&installation, &url).await, "two");
    // After that the directory is not what serves, though nothing in it has changed.
    let (code, _, err) = run_in(&installation, &shop, &["deploy", "."]);
    assert_eq!((code, err.contains("uploading")), (0, false), "{err}");
    assert_eq!(says(&installation, &url).await, "three");

    // A build that fails says why, and what serves goes on.
    std::fs::remove_file(shop.join("app.py")).unwrap();
    let (code, _, err) = run_in(&installation, &shop, &["deploy", "."]);
    assert_eq!(code, 1);
    assert!(err.contains("app.py is missing") && err.contains("goes on serving"), "{err}");
    assert_eq!(says(&installation, &url).await, "three");

    assert_eq!(run(&installation, &["delete", "shop", "--wait"]).0, 0);
    let left = async || {
        let sql = installation.sql().await;
        let mut rows = 0;
        for table in ["metapaas_uploads", "metapaas_upload_chunks"] {
            let count = metapaas_core::store::Statement::raw(&format!("SELECT count(*) FROM {table}"));
            rows += sql.fetch("count", &count, &[]).await.unwrap()[0].int(0).unwrap().unwrap();
        }
        sql.close().await;
        rows
    };
    assert_eq!(left().await, 0, "uploads go with their instance");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_app_is_deployed_from_a_directory_and_from_a_repository_again() {
    let installation = installation_with(On::Sqlite, SETTINGS).await;
    let outer = directory(&installation, "monorepo", &[]);
    let files = samples::EXPRESS.map(|(name, text)| (format!("services/api/{name}"), text));
    for (name, text) in &files {
        write(&outer, &[(name.as_str(), text)]);
    }
    let (code, url, err) =
        run_in(&installation, &outer, &["deploy", ".", "--app", "api", "--subdir", "services/api"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(says(&installation, &url).await, "express");
    // The folder itself is another upload of the same app.
    let (code, _, err) = run_in(&installation, &outer, &["deploy", "services/api"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(installation.get(&format!("{APPS}/api")).await.body["subdir"], "");

    let repository = super::Repository::new();
    repository.commit(&[("index.html", "")]);
    repository.commit(&samples::PLAIN);
    repository.git(&["tag", "v1"]);
    repository.commit(&[("app.py", "raise SystemExit('not this one')\n")]);
    let words = ["deploy", "--app", "api", "--repo", &repository.url(), "--ref", "v1"];
    let (code, _, err) = run(&installation, &words);
    assert_eq!(code, 0, "{err}");
    assert_eq!(says(&installation, &url).await, "plain");
    // Without a directory an app of uploads is built again as it was.
    let (code, ..) = run_in(&installation, &outer, &["deploy", "services/api"]);
    assert_eq!(code, 0);
    let (code, _, err) = run(&installation, &["deploy", "--app", "api"]);
    assert_eq!(code, 0);
    assert!(err.contains("what was uploaded last") && err.contains("--- unpacking"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_app_is_not_deployed() {
    let small = [("METAPAAS_UPLOAD_BYTES", "20000"), ("METAPAAS_PLUGINS", SETTINGS)];
    let installation = Installation::start_with(PROGRAM, On::Sqlite, &small).await;
    let check = |name: &str, files: &[(&str, &str)], code: i32, part: &str| {
        let folder = directory(&installation, name, files);
        let (found, out, err) = run_in(&installation, &folder, &["deploy", "."]);
        assert_eq!((found, out.as_str()), (code, ""), "{name}");
        assert!(err.contains(part), "{name}: {err}");
    };
    check("empty", &[], 2, "nothing to deploy");
    check("Bad Name", &samples::PLAIN, 2, "--app bad-name");
    check("no-entry", &[("requirements.txt", "")], 1, "app.py is missing");
    check("nothing", &[("README", "hello")], 1, "no runtime fits");
    let escape = directory(&installation, "escape", &samples::PLAIN);
    std::os::unix::fs::symlink("../../secret", escape.join("secret")).unwrap();
    let (code, _, err) = run_in(&installation, &escape, &["deploy", "."]);
    assert_eq!(code, 2);
    assert!(err.contains("secret is a link to \"../../secret\"") && err.contains(".gitignore"), "{err}");
    for name in ["empty", "escape"] {
        let _ = installation.get(&format!("{APPS}/{name}")).await.expect(404);
    }
    let (code, _, err) = run(&installation, &["deploy", "shop"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no directory shop") && err.contains("--app NAME"), "{err}");

    // What cannot be packed smaller than the server takes.
    let huge = directory(&installation, "huge", &samples::PLAIN);
    let mut random = vec![0_u8; 5 << 20];
    use std::io::Read;
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    std::fs::write(huge.join("data"), random).unwrap();
    let (code, _, err) = run_in(&installation, &huge, &["deploy", "."]);
    assert_ne!(code, 0);
    assert!(err.contains("an upload may have 20000 bytes"), "{err}");
    waits(&installation, &format!("{APPS}/huge")).await;
    // Once it fits, the same words go on from there.
    std::fs::remove_file(huge.join("data")).unwrap();
    assert_eq!(run_in(&installation, &huge, &["deploy", "."]).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_are_held_to_their_digest_and_their_instance() {
    let installation = installation_with(On::Sqlite, SETTINGS).await;
    let folder = directory(&installation, "hand-made", &samples::PLAIN);
    let (digest, content) = packed(&folder);
    let app = App::create(&installation, "shop", json!({ "repo": format!("upload:{digest}") })).await;
    waits(&installation, &app.path).await;
    let path = format!("{}/uploads/{digest}", app.path);
    let _ = installation.get(&path).await.expect(404);

    // Nobody else's, and nothing else than what it is called.
    let project = installation.default_project().await;
    let viewer = installation.user("vera", &project, "viewer").await;
    let other =
        installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await.expect(201);
    let stranger = installation.user("otto", other.body["id"].as_str().unwrap(), "owner").await;
    let _ = put(&installation, &viewer, "shop", &digest, content.clone()).await.expect(403);
    let _ = put(&installation, &stranger, "shop", &digest, content.clone()).await.expect(404);
    let _ = installation.call_as(&stranger, Method::GET, &path, Value::Null).await.expect(404);
    let token = installation.token.clone();
    let wrong = put(&installation, &token, "shop", &digest, b"something else".to_vec()).await.expect(400);
    assert_eq!(wrong.body["errors"][0]["code"], "DIGEST_MISMATCH");
    let _ = put(&installation, &token, "shop", "abc", content.clone()).await.expect(400);
    let json = installation.call(Method::PUT, &path, json!({})).await.expect(415);
    assert!(json.body["detail"].as_str().unwrap().contains("octet-stream"), "{}", json.body);
    let _ = installation.call(Method::DELETE, &path, Value::Null).await.expect(405);
    let _ = installation.get(&path).await.expect(404);

    let first = put(&installation, &token, "shop", &digest, content.clone()).await.expect(201);
    assert_eq!(first.body["size"], content.len());
    let _ = put(&installation, &token, "shop", &digest, content.clone()).await.expect(200);
    let _ = installation.get(&path).await.expect(200);
    app.active().await;
    assert_eq!(app.says("/").await, "plain");

    // A node has what was sent for its own instance, and nothing of others.
    let second = App::create(&installation, "other", json!({ "repo": format!("upload:{digest}") })).await;
    let node_of = async |app: &App<'_>| {
        let row = installation.get(&app.path).await.body;
        row["nodes"][0]["id"].as_str().map(str::to_owned)
    };
    eventually("it has a node", || async { node_of(&second).await.is_some() }).await;
    for (of, status) in [(&app, 200), (&second, 404)] {
        let node = node_of(of).await.unwrap();
        let token = std::fs::read_to_string(installation.data_dir().join("nodes").join(node).join("token"));
        let url = format!("{}/v1/agents/uploads/{digest}", installation.url);
        let answer = installation.client().get(&url).bearer_auth(token.unwrap().trim()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        if status == 200 {
            assert_eq!(answer.bytes().await.unwrap(), content);
        }
        let _ = installation.client().get(&url).bearer_auth(&installation.token).send().await.unwrap();
    }
    let _ = installation.get(&format!("/v1/agents/uploads/{digest}")).await.expect(401);

    // What an archive tries is refused where it is unpacked.
    std::os::unix::fs::symlink("/etc/passwd", folder.join("passwd")).unwrap();
    let (digest, content) = packed(&folder);
    let _ = put(&installation, &token, "shop", &digest, content).await.expect(201);
    let repo = json!({ "repo": format!("upload:{digest}") });
    let _ = installation.call(Method::PATCH, &app.path, repo).await.expect(200);
    let broken = app.broken("BuildFailed").await;
    let message = broken["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("passwd is a link to \"/etc/passwd\""), "{message}");
    let content = b"no archive at all".to_vec();
    let digest = sha256(&content);
    let _ = put(&installation, &token, "shop", &digest, content).await.expect(201);
    let repo = json!({ "repo": format!("upload:{digest}") });
    let _ = installation.call(Method::PATCH, &app.path, repo).await.expect(200);
    eventually("it is no archive", || async {
        let row = installation.get(&app.path).await.body;
        row["conditions"][0]["message"].as_str().is_some_and(|message| message.contains("no tar"))
    })
    .await;
    assert_eq!(app.says("/").await, "plain", "what served goes on");
}

async fn an_upload_survives_the_control_plane(on: On) {
    let mut installation = installation_with(on, SETTINGS).await;
    let folder = directory(&installation, "shop", &samples::PLAIN);
    let (digest, content) = packed(&folder);
    let body = json!({ "repo": "upload:".to_owned() + &digest });
    let path = App::create(&installation, "shop", body).await.path.clone();
    installation.kill();
    installation.up().await;
    let token = installation.token.clone();
    // One that breaks off leaves nothing.
    break_off(&installation, &format!("{path}/uploads/{digest}"), &content);
    let _ = installation.get(&format!("{path}/uploads/{digest}")).await.expect(404);
    let _ = put(&installation, &token, "shop", &digest, content).await.expect(201);
    // What was acknowledged is there, and the release comes of it by itself.
    installation.kill();
    installation.up().await;
    let _ = installation.get(&format!("{path}/uploads/{digest}")).await.expect(200);
    let app = App { installation: &installation, beside: None, path };
    assert_eq!(app.active().await["release"], 1);
    assert_eq!(app.says("/").await, "plain");

    // Between the upload of a change and its deploy: the old release serves, and the same words go on.
    write(&folder, &[("app.py", &samples::PLAIN[0].1.replace("plain", "two"))]);
    let (digest, content) = packed(&folder);
    let path = app.path.clone();
    let _ = put(&installation, &token, "shop", &digest, content).await.expect(201);
    installation.kill();
    installation.up().await;
    let app = App { installation: &installation, beside: None, path };
    assert_eq!(app.active().await["release"], 1);
    assert_eq!(app.says("/").await, "plain");
    let (code, _, err) = run_in(&installation, &folder, &["deploy", "."]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(app.says("/").await, "two");
}

/// Sends half of an upload and closes the connection.
fn break_off(installation: &Installation, path: &str, content: &[u8]) {
    use std::io::Write;
    let address = installation.url.strip_prefix("http://").unwrap();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let (length, token) = (content.len(), &installation.token);
    write!(
        connection,
        "PUT {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    connection.write_all(&content[..length / 2]).unwrap();
}
