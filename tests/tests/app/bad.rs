//! What users get wrong, and what they try: each ends in a clear state with the reason, and others go on.

use metapaas_tests::harness::{On, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::repository::Repository;
use super::{APPS, App, installation, samples};

/// The message of the condition of an app whose build fails.
async fn fails(installation: &metapaas_tests::harness::Installation, name: &str, body: Value) -> String {
    let app = App::create(installation, name, body).await;
    let broken = app.broken("BuildFailed").await;
    broken["conditions"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_built_says_why() {
    let installation = installation(On::Sqlite).await;
    let good = Repository::new();
    good.commit(&samples::PLAIN);
    let check = async |name: &str, repository: &Repository, more: Value, expected: &str| {
        let mut body = json!({ "repo": repository.url() });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let message = fails(&installation, name, body).await;
        assert!(message.contains(expected), "{name}: {message}");
    };
    check("no-repo", &good, json!({ "repo": "file:///nowhere/at/all.git" }), "no repository at").await;
    check("no-ref", &good, json!({ "git_ref": "other" }), "no branch, tag or commit other").await;
    check("no-folder", &good, json!({ "subdir": "deeper" }), "no folder \"deeper\"").await;
    check("not-allowed", &good, json!({ "repo": "https://git.example.com/a" }), "not allowed").await;
    check("other-language", &good, json!({ "runtime": "node" }), "package.json is missing").await;

    let empty = Repository::new();
    empty.commit(&[("README", "nothing")]);
    check("nothing", &empty, json!({}), "requirements.txt (python), package.json (node)").await;
    let without_entry = Repository::new();
    without_entry.commit(&[("requirements.txt", "")]);
    check("no-entry", &without_entry, json!({}), "app.py is missing").await;
    let without_script = Repository::new();
    without_script.commit(&[("package.json", "{}")]);
    check("no-script", &without_script, json!({}), "no script `start`").await;
    let unknown = Repository::new();
    unknown.commit(&[samples::PLAIN[0], ("requirements.txt", "flask==0.0.0.0\n")]);
    check("unknown-package", &unknown, json!({}), "flask==0.0.0.0").await;

    let linked = Repository::new();
    linked.commit(&samples::PLAIN);
    std::os::unix::fs::symlink("/etc", linked.folder().join("etc")).unwrap();
    linked.commit(&[]);
    check("linked", &linked, json!({}), "outside of the app").await;
    let nested = Repository::new();
    nested.commit(&samples::PLAIN);
    nested.git(&["submodule", "--quiet", "add", &good.url(), "part"]);
    nested.commit(&[]);
    check("nested", &nested, json!({}), "submodules are not supported").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_at_once() {
    let installation = installation(On::Sqlite).await;
    let project = installation.default_project().await;
    for (field, value) in [
        ("repo", json!("ext::sh -c id")),
        ("repo", json!("--upload-pack=id")),
        ("repo", json!("ssh://-oProxyCommand=id/x")),
        ("git_ref", json!("--upload-pack=id")),
        ("subdir", json!("../..")),
        ("command", json!([])),
        ("domains", json!(["no host"])),
        ("replicas", json!(0)),
    ] {
        let mut body = json!({ "name": "wrong", "project_id": project, "repo": "https://git.example.com/a" });
        body[field] = value.clone();
        let answer = installation.call(Method::POST, APPS, body).await.expect(400);
        assert!(answer.body.to_string().contains(&format!("/{field}")), "{field} {value}: {}", answer.body);
    }
    let repository = Repository::new();
    repository.commit(&samples::PLAIN);
    let app = App::create(&installation, "right", json!({ "repo": repository.url() })).await;
    for body in [
        json!({ "key": "PORT", "value": "1" }),
        json!({ "key": "A-B", "value": "1" }),
        json!({ "key": "A" }),
        json!({ "key": "A", "value": "1", "secret": "2" }),
    ] {
        let _ = installation.call(Method::POST, &format!("{}/env-vars", app.path), body).await.expect(400);
    }
    app.active().await;
    let releases = format!("{}/releases", app.path);
    let _ = installation.call(Method::POST, &releases, json!({ "number": 9 })).await.expect(405);
    let _ = installation.call(Method::DELETE, &format!("{releases}/1"), Value::Null).await.expect(405);
    let _ = installation.call(Method::PATCH, &format!("{releases}/1"), json!({})).await.expect(405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_does_not_start_leaves_the_old_one_serving() {
    let installation = installation(On::Sqlite).await;
    let repository = Repository::new();
    repository.commit(&samples::PLAIN);
    let app = App::create(&installation, "fragile", json!({ "repo": repository.url() })).await;
    app.active().await;
    repository.commit(&[("app.py", "raise SystemExit('it crashes at start')\n")]);
    app.act("deploy", json!({})).await;
    let broken = app.broken("HealthCheckFailed").await;
    assert_eq!(broken["release"], 1);
    let message = broken["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("release 2") && message.contains("release 1 goes on serving"), "{message}");
    assert_eq!(app.says("/").await, "plain");
    app.release_is(2, "FAILED").await;

    // Two at once: the newer one wins, and what serves is one of the two.
    repository.commit(&[("app.py", &samples::PLAIN[0].1.replace("plain", "third"))]);
    tokio::join!(app.act("deploy", json!({})), app.act("deploy", json!({})));
    eventually("a newer release serves", || async {
        installation.get(&app.path).await.body["release"].as_u64() > Some(2)
    })
    .await;
    let serving = app.active().await;
    assert_eq!(app.says("/").await, "third");
    app.release_is(serving["release"].as_u64().unwrap(), "SERVING").await;

    // A deploy on the way does not keep the app from going.
    app.act("deploy", json!({})).await;
    app.delete().await;
    let path = format!("{}/actions/deploy", app.path);
    eventually("a deploy finds nothing", || async {
        installation.call(Method::POST, &path, json!({})).await.status == 404
    })
    .await;
}

/// The tests run as root, where the platform can choose the user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_has_its_own_files_and_its_own_limits() {
    let installation = installation(On::Sqlite).await;
    let repository = Repository::new();
    repository.commit(&samples::PROBE);
    let app = App::create(&installation, "probe", json!({ "repo": repository.url() })).await;
    app.set_env("MINE", "1").await;
    app.active().await;
    let told: Value = serde_json::from_str(&app.says("/probe").await).unwrap();
    let folders: Vec<&str> = told["folders"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        folders.contains(&"app") && !folders.contains(&"root") && !folders.contains(&"work"),
        "{folders:?}"
    );
    assert_eq!(told["write"], "OSError", "its files can be read only: {told}");
    let ours = ["HOME", "METAPAAS_NODE", "METAPAAS_SERVICE", "MINE", "PATH", "PORT", "PYTHONUNBUFFERED"];
    let environment: Vec<&str> =
        told["environment"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(environment.iter().all(|name| ours.contains(name) || *name == "LC_CTYPE"), "{environment:?}");
    assert!(told["filled"].as_u64().unwrap() <= 256, "{told}");
    assert!(told["user"].as_u64().unwrap() >= 1_000_000, "{told}");
    assert_eq!(told["become"], "PermissionError");
    assert!(told["forked"].as_u64().unwrap() < 512, "{told}");
    assert_eq!(app.says("/").await, "{}", "it goes on");
}
