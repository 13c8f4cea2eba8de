//! A node under test: its directory, its agent, its service.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use metapaas_agent::process::{NODE_VARIABLE, ProcessRecord, belonging};
use metapaas_agent::{Health, NodeDocument, NodeFile};
use metapaas_protocol::PROTOCOL_VERSION;
use rustix::process::Signal;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::control::{Control, TOKEN};

pub(crate) struct Node {
    pub(crate) id: Uuid,
    pub(crate) address: IpAddr,
    pub(crate) control: Control,
    place: tempfile::TempDir,
}

impl Node {
    pub(crate) async fn new() -> Self {
        let (control, base) = Control::start().await;
        Self::with_endpoints(control, vec![base])
    }

    pub(crate) fn with_endpoints(control: Control, endpoints: Vec<String>) -> Self {
        let id = Uuid::new_v4();
        let [a, b, c, ..] = id.into_bytes();
        let address = IpAddr::from([127, 64 + a % 64, b, 1 + c % 254]);
        let node = Self { id, address, control, place: tempfile::tempdir().unwrap() };
        let file = NodeFile {
            node_id: id,
            tag: "test".to_owned(),
            address,
            endpoints,
            ca: None,
            sockets: None,
            resources: Default::default(),
        };
        file.write(node.dir()).unwrap();
        std::fs::write(node.dir().join("token"), TOKEN).unwrap();
        node
    }

    pub(crate) fn dir(&self) -> &Path {
        self.place.path()
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.dir().join("run/web.json")
    }

    pub(crate) fn document(&self, generation: i64, config: Value) -> NodeDocument {
        NodeDocument {
            protocol: PROTOCOL_VERSION,
            node_id: self.id,
            type_slug: "web".to_owned(),
            place: "web-0".to_owned(),
            address: self.address,
            port: 8080,
            generation,
            digest: format!("{generation} {config}"),
            removing: false,
            config,
            endpoints: Vec::new(),
        }
    }

    /// Starts an agent by hand.
    pub(crate) fn agent(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["agent", "--dir"])
            .arg(self.dir())
            .env(NODE_VARIABLE, self.id.to_string())
            .env("SECRET_OF_THE_STARTER", "x")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Gives out a document and waits until it is applied and the service answers.
    pub(crate) async fn healthy(&self, document: &NodeDocument) {
        self.control.say(document.clone());
        eventually("the node is healthy", || {
            let report = self.control.last_report()?;
            (report.applied_digest == document.digest && report.health == Health::Healthy).then_some(())
        })
        .await;
    }

    /// Process id and greeting that the service answers with.
    pub(crate) fn answer(&self) -> Option<(i32, String)> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect((self.address, 8080)).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: node\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (pid, greeting) = text.split_once("\r\n\r\n")?.1.split_once(' ')?;
        Some((pid.parse().ok()?, greeting.to_owned()))
    }

    pub(crate) async fn answered(&self) -> (i32, String) {
        eventually("the service answers", || self.answer()).await
    }

    /// Ids of running processes of the node, or of one of its services.
    pub(crate) fn processes(&self, service: Option<&str>) -> Vec<i32> {
        belonging(self.id, service, &[]).unwrap().iter().map(|process| process.pid()).collect()
    }

    pub(crate) fn kill_service(&self) {
        let record = ProcessRecord::read(&self.record()).unwrap();
        record.adopt().unwrap().unwrap().signal(Signal::KILL).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for process in belonging(self.id, None, &[]).unwrap() {
            process.signal(Signal::KILL).unwrap();
        }
    }
}

/// Ends an agent the hard way and reaps it.
pub(crate) fn kill(mut agent: Child) {
    agent.kill().unwrap();
    agent.wait().unwrap();
}

/// Ends an agent the way an upgrade does.
pub(crate) fn terminate(mut agent: Child) {
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert!(agent.wait().unwrap().success());
}

/// Asks until there is an answer; fails after a time that only a broken agent needs.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        if let Some(answer) = ask() {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

pub(crate) fn greeting(text: &str) -> Value {
    json!({ "greeting": text })
}
