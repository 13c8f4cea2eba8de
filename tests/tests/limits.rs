//! What one client may ask at the most, provoked over raw connections.

use std::time::{Duration, Instant};

use metapaas_core::store::{Database, StoreError};
use metapaas_tests::harness::{Answer, Installation, On, PATIENCE, answer, eventually};
use metapaas_tests::sse::Stream;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{PROGRAM, on_both};

const DEMO: &str = "/v1/types/demo/instances";

on_both!(requests_by_one_principal_are_limited, a_node_is_not_limited_as_a_principal);

/// A connection to a control plane, spoken to byte by byte.
struct Raw(TcpStream);

impl Raw {
    async fn open(installation: &Installation) -> Self {
        let address = installation.url.strip_prefix("http://").unwrap();
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }

    /// All that arrives until the other side closes.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset is an end as well.
        let _ = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("an end");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One answer with `Content-Length`.
    async fn answer(&mut self) -> Answer {
        let mut bytes = Vec::new();
        loop {
            if let Some(answer) = parsed(&bytes) {
                return answer;
            }
            let mut buffer = [0; 4096];
            let read =
                tokio::time::timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("an answer").unwrap();
            assert!(read > 0, "it ended after {:?}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&buffer[..read]);
        }
    }
}

fn parsed(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse::<u16>().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let status = StatusCode::from_u16(status).ok()?;
    let answer = Answer { status, headers, body: serde_json::from_str(body).unwrap_or_default() };
    let length: usize = answer.header("content-length")?.parse().ok()?;
    (body.len() >= length).then_some(answer)
}

async fn with(settings: &[(&str, &str)]) -> Installation {
    Installation::start_with(PROGRAM, On::Sqlite, settings).await
}

async fn ask(installation: &Installation, text: &str) -> Answer {
    let mut raw = Raw::open(installation).await;
    raw.send(text).await.unwrap();
    raw.answer().await
}

fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.body["code"], code);
    assert_eq!(answer.body["request_id"].as_str(), answer.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_uris_over_the_limit_are_431_and_414() {
    let installation = with(&[]).await;
    let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let many = |count: usize| (0..count).map(|index| format!("X-H{index}: 1\r\n")).collect::<String>();
    let large = |length: usize| format!("X-Large: {}\r\n", "x".repeat(length));
    assert_eq!(ask(&installation, &get("/healthz", &many(60))).await.status, 200);
    is_problem(&ask(&installation, &get("/healthz", &many(70))).await, 431, "HEADERS_TOO_LARGE");
    assert_eq!(ask(&installation, &get("/healthz", &many(200))).await.status, 431);
    assert_eq!(ask(&installation, &get("/healthz", &large(15_000))).await.status, 200);
    is_problem(&ask(&installation, &get("/healthz", &large(20_000))).await, 431, "HEADERS_TOO_LARGE");
    let long = |length: usize| format!("/healthz?{}", "x".repeat(length));
    assert_eq!(ask(&installation, &get(&long(8000), "")).await.status, 200);
    is_problem(&ask(&installation, &get(&long(9000), "")).await, 414, "URI_TOO_LONG");
    // Far over the limit, the connection is closed before all has arrived.
    let mut raw = Raw::open(&installation).await;
    let _ = raw.send(&get("/healthz", &large(1 << 20))).await;
    let said = raw.rest().await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_can_be_set() {
    let settings =
        [("METAPAAS_HEADER_COUNT", "10"), ("METAPAAS_JSON_DEPTH", "8"), ("METAPAAS_URI_BYTES", "300")];
    let installation = with(&settings).await;
    let headers = "X-A: 1\r\n".repeat(11);
    let text = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    is_problem(&ask(&installation, &text).await, 431, "HEADERS_TOO_LARGE");
    is_problem(&installation.get(&format!("/healthz?{}", "x".repeat(300))).await, 414, "URI_TOO_LONG");
    let deep = nested(9);
    let refused = installation.call(Method::POST, DEMO, deep).await.expect(400);
    assert_eq!(refused.body["errors"][0]["code"], "TOO_DEEP");
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |value, _| json!([value]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_nested_too_deeply_is_a_clear_400() {
    let installation = with(&[]).await;
    for text in [nested(101).to_string(), "[".repeat(500_000)] {
        let request = installation.client().post(format!("{}{DEMO}", installation.url));
        let request = request.bearer_auth(&installation.token).header("content-type", "application/json");
        let refused = answer(request.body(text)).await.expect(400);
        assert_eq!(refused.body["errors"][0]["code"], "TOO_DEEP", "{}", refused.body);
        assert!(refused.body["detail"].as_str().unwrap().contains("100 levels"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_arrive_is_408_and_ends_the_connection() {
    let installation = with(&[("METAPAAS_BODY_TIMEOUT", "1")]).await;
    let mut raw = Raw::open(&installation).await;
    let head = format!(
        "POST {DEMO} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{{\"name\": \"",
        installation.token
    );
    raw.send(&head).await.unwrap();
    let late = raw.answer().await;
    is_problem(&late, 408, "REQUEST_TIMEOUT");
    assert_eq!(late.header("connection"), Some("close"));
    assert_eq!(raw.rest().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_headers_hold_up_nobody_and_are_cut_off() {
    let installation = with(&[("METAPAAS_HEADER_TIMEOUT", "1")]).await;
    let mut slow = Vec::new();
    for index in 0..200 {
        let mut raw = Raw::open(&installation).await;
        // Some send nothing at all, some a part, some a whole request and later a part of another.
        if index % 3 == 2 {
            raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert_eq!(raw.answer().await.status, 200);
        }
        raw.send(["", "GET /healthz HT", "GET /hea"][index % 3]).await.unwrap();
        slow.push(raw);
    }
    let _ = installation.get(DEMO).await.expect(200);
    // A byte now and then wins no time.
    let trickle = tokio::spawn({
        let mut raw = Raw::open(&installation).await;
        async move {
            raw.send("GET /healthz HTTP/1.1\r\n").await.unwrap();
            let since = Instant::now();
            while since.elapsed() < PATIENCE {
                if raw.send("X").await.is_err() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            false
        }
    });
    for mut raw in slow {
        assert_eq!(raw.rest().await, "", "cut off without a word");
    }
    assert!(trickle.await.unwrap(), "the one that trickled was cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_kept_between_requests_and_closed_when_idle() {
    let installation = with(&[("METAPAAS_IDLE_TIMEOUT", "2"), ("METAPAAS_HEADER_TIMEOUT", "1")]).await;
    let mut raw = Raw::open(&installation).await;
    for _ in 0..3 {
        raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(raw.answer().await.status, 200);
    }
    assert_eq!(raw.rest().await, "", "closed without a word");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let installation = with(&[("METAPAAS_WRITE_TIMEOUT", "1")]).await;
    let mut raw = Raw::open(&installation).await;
    let one = "GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
    let asked = 500;
    // Once it is cut off, sending fails; until then it is taken in as long as there is room.
    let sent = tokio::time::timeout(PATIENCE, async {
        for _ in 0..asked {
            raw.send(one).await?;
        }
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            raw.send("G").await?;
        }
        #[expect(unreachable_code, reason = "says of what type the block is")]
        Ok::<(), std::io::Error>(())
    });
    assert!(sent.await.expect("it is cut off").is_err());
    let _ = installation.get("/healthz").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_no_slow_request_and_no_idle_connection() {
    let settings = [
        ("METAPAAS_REQUEST_TIMEOUT", "1"),
        ("METAPAAS_IDLE_TIMEOUT", "1"),
        ("METAPAAS_HEADER_TIMEOUT", "1"),
        ("METAPAAS_WRITE_TIMEOUT", "1"),
    ];
    let installation = with(&settings).await;
    let mut stream = Stream::open(&installation, DEMO, None).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if event.object["name"] == "my-demo" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_told_so() {
    let installation = with(&[("METAPAAS_CONNECTIONS", "3")]).await;
    // Connections of the harness may still be about to close.
    eventually("there is room for three", || async {
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut raw = Raw::open(&installation).await;
            raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            if raw.answer().await.status != 200 {
                return false;
            }
            open.push(raw);
        }
        let mut one_more = Raw::open(&installation).await;
        let said = one_more.rest().await;
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("\"UNAVAILABLE\""), "{said}");
        true
    })
    .await;
    eventually("there is room again", || async {
        let mut raw = Raw::open(&installation).await;
        let _ = raw.send("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        raw.rest().await.contains("metapaas_http_connections_refused_total")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_all_connections() {
    let installation = with(&[("METAPAAS_CONNECTIONS_PER_ADDRESS", "2")]).await;
    let address: std::net::SocketAddr = installation.url.strip_prefix("http://").unwrap().parse().unwrap();
    let from = |ip: [u8; 4]| async move {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((ip, 0).into()).unwrap();
        let mut raw = Raw(socket.connect(address).await.unwrap());
        let _ = raw.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let status = raw.answer().await.status;
        (status.as_u16(), raw)
    };
    let (one, two) = (from([127, 0, 0, 9]).await, from([127, 0, 0, 9]).await);
    let mut third = Raw({
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 9], 0).into()).unwrap();
        socket.connect(address).await.unwrap()
    });
    assert_eq!((one.0, two.0), (200, 200));
    assert!(third.rest().await.starts_with("HTTP/1.1 503"));
    assert_eq!(from([127, 0, 0, 10]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_takes_too_long_is_503() {
    let installation =
        Installation::start_with(PROGRAM, On::Postgres, &[("METAPAAS_REQUEST_TIMEOUT", "1")]).await;
    let database = Database::open_postgres(&installation.database_url().unwrap(), 1).await.unwrap();
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (free, is_free) = tokio::sync::oneshot::channel::<()>();
    let holder = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .write::<(), StoreError, _>("hold a lock", move |tx| {
                    Box::pin(async move {
                        tx.execute_script("lock", "LOCK TABLE demo_instances IN ACCESS EXCLUSIVE MODE")
                            .await?;
                        let _ = locked.send(());
                        let _ = is_free.await;
                        Ok(())
                    })
                })
                .await
        }
    });
    is_locked.await.unwrap();
    let late = installation.get(DEMO).await;
    is_problem(&late, 503, "UNAVAILABLE");
    assert!(late.header("retry-after").is_some());
    let _ = installation.get("/v1/iam/whoami").await.expect(200);
    free.send(()).unwrap();
    holder.await.unwrap().unwrap();
    let _ = installation.get(DEMO).await.expect(200);
    database.close().await;
}

async fn requests_by_one_principal_are_limited(on: On) {
    let settings = [("METAPAAS_RATE_LIMIT", "1"), ("METAPAAS_RATE_BURST", "8")];
    let installation = Installation::start_with(PROGRAM, on, &settings).await;
    let project = installation.default_project().await;
    let other = installation.user("vera", &project, "viewer").await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = installation.get(DEMO).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200);
    }
    let refused = refused.expect("a 429");
    is_problem(&refused, 429, "TOO_MANY_REQUESTS");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(refused.body["retry_after"], seconds);
    assert_eq!(seconds, 1, "one more comes each second");
    let _ = installation.call_as(&other, Method::GET, DEMO, Value::Null).await.expect(200);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let _ = installation.get(DEMO).await.expect(200);
}

async fn a_node_is_not_limited_as_a_principal(on: On) {
    let settings =
        [("METAPAAS_RATE_LIMIT", "5"), ("METAPAAS_RATE_BURST", "100"), ("METAPAAS_REQUEST_TIMEOUT", "1")];
    let installation = Installation::start_with(PROGRAM, on, &settings).await;
    let project = installation.default_project().await;
    let body = json!({ "name": "my-demo", "project_id": project, "greeting": "hi" });
    let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    eventually("there is a node", || async { installation.node_dirs_of_nodes() == 1 }).await;
    let directory = installation
        .node_dirs()
        .into_iter()
        .find(|dir| dir.join("token").is_file())
        .expect("a node with a token");
    let token = std::fs::read_to_string(directory.join("token")).unwrap();
    for _ in 0..150 {
        let path = "/v1/agents/document?wait=0";
        let _ = installation.call_as(token.trim(), Method::GET, path, Value::Null).await.expect(200);
    }
    // A wait that is asked for is not held to the time for requests.
    installation.active(&format!("{DEMO}/my-demo")).await;
    let document = std::fs::read_to_string(directory.join("document.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let path = format!("/v1/agents/document?wait=3&after={}", document["digest"].as_str().unwrap());
    let _ = installation.call_as(token.trim(), Method::GET, &path, Value::Null).await.expect(304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_valid_credentials_are_limited_by_address() {
    let mut installation = with(&[("METAPAAS_ANONYMOUS_RATE_LIMIT", "3")]).await;
    for token in [None, Some("not-a-token")] {
        let mut statuses = Vec::new();
        for _ in 0..20 {
            let mut request = installation.client().get(format!("{}{DEMO}", installation.url));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            statuses.push(answer(request).await.status.as_u16());
        }
        assert!(
            statuses.contains(&429) && statuses.iter().all(|status| [401, 429].contains(status)),
            "{statuses:?}"
        );
    }
    // Whoever has credentials is let in, also from an address that others abuse.
    let _ = installation.get(DEMO).await.expect(200);
    assert!(installation.stop());
}

#[test]
fn limits_out_of_bounds_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(PROGRAM)
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .env_clear()
        .envs([
            ("METAPAAS_HEADER_COUNT", "1000"),
            ("METAPAAS_JSON_DEPTH", "many"),
            ("METAPAAS_CONNECTIONS", "1"),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("JSON_DEPTH"), "{said}");
    let output = std::process::Command::new(PROGRAM)
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .env_clear()
        .env("METAPAAS_HEADER_COUNT", "1000")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("`header_count` must be from 8 to 100"), "{said}");
}
