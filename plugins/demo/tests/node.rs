//! The driver, held to its contract by the test kit, and on a node with a real agent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use libtest_mimic::Trial;
use metapaas_agent::process::{NODE_VARIABLE, belonging};
use metapaas_agent::testkit::check_driver;
use metapaas_agent::{Health, NodeDocument, NodeFile};
use metapaas_core::registry::Registry;
use metapaas_plugin_demo::plugin;
use metapaas_protocol::{NodeReport, PROTOCOL_VERSION};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the driver keeps its contract", contract),
        trial("a healthy node serves what was asked for, by the same process", life),
        trial("a stranger in the site's place is not taken for it", stranger),
    ]
}

async fn contract() {
    let node = Uuid::from_u128(1);
    let documents = [
        document(node, 1, json!({ "greeting": "hello", "theme": "light", "pages": {} })),
        document(
            node,
            2,
            json!({ "greeting": "hello", "theme": "dark", "pages": { "health": "", "a": "b" } }),
        ),
        NodeDocument { removing: true, ..document(node, 3, json!({})) },
    ];
    let driver = Registry::new(vec![plugin()]).unwrap().driver("demo").unwrap();
    check_driver(driver, &documents).await.unwrap();
}

async fn life() {
    let node = Node::start(Uuid::new_v4()).await;
    let report =
        node.healthy(1, json!({ "greeting": "hello", "theme": "light", "pages": { "a": "1" } })).await;
    assert_eq!(report.errors, []);
    assert_eq!(node.get("/a").await, "1");
    let service = node.service();

    let site = json!({ "greeting": "bye", "theme": "light", "pages": { "a": "2", "health": "mine" } });
    let report = node.healthy(2, site).await;
    // No waiting: healthy means served.
    assert_eq!(node.get("/a").await, "2");
    assert!(node.get("/").await.contains("<h1>bye</h1>"));
    let refused: Vec<_> =
        report.errors.iter().map(|error| (error.item.as_str(), error.code.as_str())).collect();
    assert_eq!(refused, [("pages/health", "RESERVED_PATH")]);
    assert_eq!(node.service(), service, "a new content restarted the service");

    let site = json!({ "greeting": "bye", "theme": "light", "restarts": 1, "pages": { "a": "2" } });
    node.healthy(3, site).await;
    assert_ne!(node.service(), service, "the action restart did not restart it");
    assert_eq!(node.get("/a").await, "2");
}

async fn stranger() {
    let id = Uuid::new_v4();
    let listener = tokio::net::TcpListener::bind((address(id), 8080)).await.unwrap();
    let other = axum::serve(listener, Router::new().fallback(async || "welcome"));
    let other = tokio::spawn(async move { other.await });
    let node = Node::start(id).await;
    node.say(document(id, 1, json!({ "greeting": "hello", "theme": "light", "pages": {} })));
    let report = node.reported(|report| report.message.contains("not served as asked")).await;
    assert_ne!(report.health, Health::Healthy);

    other.abort();
    node.reported(|report| report.health == Health::Healthy).await;
    assert!(node.get("/").await.contains("hello"));
}

fn document(node_id: Uuid, generation: i64, config: Value) -> NodeDocument {
    NodeDocument {
        protocol: PROTOCOL_VERSION,
        node_id,
        type_slug: "demo".to_owned(),
        place: "web-0".to_owned(),
        address: address(node_id),
        port: 8080,
        generation,
        digest: format!("digest-{generation}"),
        removing: false,
        config,
        endpoints: Vec::new(),
    }
}

fn address(node_id: Uuid) -> IpAddr {
    let [a, b, c, ..] = node_id.into_bytes();
    IpAddr::from([127, 192 + a % 32, b, 1 + c % 254])
}

/// An agent and the control plane it talks to.
struct Node {
    id: Uuid,
    agent: Child,
    document: Arc<Mutex<Option<NodeDocument>>>,
    report: Arc<Mutex<Option<NodeReport>>>,
    _directory: tempfile::TempDir,
}

impl Node {
    async fn start(id: Uuid) -> Self {
        let (document, report) = (Arc::default(), Arc::default());
        let endpoint = control(Arc::clone(&document), Arc::clone(&report)).await;
        let directory = tempfile::tempdir().unwrap();
        let file = NodeFile {
            node_id: id,
            tag: "test".to_owned(),
            address: address(id),
            endpoints: vec![endpoint],
            ca: None,
            sockets: None,
            resources: Default::default(),
        };
        file.write(directory.path()).unwrap();
        std::fs::write(directory.path().join("token"), "token").unwrap();
        Self { id, agent: agent(id, directory.path()), document, report, _directory: directory }
    }

    /// Gives out a document and waits until its node is healthy.
    async fn healthy(&self, generation: i64, config: Value) -> NodeReport {
        let document = document(self.id, generation, config);
        self.say(document.clone());
        self.reported(|report| report.applied_digest == document.digest && report.health == Health::Healthy)
            .await
    }

    fn say(&self, document: NodeDocument) {
        *self.document.lock().unwrap() = Some(document);
    }

    /// Waits for such a report.
    async fn reported(&self, wanted: impl Fn(&NodeReport) -> bool) -> NodeReport {
        let began = Instant::now();
        loop {
            let report = self.report.lock().unwrap().clone();
            match report {
                Some(report) if wanted(&report) => return report,
                report => {
                    assert!(began.elapsed() < Duration::from_secs(30), "never reported; the last: {report:?}")
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn get(&self, path: &str) -> String {
        let url = format!("http://{}:8080{path}", address(self.id));
        crate::fetch(&url).await.unwrap().text().await.unwrap()
    }

    /// The process of the web server.
    fn service(&self) -> Vec<i32> {
        let found = belonging(self.id, Some("web"), &[]).unwrap();
        assert_eq!(found.len(), 1);
        found.iter().map(|process| process.pid()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
        for process in belonging(self.id, None, &[]).unwrap() {
            process.signal(rustix::process::Signal::KILL).unwrap();
        }
    }
}

fn agent(id: Uuid, directory: &Path) -> Child {
    let mut agent = Command::new(std::env::current_exe().unwrap());
    agent.args(["agent", "--dir"]).arg(directory).env(NODE_VARIABLE, id.to_string());
    agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Serves the two APIs of agents; answers where.
async fn control(
    document: Arc<Mutex<Option<NodeDocument>>>,
    report: Arc<Mutex<Option<NodeReport>>>,
) -> String {
    let hand_out = async move |Query(asked): Query<BTreeMap<String, String>>| -> Response {
        let document = document.lock().unwrap().clone().filter(|document| document.digest != asked["after"]);
        if let Some(document) = document {
            return Json(document).into_response();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        StatusCode::NOT_MODIFIED.into_response()
    };
    let take = async move |Json(said): Json<NodeReport>| {
        *report.lock().unwrap() = Some(said);
        StatusCode::NO_CONTENT
    };
    let routes = Router::new()
        .route("/v1/agents/document", routing::get(hand_out))
        .route("/v1/nodes/{id}/status", routing::put(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}
