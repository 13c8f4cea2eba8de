//! The process provider with real agents. This binary is also the agent program and a control plane that gets killed,
//! which is why it is not a module of the crate's one integration test.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use metapaas_agent::process::{ProcessRecord, belonging};
use metapaas_agent::{
    AgentOptions, Applied, BoxFuture, Driver, DriverError, Drivers, Engines, Health, HealthReport,
    NodeContext, NodeDocument, ServiceSpec,
};
use metapaas_core::provider::process::{ProcessOptions, ProcessProvider};
use metapaas_core::provider::{NodeRef, NodeRequest, NodeState, Provider, ProviderError};
use rustix::process::Signal;
use serde_json::json;
use uuid::Uuid;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().unwrap_or_default().to_str() {
        Some("agent") => agent(arguments.collect()),
        Some("engine") => {
            Engines::new().run(arguments.next().unwrap().to_str().unwrap(), arguments.collect())
        }
        Some("control-plane") => control_plane(arguments.collect()),
        _ => {
            let trials = vec![
                trial(
                    "ensured twice, also by two control planes at once, a node has one agent",
                    ensured_once,
                ),
                trial("a killed agent is told, seen, no zombie, and started again", agent_killed),
                trial("a node survives the control plane that made it", control_plane_killed),
                trial("deleted, a node leaves no process and no file", deleted),
                trial("an interrupted making or removal is found and finished", interrupted),
                trial("a process that got a recorded id is left alone", reused_process_id),
                trial("a node is found by its location from another root", other_root),
                trial("nodes are listed by installation", listed),
                trial("an address is one node's", one_address),
                trial("an agent that cannot start says why", broken_program),
            ];
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

fn trial<F: Future<Output = ()> + 'static>(name: &'static str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        runtime().block_on(test());
        Ok(())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn agent(arguments: Vec<OsString>) -> ExitCode {
    let drivers = Drivers::new().with("sleeper", || Box::new(Sleeper));
    match runtime().block_on(metapaas_agent::run(AgentOptions { dir: arguments[1].clone().into() }, &drivers))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// `control-plane ROOT ID`: makes a node and waits to be killed.
fn control_plane(arguments: Vec<OsString>) -> ExitCode {
    let id = arguments[1].to_str().unwrap().parse().unwrap();
    runtime().block_on(async {
        provider(Path::new(&arguments[0])).ensure(&request(id)).await.unwrap();
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// Runs a service that has a child which ignores SIGTERM.
struct Sleeper;

impl Driver for Sleeper {
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        _: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            let script = "(trap '' TERM; while :; do sleep 1; done) & exec sleep 600";
            node.ensure_service(&ServiceSpec::program("sleeper", "sh").arguments(["-c", script])).await?;
            Ok(Applied::default())
        })
    }

    fn health<'a>(&'a mut self, _: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(async { HealthReport { health: Health::Healthy, message: String::new() } })
    }
}

/// A root whose nodes are killed when the test ends.
struct Root {
    place: tempfile::TempDir,
    nodes: Vec<Uuid>,
}

impl Root {
    fn new(nodes: usize) -> Self {
        let nodes = (0..nodes).map(|_| Uuid::now_v7()).collect();
        Self { place: tempfile::tempdir().unwrap(), nodes }
    }

    fn path(&self) -> PathBuf {
        self.place.path().join("nodes")
    }

    fn dir(&self, node: usize) -> PathBuf {
        self.path().join(self.nodes[node].to_string())
    }

    fn agent(&self, node: usize) -> ProcessRecord {
        ProcessRecord::read(&self.dir(node).join("agent.json")).unwrap()
    }

    fn processes(&self, node: usize) -> Vec<i32> {
        belonging(self.nodes[node], None, &[]).unwrap().iter().map(|process| process.pid()).collect()
    }

    fn kill_agent(&self, node: usize) {
        self.agent(node).adopt().unwrap().unwrap().signal(Signal::KILL).unwrap();
    }

    fn left(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for node in &self.nodes {
            for process in belonging(*node, None, &[]).unwrap() {
                process.signal(Signal::KILL).unwrap();
            }
        }
    }
}

fn provider(root: &Path) -> ProcessProvider {
    let program = std::env::current_exe().unwrap();
    ProcessProvider::new(ProcessOptions { root: root.to_owned(), program })
}

fn request(id: Uuid) -> NodeRequest {
    NodeRequest {
        id,
        tag: "here".to_owned(),
        location: None,
        token: "the node's token".to_owned(),
        // Nothing listens on the discard port.
        endpoints: vec!["http://127.0.0.1:9".to_owned()],
        ca: None,
        resources: Default::default(),
    }
}

fn node(id: Uuid) -> NodeRef {
    NodeRef { id, location: None }
}

/// Makes node 0 with a service that runs.
async fn with_service(root: &Root, provider: &ProcessProvider) {
    let id = root.nodes[0];
    provider.ensure(&request(id)).await.unwrap();
    root.kill_agent(0);
    let document = NodeDocument {
        protocol: 1,
        node_id: id,
        type_slug: "sleeper".to_owned(),
        place: "a".to_owned(),
        address: provider.address(id).unwrap(),
        port: 1,
        generation: 1,
        digest: "d".to_owned(),
        removing: false,
        config: json!({}),
        endpoints: Vec::new(),
    };
    fs::write(root.dir(0).join("document.json"), serde_json::to_vec(&document).unwrap()).unwrap();
    eventually("the agent has ended", async || {
        provider.observe(&node(id)).await.unwrap() == NodeState::Stopped
    })
    .await;
    provider.ensure(&request(id)).await.unwrap();
    // Agent, service, its child and that one's sleep.
    eventually("the service runs", async || root.processes(0).len() >= 4).await;
}

async fn ensured_once() {
    let root = Root::new(1);
    let (one, other) = (provider(&root.path()), provider(&root.path()));
    let request = request(root.nodes[0]);
    let (first, second) = tokio::join!(one.ensure(&request), other.ensure(&request));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.location, second.location);
    assert_eq!(first.location, json!({ "dir": root.dir(0) }));
    assert_eq!(Some(first.address), one.address(root.nodes[0]));
    one.ensure(&request).await.unwrap();
    let agent = root.agent(0).pid;
    assert_eq!(root.processes(0), [agent]);
    let stat = fs::read_to_string(format!("/proc/{agent}/stat")).unwrap();
    let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, agent.to_string(), "it has a session of its own");
    use std::os::unix::fs::PermissionsExt;
    for (path, mode) in [(root.dir(0), 0o700), (root.dir(0).join("token"), 0o600)] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
    }
}

async fn agent_killed() {
    let root = Root::new(1);
    let (maker, watcher) = (provider(&root.path()), provider(&root.path()));
    let id = root.nodes[0];
    maker.ensure(&request(id)).await.unwrap();
    assert_eq!(watcher.observe(&node(id)).await.unwrap(), NodeState::Running);
    for provider in [&maker, &watcher] {
        provider.ensure(&request(id)).await.unwrap();
        let (mut at_maker, mut at_watcher) = (maker.exits(), watcher.exits());
        let first = root.agent(0).pid;
        watcher.observe(&node(id)).await.unwrap();
        maker.observe(&node(id)).await.unwrap();
        root.kill_agent(0);
        assert_eq!(at_maker.recv().await.unwrap(), id);
        assert_eq!(at_watcher.recv().await.unwrap(), id);
        assert_eq!(maker.observe(&node(id)).await.unwrap(), NodeState::Stopped);
        eventually("no zombie is left", async || !Path::new(&format!("/proc/{first}")).exists()).await;
        provider.ensure(&request(id)).await.unwrap();
        assert_ne!(root.agent(0).pid, first);
        assert_eq!(maker.observe(&node(id)).await.unwrap(), NodeState::Running);
    }
}

async fn control_plane_killed() {
    let root = Root::new(1);
    let id = root.nodes[0];
    let mut control_plane = Command::new(std::env::current_exe().unwrap())
        .arg("control-plane")
        .args([root.path().as_os_str(), id.to_string().as_ref()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let next = provider(&root.path());
    eventually("the node runs", async || next.observe(&node(id)).await.unwrap() == NodeState::Running).await;
    let agent = root.agent(0);
    control_plane.kill().unwrap();
    control_plane.wait().unwrap();
    next.ensure(&request(id)).await.unwrap();
    assert_eq!(root.agent(0), agent, "it was adopted");
    assert_eq!(root.processes(0), [agent.pid]);
}

async fn deleted() {
    let root = Root::new(1);
    let provider = provider(&root.path());
    with_service(&root, &provider).await;
    let id = root.nodes[0];
    let began = Instant::now();
    provider.delete(&node(id)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(root.processes(0), [0_i32; 0]);
    assert!(root.left().is_empty());
    assert!(!root.dir(0).exists());
    assert_eq!(fs::read_dir(root.path().join("addresses")).unwrap().count(), 0);
    assert_eq!(provider.observe(&node(id)).await.unwrap(), NodeState::Gone);
    assert!(provider.list("here").await.unwrap().is_empty());
    provider.delete(&node(id)).await.unwrap();
}

async fn interrupted() {
    let root = Root::new(2);
    let provider = provider(&root.path());
    with_service(&root, &provider).await;
    provider.ensure(&request(root.nodes[1])).await.unwrap();
    // As a control plane leaves it that is killed when the directories have just been renamed.
    fs::rename(root.dir(0), root.dir(0).with_extension("gone")).unwrap();
    for pid in root.processes(1) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
    fs::rename(root.dir(1), root.dir(1).with_extension("new")).unwrap();
    let mut found = provider.list("here").await.unwrap();
    assert_eq!(found.len(), 2);
    found.extend([node(root.nodes[0])]);
    for node in found {
        provider.delete(&node).await.unwrap();
        assert_eq!(provider.observe(&node).await.unwrap(), NodeState::Gone);
    }
    assert!(root.processes(0).is_empty());
    assert!(provider.list("here").await.unwrap().is_empty());
}

async fn reused_process_id() {
    let root = Root::new(1);
    let provider = provider(&root.path());
    let id = root.nodes[0];
    provider.ensure(&request(id)).await.unwrap();
    let agent = root.agent(0);
    root.kill_agent(0);
    let mut stranger = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
    // Both may have started in one tick of the clock, which a process whose id is reused cannot have.
    let record =
        ProcessRecord { pid: stranger.id().try_into().unwrap(), start_time: agent.start_time - 1, ..agent };
    record.write(&root.dir(0).join("agent.json")).unwrap();
    fs::create_dir_all(root.dir(0).join("run")).unwrap();
    record.write(&root.dir(0).join("run/web.json")).unwrap();
    assert_eq!(provider.observe(&node(id)).await.unwrap(), NodeState::Stopped);
    provider.delete(&node(id)).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "a stranger was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

async fn other_root() {
    let (root, elsewhere) = (Root::new(1), Root::new(0));
    let (maker, other) = (provider(&root.path()), provider(&elsewhere.path()));
    let id = root.nodes[0];
    let made = maker.ensure(&request(id)).await.unwrap();
    let found =
        other.ensure(&NodeRequest { location: Some(made.location.clone()), ..request(id) }).await.unwrap();
    assert_eq!(found.location, made.location);
    assert_eq!(root.processes(0), [root.agent(0).pid]);
    let foreign = NodeRef { id, location: Some(made.location) };
    assert_eq!(other.observe(&foreign).await.unwrap(), NodeState::Running);
    other.delete(&foreign).await.unwrap();
    assert_eq!(maker.observe(&node(id)).await.unwrap(), NodeState::Gone);
    assert!(root.processes(0).is_empty());
}

async fn listed() {
    let root = Root::new(3);
    let provider = provider(&root.path());
    assert!(provider.list("here").await.unwrap().is_empty(), "also before the root exists");
    for (index, tag) in ["here", "there", "here"].into_iter().enumerate() {
        let request = NodeRequest { tag: tag.to_owned(), ..request(root.nodes[index]) };
        provider.ensure(&request).await.unwrap();
    }
    let ids = async |tag: &'static str| -> Vec<Uuid> {
        provider.list(tag).await.unwrap().iter().map(|node| node.id).collect()
    };
    assert_eq!(ids("here").await, [root.nodes[0], root.nodes[2]]);
    assert_eq!(ids("there").await, [root.nodes[1]]);
    assert!(ids("nowhere").await.is_empty());
}

async fn one_address() {
    let mut root = Root::new(1);
    // The address comes from the last three bytes.
    let mut bytes = root.nodes[0].into_bytes();
    bytes[9] ^= 1;
    root.nodes.push(Uuid::from_bytes(bytes));
    let provider = provider(&root.path());
    provider.ensure(&request(root.nodes[0])).await.unwrap();
    let refused = provider.ensure(&request(root.nodes[1])).await;
    assert!(matches!(refused, Err(ProviderError::Taken(_))), "{refused:?}");
    assert_eq!(provider.observe(&node(root.nodes[1])).await.unwrap(), NodeState::Gone);
    provider.delete(&node(root.nodes[0])).await.unwrap();
    provider.ensure(&request(root.nodes[1])).await.unwrap();
}

async fn broken_program() {
    let root = Root::new(1);
    for (program, reason) in [("/bin/false", "exit status: 1"), ("/no/such/program", "No such file")] {
        let options = ProcessOptions { root: root.path(), program: program.into() };
        let error = ProcessProvider::new(options).ensure(&request(root.nodes[0])).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(reason), "{source}");
    }
    // A good program makes a node of what is there.
    provider(&root.path()).ensure(&request(root.nodes[0])).await.unwrap();
    assert_eq!(root.processes(0), [root.agent(0).pid]);
}

/// Asks until it is so; fails after a time that only a broken provider needs.
async fn eventually(what: &str, ask: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !ask().await {
        assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
