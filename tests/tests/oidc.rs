//! Tokens of a real OIDC issuer, which the test runs: discovery, keys, rotation, users, roles by group.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use metapaas_tests::harness::{Installation, On, answer, client, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(a_token_of_an_issuer_is_a_user_with_the_roles_of_its_groups);

const DEMO: &str = "/v1/types/demo/instances";
const WHOAMI: &str = "/v1/iam/whoami";

/// `oidc-provider-mock` of PyPI.
struct Issuer {
    process: Child,
    url: String,
    port: u16,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Issuer {
    async fn start(dir: &Path, port: Option<u16>) -> Self {
        let python = std::env::var("METAPAAS_TEST_PYTHON").expect(
            "METAPAAS_TEST_PYTHON must name a Python that has tests/requirements.txt; `cargo xtask test` sets it, \
             `cargo xtask tools` makes it",
        );
        let port = port.unwrap_or_else(|| {
            let free = TcpListener::bind("127.0.0.1:0").expect("find a free port");
            free.local_addr().expect("its address").port()
        });
        let log = std::fs::File::create(dir.join("issuer.log")).expect("make the issuer's log");
        let user = |claims: Value| ["--user-claims".to_owned(), claims.to_string()];
        let process = Command::new(python)
            .args(["-m", "oidc_provider_mock", "--host", "127.0.0.1", "--port", &port.to_string()])
            .args(user(
                json!({ "sub": "s-alice", "preferred_username": "Alice", "groups": ["staff", "painters"] }),
            ))
            .args(user(json!({ "sub": "s-admin", "preferred_username": "admin", "groups": [] })))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start the issuer");
        let issuer = Self { process, url: format!("http://127.0.0.1:{port}"), port };
        let discovery = format!("{}/.well-known/openid-configuration", issuer.url);
        eventually("the issuer answers", || async {
            client().get(&discovery).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        issuer
    }

    /// An ID token of the user for the client, by the authorization code flow.
    async fn token(&self, subject: &str, audience: &str) -> String {
        let back = "http://127.0.0.1/back";
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let authorize = format!(
            "{}/oauth2/authorize?client_id={audience}&redirect_uri={back}&response_type=code&scope=openid+profile",
            self.url
        );
        let form = "application/x-www-form-urlencoded";
        let login = http.post(authorize).header("content-type", form).body(format!("sub={subject}"));
        let redirect = answer(login).await;
        let location = redirect.header("location").expect("a redirect").to_owned();
        let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
        let body = format!("grant_type=authorization_code&code={code}&redirect_uri={back}");
        let request = http.post(format!("{}/oauth2/token", self.url)).basic_auth(audience, Some("secret"));
        let tokens = answer(request.header("content-type", form).body(body)).await.expect(200);
        tokens.body["id_token"].as_str().expect("an ID token").to_owned()
    }
}

/// Accepts the issuer's tokens from the next start on.
fn trust(installation: &mut Installation, issuer: &Issuer, create_users: bool) {
    let settings = format!(
        r#"
[[oidc]]
issuer = "{}"
audience = ["metapaas"]
groups_claim = "groups"
create_users = {create_users}

[[oidc.roles]]
group = "staff"
role = "viewer"
project = "default"

[[oidc.roles]]
group = "painters"
role = "painter"
project = "default"
"#,
        issuer.url
    );
    let file = installation.dir().join("metapaas.toml");
    std::fs::write(&file, settings).unwrap();
    installation.set("METAPAAS_CONFIG", file.to_str().unwrap());
}

async fn a_token_of_an_issuer_is_a_user_with_the_roles_of_its_groups(on: On) {
    let mut installation = Installation::new(PROGRAM, on, &[("METAPAAS_LOG", "trace")]).await;
    let issuer = Issuer::start(installation.dir(), None).await;
    trust(&mut installation, &issuer, false);
    installation.up().await;
    let project = installation.default_project().await;
    let alice = issuer.token("s-alice", "metapaas").await;
    let unknown = installation.call_as(&alice, Method::GET, WHOAMI, Value::Null).await.expect(401);
    assert_eq!(
        unknown.body["reason"], "unknown_user",
        "no user is made unless the issuer is trusted with that"
    );

    trust(&mut installation, &issuer, true);
    installation.stop();
    installation.up().await;
    let who = installation.call_as(&alice, Method::GET, WHOAMI, Value::Null).await.expect(200).body;
    assert_eq!((&who["name"], &who["kind"]), (&json!("alice"), &json!("user")));
    let again = issuer.token("s-alice", "metapaas").await;
    let again = installation.call_as(&again, Method::GET, WHOAMI, Value::Null).await.expect(200).body;
    assert_eq!(again["id"], who["id"], "the same subject is the same user");
    // Her group is a viewer in the project.
    let create = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, create.clone()).await.expect(201);
    let one = format!("{DEMO}/my-demo");
    let _ = installation.call_as(&alice, Method::GET, &one, Value::Null).await.expect(200);
    let theme = json!({ "theme": "dark" });
    let _ = installation.call_as(&alice, Method::PATCH, &one, theme.clone()).await.expect(403);
    // The role of the other group comes to be: it holds from then on.
    let permissions = ["demo.instances.update", "demo.instances.field:theme"];
    let role = json!({ "name": "painter", "project_id": project, "permissions": permissions });
    let _ = installation.call(Method::POST, "/v1/iam/roles", role).await.expect(201);
    let _ = installation.call_as(&alice, Method::PATCH, &one, theme).await.expect(200);
    // And a binding, as for every user.
    let principal = json!({ "kind": "user", "id": who["id"] });
    let owner = json!({ "project_id": project, "principal": principal, "role": "owner" });
    let _ = installation.call(Method::POST, "/v1/iam/bindings", owner).await.expect(201);
    let _ = installation.call_as(&alice, Method::DELETE, &one, Value::Null).await.expect(202);

    // Whoever is called like somebody here is somebody else.
    let admin = issuer.token("s-admin", "metapaas").await;
    let admin = installation.call_as(&admin, Method::GET, WHOAMI, Value::Null).await.expect(200).body;
    assert!(admin["name"].as_str().unwrap().starts_with("admin-"), "{admin}");
    assert_eq!(admin["platform_role"], Value::Null);

    let foreign = issuer.token("s-alice", "another-program").await;
    let _ = installation.call_as(&foreign, Method::GET, WHOAMI, Value::Null).await.expect(401);
    let mut forged = alice.clone();
    forged.replace_range(
        alice.len() - 20..alice.len() - 19,
        if alice.as_bytes()[alice.len() - 20] == b'A' { "B" } else { "A" },
    );
    let _ = installation.call_as(&forged, Method::GET, WHOAMI, Value::Null).await.expect(401);

    // The issuer gets a new key in the old one's place.
    let port = issuer.port;
    drop(issuer);
    let issuer = Issuer::start(installation.dir(), Some(port)).await;
    let newer = issuer.token("s-alice", "metapaas").await;
    eventually("the new key is found", || async {
        installation.call_as(&newer, Method::GET, WHOAMI, Value::Null).await.status == 200
    })
    .await;
    let disabled = json!({ "disabled": true });
    let _ = installation.call(Method::PATCH, "/v1/iam/users/alice", disabled).await.expect(200);
    // What was remembered of the old key's token is forgotten with the change, and the key is gone.
    for token in [&newer, &alice] {
        let _ = installation.call_as(token, Method::GET, WHOAMI, Value::Null).await.expect(401);
    }
    // Who reads the log can do nothing with it: no token has been written down, right or wrong.
    let log = installation.read_log();
    for token in [&alice, &newer, &foreign, &forged] {
        assert!(!log.contains(token.rsplit('.').next().unwrap()), "a signature is in the log");
    }
}

#[test]
fn a_wrong_issuer_is_a_mistake_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metapaas.toml");
    for (settings, expected) in [
        ("issuer = \"http://id.example.com\"\naudience = [\"metapaas\"]", "http is for this machine alone"),
        ("issuer = \"https://id.example.com\"\naudience = []", "oidc.audience"),
        ("issuer = \"https://id.example.com\"\naudience = [\"a\"]\nrole = 1", "role"),
        (
            "issuer = \"https://id.example.com\"\naudience = [\"a\"]\n[[oidc.roles]]\ngroup = \"a\"\nrole = \"b\"\nproject = \"c\"",
            "groups_claim",
        ),
    ] {
        std::fs::write(&file, format!("[[oidc]]\n{settings}\n")).unwrap();
        let ended = Command::new(PROGRAM)
            .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .arg("--config")
            .arg(&file)
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains(expected), "{expected}: {said}");
    }
}
