//! Master keys that change under a running platform, and what must not leave it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use metapaas_tests::harness::{Installation, On, answer, eventually, recorded_pid};
use metapaas_tests::sse::Stream;
use reqwest::Method;
use serde_json::{Value, json};

use self::markers::Markers;
use crate::{PROGRAM, WITH_VAULT, on_both};

mod markers;
mod platform;

on_both!(
    a_new_key_takes_over_while_everything_runs,
    sealing_anew_survives_kill_9,
    nothing_secret_is_written_or_told,
);

const VAULTS: &str = "/v1/types/vault/instances";
const ONE: &str = "/v1/types/vault/instances/one";
const ENTRIES: &str = "/v1/types/vault/instances/one/entries";

/// Runs `metapaas keys` and answers its output.
fn keys(installation: &Installation, arguments: &[&str]) -> Output {
    let url = installation.database_url();
    let mut all = vec!["keys"];
    if let Some(url) = &url {
        all.extend(["--database", url]);
    }
    all.extend(arguments);
    installation.cli(&all)
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it was not refused");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

/// What `keys list` shows: state and number of values by key.
fn listed(installation: &Installation) -> BTreeMap<String, (String, u64)> {
    let text = done(&keys(installation, &["list", "--output", "json"]));
    let items: Vec<Value> = serde_json::from_str(&text).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items
        .iter()
        .map(|item| (text(&item["id"]), (text(&item["state"]), item["values"].as_u64().unwrap())))
        .collect()
}

/// A vault with everything that can be secret in it; answers what its creation answered.
async fn vault(installation: &Installation) -> Value {
    let project = installation.default_project().await;
    let body = json!({
        "name": "one", "project_id": project, "password": "the-password", "keys": ["key-1", "key-2"],
        "settings": { "a": "setting-a" },
    });
    let request = installation.client().post(format!("{}{VAULTS}", installation.url)).json(&body);
    let request = request.bearer_auth(&installation.token).header("idempotency-key", "make-one");
    let made = answer(request).await.expect(201).body;
    let entry = json!({ "name": "first", "value": "the-value" });
    let _ = installation.call(Method::POST, ENTRIES, entry).await.expect(201);
    let share = json!({ "name": "ann", "pin": "the-pin" });
    let _ = installation.call(Method::POST, &format!("{ENTRIES}/first/shares"), share).await.expect(201);
    installation.active(ONE).await;
    made
}

/// What the nodes of the vault hold.
fn contents(installation: &Installation) -> Vec<Value> {
    let files = installation.node_dirs().into_iter().map(|dir| dir.join("work/vault.json"));
    files.filter_map(|file| serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()).collect()
}

fn key_file(installation: &Installation) -> PathBuf {
    installation.data_dir().join("master.key")
}

async fn a_new_key_takes_over_while_everything_runs(on: On) {
    let mut installation = Installation::start(WITH_VAULT, on).await;
    let made = vault(&installation).await;
    let before = listed(&installation);
    let (old, (state, values)) = before.iter().next().unwrap();
    // Four of the instance, one of the entry, one of the share, a node's document, the signing key.
    assert!(before.len() == 1 && state == "seals" && *values >= 8, "{before:?}");
    let shown = done(&keys(&installation, &["list"]));
    assert!(shown.starts_with("KEY") && shown.contains(old.as_str()) && shown.contains("seals"), "{shown}");
    refused(&keys(&installation, &["remove", old]), &["seals"]);
    let rows = [ONE.to_owned(), format!("{ENTRIES}/first"), format!("{ENTRIES}/first/shares/ann")];
    let mut as_they_were = Vec::new();
    for row in &rows {
        as_they_were.push(installation.get(row).await.expect(200).body);
    }

    let new = done(&keys(&installation, &["add"]));
    assert_eq!(std::fs::metadata(key_file(&installation)).unwrap().permissions().mode() & 0o777, 0o600);
    eventually("the control plane has sealed everything anew", || async {
        let now = listed(&installation);
        now[old].1 == 0 && now[&new] == ("seals".to_owned(), *values)
    })
    .await;
    for (row, before) in rows.iter().zip(&as_they_were) {
        let after = installation.get(row).await.expect(200).body;
        for member in ["revision", "generation", "updated_at"] {
            assert_eq!(after[member], before[member], "{row} {member}");
        }
    }

    eventually("the heartbeat has said which key seals", || async {
        keys(&installation, &["remove", old]).status.success()
    })
    .await;
    assert_eq!(listed(&installation).keys().collect::<Vec<_>>(), [&new]);
    assert!(!std::fs::read_to_string(key_file(&installation)).unwrap().contains(old.as_str()));
    assert!(installation.stop());
    installation.up().await;
    // Whatever is secret still opens: a new node gets all of it.
    let _ = installation.call(Method::PATCH, ONE, json!({ "replicas": 2 })).await.expect(200);
    installation.active(ONE).await;
    let nodes = contents(&installation);
    assert_eq!(nodes.len(), 2);
    for node in nodes {
        assert_eq!(node["password"], "the-password");
        assert_eq!(node["token"], made["token"]);
        assert_eq!(node["keys"], json!(["key-1", "key-2"]));
        assert_eq!(node["settings"], json!({ "a": "setting-a" }));
        assert_eq!(node["entries"], json!({ "first": "the-value" }));
    }
}

async fn sealing_anew_survives_kill_9(on: On) {
    let mut installation = Installation::start(WITH_VAULT, on).await;
    vault(&installation).await;
    for index in 0..120 {
        let entry = json!({ "name": format!("entry-{index}"), "value": format!("value-{index}") });
        let _ = installation.call(Method::POST, ENTRIES, entry).await.expect(201);
    }
    let old = listed(&installation).into_keys().next().unwrap();
    // Without a control plane nothing is sealed anew by itself.
    assert!(installation.stop());
    let new = done(&keys(&installation, &["add"]));
    refused(&keys(&installation, &["remove", &old]), &["keys reseal"]);
    for pause in [20, 60, 120] {
        let mut command = Command::new(WITH_VAULT);
        command.arg("keys").env_clear().env("METAPAAS_DATA_DIR", installation.data_dir());
        if let Some(url) = installation.database_url() {
            command.args(["--database", &url]);
        }
        let mut reseal = command.arg("reseal").stdout(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        reseal.kill().unwrap();
        reseal.wait().unwrap();
    }
    installation.up().await;
    let (url, token, client) = (installation.url.clone(), installation.token.clone(), installation.client());
    // Changes go on meanwhile; none of them is lost.
    let changes = tokio::spawn(async move {
        for round in 0..10 {
            for index in 0..10 {
                let body = json!({ "value": format!("round-{round}") });
                let request = client.patch(format!("{url}{ENTRIES}/entry-{index}")).json(&body);
                let _ = answer(request.bearer_auth(&token)).await.expect(200);
            }
        }
    });
    let _ = done(&keys(&installation, &["reseal"]));
    changes.await.unwrap();
    eventually("everything is sealed under the new key", || async { listed(&installation)[&old].1 == 0 })
        .await;
    eventually("the old key can go", || async { keys(&installation, &["remove", &old]).status.success() })
        .await;
    assert_eq!(listed(&installation).into_keys().collect::<Vec<_>>(), [new]);
    installation.active(ONE).await;
    let entries = contents(&installation)[0]["entries"].clone();
    for index in 0..120 {
        let expected = if index < 10 { "round-9".to_owned() } else { format!("value-{index}") };
        assert_eq!(entries[format!("entry-{index}")], expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_without_the_new_key_says_so_and_loses_nothing() {
    let first = Installation::start(WITH_VAULT, On::Postgres).await;
    let second = first.second().await;
    vault(&first).await;
    let old = listed(&first).into_keys().next().unwrap();
    let new = done(&keys(&first, &["add"]));
    eventually("the first has sealed everything anew", || async { listed(&first)[&old].1 == 0 }).await;
    // What needs no secret is served, the rest says what is wrong.
    let _ = second.get(ONE).await.expect(200);
    let lacking = second.call(Method::PATCH, ONE, json!({ "note": "x" })).await.expect(503);
    assert_eq!(lacking.body["code"], "UNAVAILABLE");
    assert!(lacking.body["detail"].as_str().unwrap().contains(&new), "{}", lacking.body);
    assert!(lacking.header("retry-after").is_some());
    // It still seals with the old key, which therefore must not go.
    refused(&keys(&first, &["remove", &old]), &[&second.url, "seals"]);
    let entry = json!({ "name": "late", "value": "sealed under the old key" });
    let _ = second.call(Method::POST, ENTRIES, entry).await.expect(201);
    std::fs::copy(key_file(&first), key_file(&second)).unwrap();
    eventually("the second has the new key", || async {
        second.call(Method::PATCH, ONE, json!({ "note": "y" })).await.status == 200
    })
    .await;
    eventually("the second has said so, and what it sealed is sealed anew", || async {
        let _ = done(&keys(&first, &["reseal"]));
        keys(&first, &["remove", &old]).status.success()
    })
    .await;
    second.active(ONE).await;
    assert_eq!(contents(&first)[0]["entries"]["late"], "sealed under the old key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn master_keys_may_come_from_the_environment() {
    let key = done(
        &Command::new(PROGRAM).args(["keys", "generate"]).env_clear().env("HOME", "/").output().unwrap(),
    );
    let other = done(
        &Command::new(PROGRAM).args(["keys", "generate"]).env_clear().env("HOME", "/").output().unwrap(),
    );
    let mut installation =
        Installation::start_with(WITH_VAULT, On::Sqlite, &[("METAPAAS_MASTER_KEY", &key)]).await;
    assert!(!key_file(&installation).exists(), "no key is written down");
    vault(&installation).await;
    let agent =
        installation.node_dirs().iter().find_map(|dir| recorded_pid(&dir.join("agent.json"))).unwrap();
    let environment =
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{agent}/environ")).unwrap()).into_owned();
    assert!(environment.contains("METAPAAS_NODE") && !environment.contains("MASTER_KEY"), "{environment}");
    refused(&keys(&installation, &["add"]), &["METAPAAS_MASTER_KEY"]);
    // Several keys in one variable: the first seals, all open.
    assert!(installation.stop());
    installation.set("METAPAAS_MASTER_KEY", &format!("{other},{key}"));
    installation.up().await;
    let old = key.split(':').next().unwrap().to_owned();
    eventually("what the older one sealed is sealed anew", || async { listed(&installation)[&old].1 == 0 })
        .await;
    assert!(installation.stop());
    // A file with other keys beside it is refused: nobody could tell which are meant.
    std::fs::write(key_file(&installation), format!("{key}\n")).unwrap();
    let started = Command::new(WITH_VAULT)
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(installation.data_dir())
        .env_clear()
        .env("METAPAAS_MASTER_KEY", &other)
        .output()
        .unwrap();
    refused(&started, &["METAPAAS_MASTER_KEY", "master.key", "different"]);
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    for secret in [&key, &other] {
        assert!(!said.contains(secret.split(':').nth(1).unwrap()), "{said}");
    }
}

async fn nothing_secret_is_written_or_told(on: On) {
    let format = if on == On::Sqlite { "text" } else { "json" };
    let settings = [("METAPAAS_LOG", "trace"), ("METAPAAS_LOG_FORMAT", format), ("RUST_LOG", "trace")];
    let installation = Installation::start_with(WITH_VAULT, on, &settings).await;
    let project = installation.default_project().await;
    let [password, key, setting, value, pin, user_password, wrong, unknown] = std::array::from_fn(|index| {
        format!("MaRkEr{index}x{:016x}", 0x9e37_79b9_7f4a_7c15_u64 ^ index as u64)
    });
    let mut told = Vec::new();

    // Secrets that clients give, and those that are made for them.
    let body = json!({
        "name": "one", "project_id": project, "password": password, "keys": [key], "settings": { "s": setting },
    });
    let request = installation.client().post(format!("{}{VAULTS}", installation.url)).json(&body);
    let request = request.bearer_auth(&installation.token).header("idempotency-key", "a-key");
    let made = answer(request).await.expect(201);
    let token = made.body["token"].as_str().expect("a generated secret is shown once").to_owned();
    let entry = json!({ "name": "first", "value": value });
    told.push(installation.call(Method::POST, ENTRIES, entry).await.expect(201));
    let share = json!({ "name": "ann", "pin": pin });
    told.push(installation.call(Method::POST, &format!("{ENTRIES}/first/shares"), share).await.expect(201));
    let mut watch = Stream::open(&installation, VAULTS, None).await;
    let patch = json!({ "note": "seen", "password": password });
    told.push(installation.call(Method::PATCH, ONE, patch).await.expect(200));
    let user = json!({ "name": "vera", "password": user_password });
    told.push(installation.call(Method::POST, "/v1/iam/users", user).await.expect(201));
    let login = json!({ "grant_type": "password", "username": "vera", "password": user_password });
    let pair = installation.call(Method::POST, "/v1/iam/token", login).await.expect(200).body;
    let account = json!({ "name": "robot", "project_id": project });
    told.push(installation.call(Method::POST, "/v1/iam/service-accounts", account).await.expect(201));
    let tokens = "/v1/iam/service-accounts/robot/tokens";
    let service = installation.call(Method::POST, tokens, json!({})).await.expect(201).body;
    installation.active(ONE).await;
    let mut watched = Vec::new();
    while let Some(event) = watch.next().await {
        watched.push(event.object);
        if watched.last().is_some_and(|object| object["note"] == "seen") {
            break;
        }
    }

    // Mistakes with secrets in them.
    for body in [
        json!({ "name": "two", "project_id": project, "password": { "x": wrong } }),
        json!({ "name": "two", "project_id": project, "password": [wrong] }),
        json!({ "name": "two", "project_id": project, "password": wrong.repeat(100) }),
        json!({ "name": "two", "project_id": project, "password": "p", "keys": [wrong, 5] }),
        json!({ "name": "two", "project_id": project, "password": "p", "keys": wrong }),
        json!({ "name": "two", "project_id": project, "password": "p", "pass": unknown }),
        json!({ "name": "two", "password": "p", "settings": { "a": [wrong] } }),
        json!({ "name": "one", "project_id": project, "password": wrong }),
    ] {
        told.push(installation.call(Method::POST, VAULTS, body).await);
    }
    for text in
        [format!("{{\"password\": \"{wrong}\""), wrong.to_string(), format!("{{\"a\": \"{wrong}\\x\"}}")]
    {
        let request = installation.client().post(format!("{}{VAULTS}", installation.url)).body(text);
        let request = request.header("content-type", "application/json").bearer_auth(&installation.token);
        told.push(answer(request).await.expect(400));
    }
    told.push(installation.call_as(&wrong, Method::GET, ONE, Value::Null).await.expect(401));
    let request = installation.client().get(format!("{}{ONE}", installation.url));
    told.push(answer(request.header("authorization", format!("Basic {wrong}"))).await.expect(401));
    let bad_login = json!({ "grant_type": "password", "username": "vera", "password": wrong });
    told.push(installation.call(Method::POST, "/v1/iam/token", bad_login).await.expect(401));
    let bad_refresh = json!({ "grant_type": "refresh_token", "refresh_token": wrong });
    told.push(installation.call(Method::POST, "/v1/iam/token", bad_refresh).await);
    told.push(
        installation.call(Method::POST, "/v1/iam/users", json!({ "name": "x", "password": [wrong] })).await,
    );

    let admin: Value =
        serde_json::from_str(&std::fs::read_to_string(installation.data_dir().join("admin.json")).unwrap())
            .unwrap();
    let node = installation.node_dirs().into_iter().find(|dir| dir.join("token").is_file()).unwrap();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let master = std::fs::read_to_string(key_file(&installation)).unwrap();
    let markers = Markers(vec![
        ("a secret that a client gave", password.clone()),
        ("a secret in a list", key),
        ("a secret in a map", setting),
        ("a child's secret", value),
        ("a grandchild's secret", pin),
        ("a generated secret", token),
        ("a user's password", user_password),
        ("a secret in a wrong request", wrong),
        ("a value of an unknown field", unknown),
        ("an access token", text(&pair["access_token"])),
        ("a refresh token", text(&pair["refresh_token"])),
        ("a service token", text(&service["token"])),
        ("the first administrator's token", text(&admin["token"])),
        ("a node's token", std::fs::read_to_string(node.join("token")).unwrap().trim().to_owned()),
        ("the master key", master.trim().split(':').nth(1).unwrap().to_owned()),
    ]);
    // The search finds what is there: the node needs the secret, and has it in its own file.
    let document = std::fs::read_to_string(node.join("document.json")).unwrap();
    assert!(document.contains(&password), "the node has the secret");

    for path in [
        ONE,
        VAULTS,
        ENTRIES,
        &format!("{ENTRIES}/first"),
        &format!("{ENTRIES}/first/shares"),
        "/v1/types",
        "/v1/types/vault",
        "/v1/iam/users",
        "/v1/iam/users/vera",
        "/v1/iam/service-accounts",
        tokens,
        "/v1/iam/whoami",
        "/v1/iam/bindings",
        "/v1/events",
        "/v1/openapi.json",
        "/metrics",
        "/docs",
        "/no/such/path",
    ] {
        told.push(installation.get(path).await);
    }
    assert!(watched.iter().any(|object| object["note"] == "seen"), "{watched:?}");
    markers.absent("a watch", json!(watched).to_string().as_bytes());
    markers.absent_in(&told);
    markers.absent_everywhere(&installation);
    assert!(installation.read_log().contains("vault"), "the log is there");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", installation.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "no core dumps: {core}");
}

#[test]
fn a_database_password_is_told_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let marker = "MaRkErOfTheDatabase";
    for format in ["text", "json"] {
        let output = Command::new(PROGRAM)
            .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .env_clear()
            .env("METAPAAS_DATABASE", format!("postgres://metapaas:{marker}@127.0.0.1:1/metapaas"))
            .envs([("METAPAAS_LOG", "trace"), ("METAPAAS_LOG_FORMAT", format)])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("PostgreSQL"), "{said}");
        assert!(!said.contains(marker), "{said}");
    }
}
