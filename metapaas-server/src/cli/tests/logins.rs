//! Logins: where they are kept, who renews them, and the local server that needs none.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::Utc;
use clap::Parser;
use serde_json::{Value, json};

use super::super::output::Output;
use super::super::places::Places;
use super::super::stub::{Cli, Stub};
use super::super::{Format, execute};
use super::demo;

#[tokio::test]
async fn without_a_login_the_local_server_is_found() {
    let mut stub = Stub::start(|_| (200, "", demo("ACTIVE"))).await;
    let ended = stub.run_bare(&["get", "demo/web"]).await;
    assert_eq!(ended.code, 7);
    assert!(
        ended.err.starts_with("error: no server is known: start one with `metapaas up`"),
        "{}",
        ended.err
    );

    stub.is_local();
    let ended = stub.run_bare(&["get", "demo/web"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(stub.calls()[0].token, "local-token");
    let endpoint = stub.endpoint.clone();
    stub.run_bare(&["--endpoint", &format!("{endpoint}/"), "get", "demo/web"]).await;
    assert_eq!(stub.calls()[1].token, "local-token");

    stub.stop().await;
    let ended = stub.run_bare(&["get", "demo/web"]).await;
    assert_eq!(ended.code, 7);
    let expected = format!(
        "error: cannot reach {endpoint}; start it with `metapaas up`: Connection refused (os error 111)\n"
    );
    assert_eq!(ended.err, expected);
}

#[tokio::test]
async fn a_local_token_does_not_go_to_another_server() {
    let local = Stub::start(|_| (200, "", demo("ACTIVE"))).await;
    local.is_local();
    let other = Stub::start(|_| (401, "", json!({"detail": "authentication is needed"}))).await;
    let ended = local.run_bare(&["--endpoint", &other.endpoint, "get", "demo/web"]).await;
    assert_eq!(ended.code, 4);
    assert!(ended.err.contains("there are no credentials for"), "{}", ended.err);
    assert_eq!(other.calls()[0].token, "");
}

#[tokio::test]
async fn a_wrong_endpoint_is_wrong_usage() {
    let stub = Stub::start(|_| (200, "", Value::Null)).await;
    for endpoint in ["localhost:8080", "ftp://x", "https://user:pw@x", "http://x/?a=b", "nonsense"] {
        let ended = stub.run_bare(&["--endpoint", endpoint, "whoami"]).await;
        assert_eq!(ended.code, 2, "{endpoint}: {}", ended.err);
    }
}

/// Gives each token once and takes each refresh token once, as the contract says.
async fn issuer(expires_in: u32) -> Stub {
    let given = AtomicUsize::new(1);
    Stub::start(move |call| {
        let number = given.load(Ordering::SeqCst);
        let tokens = |number: usize| {
            json!({"access_token": format!("access-{number}"), "refresh_token": format!("refresh-{number}"),
                   "token_type": "Bearer", "expires_in": expires_in})
        };
        match (call.line.as_str(), call.body["grant_type"].as_str()) {
            ("POST /v1/iam/token", Some("password")) if call.body["password"] == "right" => {
                (200, "", tokens(number))
            }
            ("POST /v1/iam/token", Some("refresh_token"))
                if call.body["refresh_token"] == format!("refresh-{number}") =>
            {
                given.fetch_add(1, Ordering::SeqCst);
                (200, "", tokens(number + 1))
            }
            ("POST /v1/iam/token", _) => (401, "", json!({"detail": "wrong credentials"})),
            ("POST /v1/iam/logout", _) => (204, "", Value::Null),
            _ if call.token == format!("access-{number}") => {
                (200, "", json!({"name": "ann", "kind": "user", "bindings": []}))
            }
            _ => (401, "", json!({"detail": "the token has ended"})),
        }
    })
    .await
}

async fn log_in(stub: &Stub, password: &str) -> Result<(), super::super::CliError> {
    let file = super::super::session::login_file(&stub.places()).unwrap();
    let mut output = Output::to(Format::Table, Box::new(std::io::sink()), Box::new(std::io::sink()));
    super::super::login::log_in(
        &super::super::client::http_client(None)?,
        &mut output,
        &file,
        &stub.endpoint,
        "ann",
        password,
    )
    .await
}

#[tokio::test]
async fn a_login_is_kept_for_its_owner_only_and_forgotten_at_logout() {
    use std::os::unix::fs::PermissionsExt;
    let stub = issuer(900).await;
    let refused = log_in(&stub, "wrong").await.unwrap_err();
    assert_eq!(refused.exit_code(), 4);
    assert!(!stub.config().join("credentials.json").exists());

    log_in(&stub, "right").await.unwrap();
    let file = stub.config().join("credentials.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("right"));
    let ended = stub.run_bare(&["whoami"]).await;
    assert!(ended.out.starts_with("name    ann\n"), "{ended:?}");

    let ended = stub.run_bare(&["logout"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("refresh-1"));
    let last = stub.calls().pop().unwrap();
    assert_eq!((last.line.as_str(), last.token.as_str()), ("POST /v1/iam/logout", "access-1"));
    assert_eq!(stub.run_bare(&["logout"]).await.code, 4);
}

#[tokio::test]
async fn processes_that_renew_at_once_do_not_end_each_others_login() {
    let stub = issuer(900).await;
    log_in(&stub, "right").await.unwrap();
    // As if the access token had ended.
    let path = stub.config().join("credentials.json");
    let mut logins: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    logins["servers"][&stub.endpoint]["expires_at"] = json!(Utc::now());
    std::fs::write(&path, logins.to_string()).unwrap();

    let whoami = || stub.run_bare(&["whoami"]);
    let ended = futures::future::join_all([whoami(), whoami(), whoami(), whoami()]).await;
    for ended in ended {
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let renewals = stub.calls().iter().filter(|call| call.body["grant_type"] == "refresh_token").count();
    assert_eq!(renewals, 1);
}

#[tokio::test]
async fn a_refused_access_token_is_renewed_once_and_an_ended_login_says_so() {
    let stub = issuer(900).await;
    log_in(&stub, "right").await.unwrap();
    let path = stub.config().join("credentials.json");
    let spoil = |token: &str| {
        let mut logins: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        logins["servers"][&stub.endpoint][token] = json!("spoilt");
        std::fs::write(&path, logins.to_string()).unwrap();
    };
    spoil("access_token");
    assert_eq!(stub.run_bare(&["whoami"]).await.code, 0);
    spoil("access_token");
    spoil("refresh_token");
    let ended = stub.run_bare(&["whoami"]).await;
    assert_eq!(ended.code, 4);
    assert!(ended.err.contains("has ended; log in with `metapaas login --endpoint"), "{}", ended.err);
}

#[tokio::test]
async fn without_a_home_nothing_panics() {
    let cli = Cli::try_parse_from(["metapaas", "whoami"]).unwrap();
    let super::super::stub::Command::Client(command) = cli.command else {
        panic!("not a command of the client")
    };
    let mut output = Output::to(Format::Table, Box::new(std::io::sink()), Box::new(std::io::sink()));
    let error =
        execute(&cli.options, &Places { config: None, data: None }, command, &mut output).await.unwrap_err();
    assert_eq!(error.exit_code(), 7);
}
