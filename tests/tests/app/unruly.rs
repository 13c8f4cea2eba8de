//! Apps that break the contract once they run: each ends in a clear state with the reason in the instance, and the
//! platform goes on serving what it served.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use metapaas_tests::harness::{Installation, On, eventually};
use serde_json::json;

use super::repository::Repository;
use super::{App, samples};
use crate::PROGRAM;

/// An app may take two seconds to answer.
const SETTINGS: &str = r#"{app={transports=["http","file"],drain_seconds=1,start_seconds=2}}"#;

/// Runs for ever and listens nowhere.
const SILENT: &str = "import time\ntime.sleep(3600)\n";

/// Listens on a port of its own choice.
const STUBBORN: &str = r#"import http.server
http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler).serve_forever()
"#;

/// What comes before the greeter: it ends a while after it has begun to serve.
const MORTAL: &str = r#"import os, threading
threading.Timer(3, lambda: os._exit(7)).start()
"#;

/// What comes before the greeter: thirty megabytes of words.
const TALKATIVE: &str = r#"
for _ in range(30_000):
    print("x" * 1000, flush=False)
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_breaks_the_contract_is_told_why() {
    let installation = Installation::start_with(PROGRAM, On::Sqlite, &[("METAPAAS_PLUGINS", SETTINGS)]).await;
    let repository = Repository::new();
    repository.commit(&samples::GREETER);
    let app = App::create(&installation, "unruly", json!({ "repo": repository.url() })).await;
    app.active().await;
    let deploy = async |code: &str| {
        repository.commit(&[("app.py", code)]);
        app.act("deploy", json!({})).await;
    };
    let greeter = samples::GREETER[0].1;

    for (number, code) in [(2, SILENT), (3, STUBBORN)] {
        deploy(code).await;
        eventually("the release has failed", || async {
            installation.get(&format!("{}/releases/{number}", app.path)).await.body["state"] == "FAILED"
        })
        .await;
        let broken = app.broken("HealthCheckFailed").await;
        let message = broken["conditions"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("release {number}:")), "{message}");
        assert!(message.contains("which is $PORT"), "{message}");
        assert!(message.contains("release 1 goes on serving"), "{message}");
        assert_eq!(app.says("/").await, "none");
    }

    // What serves and ends later is started again, with a pause, and the instance says so.
    deploy(&format!("{MORTAL}{greeter}")).await;
    let serving = app.active().await["release"].clone();
    assert_eq!(serving, 4);
    eventually("the instance says that it ended", || async {
        let row = installation.get(&app.path).await.body;
        row["conditions"][0]["message"].as_str().is_some_and(|message| message.contains("exit status: 7"))
    })
    .await;
    eventually("it is started again", || async {
        installation.get(&app.path).await.body["status"] == "ACTIVE"
    })
    .await;

    // What floods its log serves all the same, and its log does not grow for ever.
    deploy(&format!("{TALKATIVE}{greeter}")).await;
    assert_eq!(app.active().await["release"], 5);
    assert_eq!(app.says("/").await, "none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_asks_who_is_there_is_not_built() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in server.incoming().flatten() {
            let mut lines = BufReader::new(&connection).lines();
            while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
                          Content-Length: 0\r\nConnection: close\r\n\r\n";
            // Who has gone needs no answer.
            let _ = (&connection).write_all(answer.as_bytes());
        }
    });
    let installation = Installation::start_with(PROGRAM, On::Sqlite, &[("METAPAAS_PLUGINS", SETTINGS)]).await;
    let repo = format!("http://127.0.0.1:{port}/private.git");
    let app = App::create(&installation, "private", json!({ "repo": repo })).await;
    let broken = app.broken("BuildFailed").await;
    let message = broken["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("lets nobody in without credentials"), "{message}");
}
