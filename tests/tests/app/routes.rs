//! The way to an app: its name, its port and its own host names, over redeploys, stops and to the end.

use std::collections::BTreeSet;
use std::process::Command;

use metapaas_tests::harness::{Installation, On, client, eventually};
use metapaas_tests::repository::Repository;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{App, SETTINGS, samples};
use crate::PROGRAM;
use crate::openapi::{python, run};

async fn installation() -> Installation {
    let environment = [("METAPAAS_PLUGINS", SETTINGS), ("METAPAAS_ROUTER_LISTEN", "127.0.0.1:0")];
    let installation = Installation::start_with(PROGRAM, On::Sqlite, &environment).await;
    eventually("the router listens", || async { installation.router().is_some() }).await;
    installation
}

async fn get(address: &str, host: &str) -> Option<(StatusCode, String)> {
    let answer = client().get(format!("http://{address}/")).header("host", host).send().await.ok()?;
    Some((answer.status(), answer.text().await.ok()?))
}

/// The leased port of an app, as the router has it.
fn leased(installation: &Installation, host: &str) -> Option<u64> {
    let table = std::fs::read(installation.data_dir().join("router/table.json")).ok()?;
    let table: Value = serde_json::from_slice(&table).ok()?;
    let routes = table["routes"].as_array()?;
    let route = routes
        .iter()
        .find(|route| route["hosts"].as_array().is_some_and(|hosts| hosts.contains(&json!(host))))?;
    route["port"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_keeps_its_name_and_its_port() {
    let installation = installation().await;
    let address = installation.router_address();
    let repository = Repository::new();
    repository.commit(&samples::GREETER);
    let mut apps = Vec::new();
    for name in ["one", "two", "three"] {
        let body = json!({ "repo": repository.url(), "domains": [format!("{name}.example.com")] });
        apps.push(App::create(&installation, name, body).await);
    }
    let mut ports = Vec::new();
    for (app, name) in apps.iter().zip(["one", "two", "three"]) {
        let port = app.active().await["port"].as_u64();
        assert_eq!(leased(&installation, &format!("{name}.localhost")), port);
        ports.push(port.unwrap());
    }
    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 3, "nobody shares a port: {ports:?}");

    // Whatever is done to it, an app answers at the same places.
    let app = &apps[0];
    let port = format!("127.0.0.1:{}", ports[0]);
    let answers = async |text: &str| {
        for (address, host) in
            [(&address, "one.localhost"), (&address, "ONE.Example.com:80"), (&port, "whatever.test")]
        {
            let (status, said) = get(address, host).await.unwrap();
            assert!(status == 200 && said == text, "{host} at {address}: {status} {said}");
        }
        assert_eq!(leased(&installation, "one.localhost"), Some(ports[0]));
    };
    answers("none").await;
    app.set_env("GREETING", "hello").await;
    app.active().await;
    answers("hello").await;
    repository.commit(&[("more", "")]);
    app.act("deploy", json!({})).await;
    app.active().await;
    answers("hello").await;
    app.act("rollback", json!({ "release": 1 })).await;
    app.active().await;
    answers("none").await;

    // Down is not unknown.
    app.act("stop", json!({})).await;
    app.active().await;
    for (address, host) in [(&address, "one.localhost"), (&port, "whatever.test")] {
        eventually("a stopped app is down", || async {
            get(address, host)
                .await
                .is_some_and(|(status, page)| status == 503 && page.contains("The app is not running"))
        })
        .await;
    }
    let (status, page) = get(&address, "nobody.localhost").await.unwrap();
    assert!(status == 404 && page.contains("No app has this name"), "{status} {page}");
    app.act("start", json!({})).await;
    app.active().await;
    answers("none").await;

    // What is gone is unknown, and its port is closed; others stay as they are.
    app.delete().await;
    eventually("the name leads nowhere", || async {
        get(&address, "one.localhost").await.is_some_and(|(status, _)| status == 404)
    })
    .await;
    eventually("nobody listens on its port", || async { TcpStream::connect(&port).await.is_err() }).await;
    for (name, port) in ["two", "three"].iter().zip(&ports[1..]) {
        assert_eq!(leased(&installation, &format!("{name}.localhost")), Some(*port));
        let (status, _) = get(&format!("127.0.0.1:{port}"), "x").await.unwrap();
        assert_eq!(status, 200);
    }
}

/// Talks over WebSockets with the library that the app has as well: texts, bytes, a megabyte, pings, many at once.
const TALK: &str = r#"
import socket, sys, threading
from websockets.sync.client import connect
from websockets.exceptions import InvalidStatus

uri, address, expected = sys.argv[1], sys.argv[2].split(":"), sys.argv[3]

def open_one(path="/", uri=uri):
    way = socket.create_connection((address[0], int(address[1])))
    return connect(uri + path, sock=way, max_size=None, ping_interval=None, open_timeout=30)

def talk(number):
    with open_one() as peer:
        assert peer.recv() == expected
        for word in ("hello", b"\x00\xff", "x" * (1 << 20), f"number {number}"):
            peer.send(word)
            assert peer.recv() == word, word
        assert peer.ping().wait(30)
    talked.append(number)

talked = []
threads = [threading.Thread(target=talk, args=(number,)) for number in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open_one("/leave") as peer:
    assert peer.recv() == expected
    try:
        peer.recv()
    except Exception as error:
        closed = f"{error.rcvd.code} {error.rcvd.reason}"
try:
    open_one(uri="ws://nobody.localhost").close()
except InvalidStatus as error:
    print(len(talked), closed, error.response.status_code)
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_go_both_ways_and_follow_a_redeploy() {
    let installation = installation().await;
    let repository = Repository::new();
    repository.commit(&samples::SOCKETS);
    let app = App::create(&installation, "talk", json!({ "repo": repository.url(), "ram_mb": 2048 })).await;
    app.set_env("GREETING", "first").await;
    app.active().await;
    let address = installation.router_address();
    let host = format!("ws://talk.localhost:{}", address.rsplit(':').next().unwrap());
    let talk = async |expected: &str| {
        let mut command = Command::new(python());
        command.args(["-c", TALK, &host, &address, expected]);
        tokio::task::spawn_blocking(move || run("talk over WebSockets", &mut command)).await.unwrap()
    };
    assert_eq!(talk("first").await.trim(), "20 4001 as you wish 404");
    let variable = format!("{}/env-vars/GREETING", app.path);
    let _ = installation.call(Method::PATCH, &variable, json!({ "value": "second" })).await.expect(200);
    app.active().await;
    assert_eq!(talk("second").await.trim(), "20 4001 as you wish 404");
    let _ = installation.call(Method::DELETE, &app.path, Value::Null).await.expect(202);
}
