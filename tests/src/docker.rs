//! The Docker Engine that tests run nodes on: its socket, a network of the test's own, and what is left when a test
//! ends.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::PATIENCE;

/// Names the engine's socket; `cargo xtask test` sets it.
const VARIABLE: &str = "METAPAAS_TEST_DOCKER";

/// An engine, and a network in it that is the test's own. Everything in the network goes with it.
#[derive(Debug)]
pub struct Docker {
    /// The engine's socket.
    pub socket: PathBuf,
    /// Name of the network.
    pub network: String,
    subnet: String,
}

#[expect(clippy::expect_used, clippy::panic, reason = "a harness of tests")]
impl Docker {
    /// The engine that `METAPAAS_TEST_DOCKER` names.
    pub fn new() -> Self {
        let Some(socket) = std::env::var_os(VARIABLE) else {
            panic!(
                "{VARIABLE} is not set: run `cargo xtask test`, which starts an engine (package docker.io), or name \
                 the socket of one"
            );
        };
        let [a, b, ..] = uuid::Uuid::new_v4().into_bytes();
        let subnet = format!("10.{}.{b}.0/24", 128 + a % 128);
        let network = format!("metapaas-test-{}", uuid::Uuid::new_v4().simple());
        Self { socket: socket.into(), network, subnet }
    }

    /// The address by which containers reach the host.
    pub fn host(&self) -> String {
        self.subnet.replace(".0/24", ".1")
    }

    /// Variables for a control plane that uses these providers.
    pub fn settings(&self, providers: &str) -> Vec<(String, String)> {
        [
            ("METAPAAS_PROVIDERS", providers),
            ("METAPAAS_DOCKER_SOCKET", &self.socket.to_string_lossy()),
            ("METAPAAS_DOCKER_NETWORK", &self.network),
            ("METAPAAS_DOCKER_SUBNET", &self.subnet),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Asks the engine; a null body is none.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let client = metapaas_agent::http::client(None)
            .expect("a client")
            .unix_socket(self.socket.as_path())
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client");
        // Nobody logs in to a registry here; the engine wants to be told.
        let request = client.request(method, format!("http://docker{path}"));
        let mut request = request.header("X-Registry-Auth", "e30=");
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.expect("the engine answers");
        let status = answer.status();
        let text = answer.text().await.expect("the whole answer");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// What the engine says of a node's container; `None` when there is none.
    pub async fn container(&self, node: &Value) -> Option<Value> {
        let (status, container) = self.call(Method::GET, &format!("{}/json", path(node)), &Value::Null).await;
        (status == 200).then_some(container)
    }

    /// Does something to a node's container, e.g. `kill`.
    pub async fn act(&self, node: &Value, action: &str) {
        let (status, answer) =
            self.call(Method::POST, &format!("{}/{action}", path(node)), &Value::Null).await;
        assert!(status.is_success(), "{action}: {status} {answer}");
    }

    /// Removes a node's container, running or not.
    pub async fn remove(&self, node: &Value) {
        let (status, answer) =
            self.call(Method::DELETE, &format!("{}?force=true", path(node)), &Value::Null).await;
        assert!(status.is_success(), "{status} {answer}");
    }

    /// Runs a program in a node's container and answers its exit code.
    pub async fn run(&self, node: &Value, command: &[&str]) -> i64 {
        let ask = json!({ "Cmd": command });
        let (status, made) = self.call(Method::POST, &format!("{}/exec", path(node)), &ask).await;
        assert_eq!(status, 201, "{made}");
        let id = made["Id"].as_str().expect("an id");
        let (status, _) =
            self.call(Method::POST, &format!("/exec/{id}/start"), &json!({ "Detach": true })).await;
        assert!(status.is_success(), "{status}");
        let since = Instant::now();
        loop {
            let (_, state) = self.call(Method::GET, &format!("/exec/{id}/json"), &Value::Null).await;
            if let Some(code) = state["ExitCode"].as_i64().filter(|_| state["Running"] == false) {
                return code;
            }
            assert!(since.elapsed() < PATIENCE, "it does not end: {state}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Pids on this machine of the processes in a node's container whose command line has this text.
    pub async fn pids(&self, node: &Value, text: &str) -> Vec<u32> {
        let (_, top) =
            self.call(Method::GET, &format!("{}/top?ps_args=-eo%20pid,args", path(node)), &Value::Null).await;
        let rows = top["Processes"].as_array().cloned().unwrap_or_default();
        let rows = rows.iter().filter(|row| row[1].as_str().is_some_and(|line| line.contains(text)));
        rows.filter_map(|row| row[0].as_str()?.parse().ok()).collect()
    }

    /// Containers in the test's network.
    pub async fn containers(&self) -> Vec<Value> {
        let filter = json!({ "network": [self.network] }).to_string();
        let url = reqwest::Url::parse_with_params(
            "http://docker/containers/json",
            [("all", "1"), ("filters", &filter)],
        );
        let url = url.expect("a URL");
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let (_, found) = self.call(Method::GET, &path, &Value::Null).await;
        found.as_array().cloned().unwrap_or_default()
    }

    async fn clear(&self) {
        for container in self.containers().await {
            let id = container["Id"].as_str().unwrap_or_default();
            let _ = self.call(Method::DELETE, &format!("/containers/{id}?force=true"), &Value::Null).await;
        }
        let _ = self.call(Method::DELETE, &format!("/networks/{}", self.network), &Value::Null).await;
    }
}

impl Default for Docker {
    fn default() -> Self {
        Self::new()
    }
}

/// Declared before the installation it is dropped after it, when nothing makes containers any more.
impl Drop for Docker {
    fn drop(&mut self) {
        // A runtime cannot be made inside of one.
        std::thread::scope(|scope| {
            let cleared = scope.spawn(|| {
                let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                    return;
                };
                runtime.block_on(self.clear());
            });
            let _ = cleared.join();
        });
    }
}

fn path(node: &Value) -> String {
    format!("/containers/metapaas-{}", node["id"].as_str().unwrap_or_default())
}
