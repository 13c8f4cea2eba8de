//! A router with a table of its own, and nodes that answer as they are told.

use std::net::SocketAddr;
use std::time::Duration;

use metapaas_router::config::{self, CONFIG_FILE, STATE_FILE, TABLE_FILE};
use metapaas_router::table::{WireRoute, WireTable};
use metapaas_router::{RouterConfig, RouterState};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A router for these nodes under `a.localhost`; where it listens.
pub(crate) async fn router(backends: &[SocketAddr]) -> (tempfile::TempDir, SocketAddr) {
    let directory = tempfile::tempdir().unwrap();
    let free: SocketAddr = ([127, 0, 0, 1], 0).into();
    config::write(directory.path(), CONFIG_FILE, &RouterConfig { listen: free, admin: free }).unwrap();
    let route = WireRoute {
        instance: uuid::Uuid::nil(),
        name: "web".into(),
        hosts: vec!["a.localhost".into()],
        port: None,
        backends: backends.to_vec(),
    };
    let empty = WireRoute { hosts: vec!["empty.localhost".into()], backends: Vec::new(), ..route.clone() };
    config::write(directory.path(), TABLE_FILE, &WireTable { revision: 1, routes: vec![route, empty] })
        .unwrap();
    tokio::spawn(metapaas_router::engine::run(directory.path().to_owned()));
    loop {
        if let Ok(state) = config::read::<RouterState>(directory.path(), STATE_FILE) {
            return (directory, state.address);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A node: hands the head of each request on a connection to `answer`, which says what to write.
pub(crate) async fn node(answer: fn(&str) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(head) = head(&mut stream).await {
                    let bytes = answer(&head);
                    if bytes.is_empty() || stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// Sends bytes and answers all that comes until the router closes.
pub(crate) async fn exchange(router: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(router).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// What the router in a directory tells operators.
pub(crate) async fn metrics_of(directory: &std::path::Path) -> String {
    let state: RouterState = config::read(directory, STATE_FILE).unwrap();
    exchange(state.admin, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await
}

/// An answer with fields that are for the router alone.
pub(crate) fn says(text: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: x-secret\r\nx-secret: 1\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}
