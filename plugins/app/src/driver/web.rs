//! A web node: fetches the layers of its release from the builder, runs it, and asks whether it answers.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use metapaas_core::agent::{DriverError, Health, HealthReport, NodeContext, ServiceSpec, StopSignal};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::report;
use crate::document::Web;
use crate::sandbox::{APP, Sandbox, user_of};

/// Ports of apps on machines where nodes share them: below those that the system gives to outgoing connections, and
/// above those that the router leases unless an operator says otherwise.
const PORTS: std::ops::Range<u16> = 21_000..32_000;

/// How the release runs, for the engine `app-run`.
const RUN_FILE: &str = "run.json";

/// What a web node serves, and since when no longer.
pub(crate) struct Serving {
    pub(super) told: Web,
    pub(super) port: u16,
    pub(super) draining_since: Option<Instant>,
    pub(super) failures: u32,
}

impl Serving {
    pub(super) async fn health(&mut self, node: &NodeContext) -> HealthReport {
        self.failures = node.service_failures("web");
        let path = self.told.health_path.as_deref().unwrap_or("/");
        let address = match node.address().is_loopback() {
            true => SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            false => SocketAddr::new(node.address(), self.port),
        };
        let is_strict = self.told.health_path.is_some();
        match node.http_get_from(address, path).await {
            Ok(answer) if is_strict && !(200..400).contains(&answer.status) => {
                report(Health::Unhealthy, format!("{path} answers {}", answer.status))
            }
            Ok(answer) if answer.status >= 500 => {
                report(Health::Unhealthy, format!("{path} answers {}", answer.status))
            }
            Ok(_) => report(Health::Healthy, ""),
            Err(error) => {
                let port = self.port;
                let why = format!("nothing answers on port {port}, which is $PORT ({path}: {error})");
                report(Health::Unhealthy, why)
            }
        }
    }

    pub(super) fn facts(&self, _: &NodeContext) -> BTreeMap<String, Value> {
        let mut facts = BTreeMap::from([("port".to_owned(), json!(self.port))]);
        if let (Some(since), Some(seconds)) = (self.draining_since, self.told.drain_seconds) {
            let is_over = since.elapsed() >= Duration::from_secs(seconds);
            facts.insert("drained".into(), json!(is_over));
        }
        facts
    }
}

/// The port that the app is told to listen on. Where nodes have addresses of this machine, apps that listen on all
/// addresses would get into each other's way, so each has a port of its own, which it keeps.
pub(super) async fn port(node: &NodeContext) -> Result<u16, DriverError> {
    if !node.address().is_loopback() {
        return Ok(node.port());
    }
    let kept = node.read_file("port").await?;
    if let Some(port) = kept.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok()) {
        return Ok(port);
    }
    let count = PORTS.end - PORTS.start;
    let [.., high, low] = node.node_id().into_bytes();
    let first = u16::from_be_bytes([high, low]) % count;
    let is_free = |port: &u16| TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port)).is_ok();
    let found = (0..count).map(|step| PORTS.start + (first + step) % count).find(is_free);
    let port = found.ok_or_else(|| failed("find a port for the app", io::ErrorKind::AddrInUse.into()))?;
    node.write_file("port", port.to_string(), 0o600).await?;
    Ok(port)
}

/// Has the image's layers unpacked in `image/<name>`.
pub(super) async fn fetch(node: &NodeContext, told: &Web) -> Result<(), DriverError> {
    let place = Path::new("image").join(&told.image);
    let done = place.join("complete");
    if node.read_file(&done).await?.is_some() {
        return Ok(());
    }
    let Some(layers) = &told.layers else {
        return Err(failed("fetch the build", io::Error::other("the node that has it has no address yet")));
    };
    node.make_directory(&place).await?;
    let directory = node.dir().join(&place);
    let app = directory.join("app");
    for layer in told.image.split('.') {
        let work = unpack(layers, &told.token, layer, &directory, &app);
        node.effect(format!("fetch the layer {layer}"), work).await?;
    }
    node.write_file(&done, "", 0o600).await?;
    Ok(())
}

async fn unpack(layers: &str, token: &str, layer: &str, directory: &Path, app: &Path) -> io::Result<()> {
    tokio::fs::create_dir_all(app).await?;
    let client = metapaas_core::agent::http::client(None)?.no_proxy().build().map_err(io::Error::other)?;
    let request = client.get(format!("{layers}/{layer}")).bearer_auth(token);
    let answer = request.send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(|error| io::Error::other(error.without_url().to_string()))?;
    let mut tar = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--preserve-permissions", "--file", "-", "--directory"])
        .arg(app)
        .env_clear()
        .env("PATH", metapaas_core::agent::launch::DEFAULT_PATH)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = tar.stdin.take() {
        while let Some(chunk) = answer.chunk().await.map_err(|error| io::Error::other(error.to_string()))? {
            input.write_all(&chunk).await?;
        }
    }
    let status = tar.wait().await?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("tar ended with {status}"))) }
}

/// Runs the release.
pub(super) async fn run(node: &NodeContext, told: &Web, port: u16) -> Result<(), DriverError> {
    let runtime = metapaas_runtimes::runtime(&told.language)
        .ok_or_else(|| DriverError::Document(format!("no runtime is called {}", told.language)))?;
    let word = |word: &String| word.replace("${PORT}", &port.to_string()).replace("$PORT", &port.to_string());
    let mut environment = runtime.environment.clone();
    environment.extend(told.env.clone());
    let path = runtime.path.iter().map(|folder| format!("{APP}/{folder}"));
    let path: Vec<String> = path.chain([metapaas_core::agent::launch::DEFAULT_PATH.to_owned()]).collect();
    environment.entry("PATH".into()).or_insert_with(|| path.join(":"));
    environment.insert("PORT".into(), port.to_string());
    let sandbox = Sandbox {
        app: node.dir().join("image").join(&told.image).join("app"),
        is_writable: false,
        binds: Vec::new(),
        scratch: node.dir().join("root"),
        command: told.command.iter().map(word).collect(),
        environment,
        user: user_of(node.node_id()),
        ram_mb: told.ram_mb.into(),
        processes: 512,
        cpu_seconds: None,
        file_mb: 1024,
        is_build: false,
        is_shared: node.address().is_loopback(),
    };
    node.make_directory("root").await?;
    let text = json!(sandbox).to_string();
    node.write_file(RUN_FILE, text.clone(), 0o600).await?;
    let service = ServiceSpec::engine("web", "app-run").arguments([RUN_FILE]);
    let digest = metapaas_core::agent::launch::digest(text.as_bytes());
    let service =
        service.restart_on(format!("{digest} {}", told.restarts)).stop_by(StopSignal::Terminate, 10);
    node.ensure_service(&service).await?;
    Ok(())
}

/// A command in place of the app's own: all else, from the user to the environment, is as the app has it.
pub(super) fn command(words: &[String]) -> ServiceSpec {
    let arguments = [RUN_FILE, "--"].into_iter().chain(words.iter().map(String::as_str));
    ServiceSpec::engine("command", "app-run").arguments(arguments).stop_by(StopSignal::Terminate, 5)
}

fn failed(action: &str, source: io::Error) -> DriverError {
    DriverError::Effect { action: action.to_owned(), source }
}
