//! What end-to-end tests share: a control plane as a real process, a client, and waiting for things.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use metapaas_core::provider::process::{ProcessOptions, ProcessProvider};
use metapaas_core::provider::{NodeRef, Provider};
use metapaas_core::store::{Database, StoreError};
use metapaas_core::testing;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything that should come by itself. On a busy machine an app in a container takes more than a minute.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The program under test; the caller passes `env!("CARGO_BIN_EXE_metapaas-under-test")`.
#[derive(Clone, Debug)]
pub struct Program(pub PathBuf);

/// Which database a control plane runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The embedded default.
    Sqlite,
    /// A database of the test's own on the test server.
    Postgres,
}

/// An installation: a data folder, perhaps a PostgreSQL database, and the control plane that runs on them.
pub struct Installation {
    program: Program,
    dir: TempDir,
    database: Option<testing::TestDatabase>,
    /// URL of the database of the installation that this one is the second control plane of.
    shared: Option<String>,
    process: Option<Child>,
    environment: Vec<(String, String)>,
    ca: Option<String>,
    /// Base URL of the control plane.
    pub url: String,
    /// A token that may do everything.
    pub token: String,
}

/// What a control plane answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as JSON; null when it is none.
    pub body: Value,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Holds the answer to a status.
    #[must_use]
    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion of tests")]
    pub fn expect(self, status: u16) -> Self {
        if self.status.as_u16() != status {
            panic!("expected {status}, found {} with {:#}", self.status, self.body);
        }
        self
    }
}

#[expect(clippy::expect_used, clippy::panic, reason = "a harness of tests")]
impl Installation {
    /// Starts a control plane on a new installation.
    pub async fn start(program: &str, on: On) -> Self {
        Self::start_with(program, on, &[]).await
    }

    /// The same with variables for the control plane, such as settings.
    pub async fn start_with(program: &str, on: On, environment: &[(&str, &str)]) -> Self {
        let mut installation = Self::new(program, on, environment).await;
        installation.up().await;
        installation
    }

    /// An installation that was never started.
    pub async fn new(program: &str, on: On, environment: &[(&str, &str)]) -> Self {
        let database = match on {
            On::Sqlite => None,
            On::Postgres => Some(testing::postgres().await),
        };
        let mut installation = Self {
            program: Program(program.into()),
            dir: tempfile::tempdir().expect("make a temp dir"),
            database,
            shared: None,
            process: None,
            environment: Vec::new(),
            ca: None,
            url: String::new(),
            token: String::new(),
        };
        for (name, value) in environment {
            installation.set(name, value);
        }
        installation
    }

    /// Sets a variable for the control plane, from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable away, from the next start on.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(other, _)| other != name);
    }

    /// Trusts these certificates (PEM) and no others, from now on.
    pub fn trust(&mut self, ca: &str) {
        self.ca = Some(ca.to_owned());
    }

    /// A client for this installation.
    pub fn client(&self) -> reqwest::Client {
        client_that_trusts(self.ca.as_deref())
    }

    /// A second control plane on the same database, with a data folder and keys of its own made as operators do.
    pub async fn second(&self) -> Self {
        let dir = tempfile::tempdir().expect("make a temp dir");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("make the data folder");
        std::fs::copy(self.data_dir().join("master.key"), data.join("master.key")).expect("copy the key");
        let mut second = Self {
            program: self.program.clone(),
            dir,
            database: None,
            shared: self.database_url(),
            process: None,
            environment: self.environment.clone(),
            ca: self.ca.clone(),
            url: String::new(),
            token: self.token.clone(),
        };
        assert!(second.shared.is_some(), "two control planes need PostgreSQL");
        second.up().await;
        second
    }

    /// The folder around the data folder, for what belongs to the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// URL of the PostgreSQL database.
    pub fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(testing::TestDatabase::url).or_else(|| self.shared.clone())
    }

    /// The database, beside the control plane.
    pub async fn sql(&self) -> Database {
        let opened = match self.database_url() {
            Some(url) => Database::open_postgres(&url, 2).await,
            None => Database::open_sqlite(&self.data_dir().join("metapaas.db")).await,
        };
        opened.expect("open the database")
    }

    /// Starts the control plane, or starts it again.
    pub async fn up(&mut self) {
        let url = self.database_url();
        self.up_on(url.as_deref()).await;
    }

    async fn up_on(&mut self, database: Option<&str>) {
        let mut command = Command::new(&self.program.0);
        command.args(["up", "--listen", "127.0.0.1:0"]).arg("--data-dir").arg(self.data_dir());
        if let Some(url) = database {
            command.args(["--database", url]);
        }
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(self.log()).expect("open the log");
        command
            .env_clear()
            // Tests of the router say where it listens.
            .env("METAPAAS_ROUTER_LISTEN", "off")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut process = command.spawn().expect("start the control plane");
        let stdout = process.stdout.take().expect("its standard output");
        self.process = Some(process);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("read its URL");
        self.url = line.trim().to_owned();
        if self.url.is_empty() {
            panic!("the control plane did not start:\n{}", self.read_log());
        }
        let client = self.client();
        let url = format!("{}/readyz", self.url);
        eventually("the control plane is ready", || async {
            client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        // It is there from the first start on, unless a test has taken it away.
        if let Ok(admin) = std::fs::read_to_string(self.data_dir().join("admin.json")) {
            let admin: Value = serde_json::from_str(&admin).expect("parse admin.json");
            self.token = admin["token"].as_str().expect("a token").to_owned();
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What the control plane has logged.
    pub fn read_log(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Makes all events older than they are; while no control plane runs.
    pub async fn age_events(&self, seconds: u32) {
        let (database, at) = match self.database_url() {
            Some(url) => {
                let database = Database::open_postgres(&url, 1).await;
                (database, format!("at - interval '{seconds} seconds'"))
            }
            None => {
                let database = Database::open_sqlite(&self.data_dir().join("metapaas.db")).await;
                (database, format!("at - {seconds}000000"))
            }
        };
        let database = database.expect("open the database");
        let sql = format!("UPDATE metapaas_events SET at = {at}");
        let done: Result<(), StoreError> = database
            .write("age events", move |tx| {
                Box::pin(async move { tx.execute_script("age events", &sql).await })
            })
            .await;
        done.expect("age events");
        database.close().await;
    }

    /// The pid of the control plane.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running control plane").id()
    }

    /// `kill -9` of the control plane.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a running control plane");
        process.kill().expect("kill it");
        process.wait().expect("reap it");
    }

    /// Ctrl-C: stops it in order and answers whether its exit code was 0.
    pub fn stop(&mut self) -> bool {
        let mut process = self.process.take().expect("a running control plane");
        signal(process.id(), rustix::process::Signal::INT);
        process.wait().expect("reap it").success()
    }

    /// A request with a token; a null body is none.
    pub async fn call_as(&self, token: &str, method: Method, path: &str, body: Value) -> Answer {
        let mut request = self.client().request(method, format!("{}{path}", self.url)).bearer_auth(token);
        if !body.is_null() {
            request = request.json(&body);
        }
        answer(request).await
    }

    /// A request as the admin.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        self.call_as(&self.token, method, path, body).await
    }

    /// GET as the admin.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Value::Null).await
    }

    /// Waits until a row is ACTIVE with its last generation and answers it.
    pub async fn active(&self, path: &str) -> Value {
        let mut last = Value::Null;
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            last = self.get(path).await.body;
            if last["status"] == "ACTIVE" && last["generation"] == last["observed_generation"] {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} did not become ACTIVE: {last:#}\n{}", self.read_log());
    }

    /// The id of the project that every installation begins with.
    pub async fn default_project(&self) -> String {
        let project = self.get("/v1/iam/projects/default").await.expect(200);
        project.body["id"].as_str().expect("an id").to_owned()
    }

    /// Makes a user with a role in a project and answers an access token of its.
    pub async fn user(&self, name: &str, project: &str, role: &str) -> String {
        let password = "correct horse battery";
        let user = self
            .call(
                Method::POST,
                "/v1/iam/users",
                serde_json::json!({ "name": name, "password": password, "must_change_password": false }),
            )
            .await
            .expect(201);
        let principal = serde_json::json!({ "kind": "user", "id": user.body["id"] });
        let binding = serde_json::json!({ "project_id": project, "principal": principal, "role": role });
        let _ = self.call(Method::POST, "/v1/iam/bindings", binding).await.expect(201);
        let login = serde_json::json!({ "grant_type": "password", "username": name, "password": password });
        let pair = self.call(Method::POST, "/v1/iam/token", login).await.expect(200);
        pair.body["access_token"].as_str().expect("an access token").to_owned()
    }

    /// Runs the command line against this installation.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program.0)
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("METAPAAS_DATA_DIR", self.data_dir())
            .env("HOME", self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("run the command line")
    }

    /// How many nodes have a directory.
    pub fn node_dirs_of_nodes(&self) -> usize {
        self.node_dirs().len()
    }

    /// What the router has written down of itself.
    pub fn router(&self) -> Option<Value> {
        let state = std::fs::read(self.data_dir().join("router/state.json")).ok()?;
        serde_json::from_slice(&state).ok()
    }

    /// Where the router listens.
    pub fn router_address(&self) -> String {
        let state = self.router().expect("a router that listens");
        state["address"].as_str().expect("its address").to_owned()
    }

    /// Directories of nodes that are left. Beside them is one of addresses.
    pub fn node_dirs(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.data_dir().join("nodes")) else { return Vec::new() };
        let is_node = |path: &PathBuf| {
            path.is_dir()
                && path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.len() == 36)
        };
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_node).collect()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may be gone already; there is nothing else to do then.
            let _ = process.kill();
            let _ = process.wait();
        }
        // So does the router.
        if let Some(pid) = recorded_pid(&self.data_dir().join("router/run/router.json")) {
            signal(pid, rustix::process::Signal::KILL);
        }
        let provider = ProcessProvider::new(ProcessOptions {
            root: self.data_dir().join("nodes"),
            program: self.program.0.clone(),
        });
        let nodes: Vec<NodeRef> = self
            .node_dirs()
            .iter()
            .filter_map(|dir| dir.file_name()?.to_str()?.parse().ok())
            .map(|id| NodeRef { id, location: None })
            .collect();
        // Nodes outlive their control plane; a test must not leave any. A runtime cannot be made inside of one.
        let cleaned = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            for node in nodes {
                let _ = runtime.block_on(provider.delete(&node));
            }
        });
        let _ = cleaned.join();
    }
}

/// A client that keeps no connection: a control plane that is killed must not be remembered.
pub fn client() -> reqwest::Client {
    client_that_trusts(None)
}

#[expect(clippy::expect_used, reason = "a harness of tests")]
fn client_that_trusts(ca: Option<&str>) -> reqwest::Client {
    metapaas_agent::http::client(ca.map(str::as_bytes))
        .expect("certificates to trust")
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(40))
        .build()
        .expect("a client")
}

/// Sends a request and reads the whole answer.
#[expect(clippy::expect_used, reason = "a harness of tests")]
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let bytes = answer.bytes().await.expect("the whole answer");
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        if bytes.is_empty() { Value::Null } else { String::from_utf8_lossy(&bytes).into() }
    });
    Answer { status, headers, body }
}

/// Waits until something holds.
#[expect(clippy::panic, reason = "an assertion of tests")]
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let since = Instant::now();
    while !holds().await {
        if since.elapsed() > PATIENCE {
            panic!("waited {PATIENCE:?} in vain: {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The pid in a process record of a node, e.g. `agent.json` or `run/web.json`.
pub fn recorded_pid(file: &Path) -> Option<u32> {
    let record: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    u32::try_from(record["pid"].as_u64()?).ok()
}

/// Whether a process runs (a zombie does not).
pub fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}
