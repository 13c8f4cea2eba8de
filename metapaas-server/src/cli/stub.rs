//! A small server in place of the real one, and the demo type as `GET /v1/types` describes it. Tests only.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use serde_json::{Value, json};

use super::output::Output;
use super::places::Places;
use super::types::Types;
use super::{ClientCommand, ClientOptions, execute};

/// What the stub got.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Method, path and query, e.g. `GET /v1/types`.
    pub(super) line: String,
    /// The bearer token, or nothing.
    pub(super) token: String,
    /// The tag of a conditional read, or nothing.
    pub(super) if_none_match: String,
    /// Where a stream is to go on, or nothing.
    pub(super) last_event_id: String,
    /// The caller's own name for the request, or nothing.
    pub(super) idempotency_key: String,
    /// The tag of a conditional change, or nothing.
    pub(super) if_match: String,
    /// Null when there was none.
    pub(super) body: Value,
}

/// Answers a call with a status, an entity tag (may be empty) and a body.
pub(super) type Handler = dyn Fn(&Call) -> (u16, &'static str, Value) + Send + Sync;

#[derive(Clone)]
struct Shared {
    handler: Arc<Handler>,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// A server, and a user's home beside it.
pub(super) struct Stub {
    /// Base URL.
    pub(super) endpoint: String,
    /// The user's directories.
    pub(super) home: tempfile::TempDir,
    shared: Shared,
    server: tokio::task::JoinHandle<()>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The exit code.
    pub(super) code: u8,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

#[derive(Parser)]
#[command(name = "metapaas", about = "The top level")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) options: ClientOptions,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Stands for the lead's own commands.
    Up,
    #[command(flatten)]
    Client(ClientCommand),
}

impl Stub {
    /// Starts to answer `GET /v1/types` itself and everything else with `handler`.
    pub(super) async fn start(
        handler: impl Fn(&Call) -> (u16, &'static str, Value) + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared { handler: Arc::new(handler), calls: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, home: tempfile::tempdir().unwrap(), shared, server }
    }

    /// The user's directories.
    pub(super) fn places(&self) -> Places {
        Places { config: Some(self.config()), data: Some(self.data()) }
    }

    /// Where the login file goes.
    pub(super) fn config(&self) -> PathBuf {
        self.home.path().join("config/metapaas")
    }

    /// The local data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Makes this the server of `metapaas up` on this machine.
    pub(super) fn is_local(&self) {
        std::fs::create_dir_all(self.data()).unwrap();
        std::fs::write(self.data().join("endpoint"), format!("{}\n", self.endpoint)).unwrap();
        let admin = json!({"user": "admin", "password": "p", "token": "local-token"});
        std::fs::write(self.data().join("admin.json"), admin.to_string()).unwrap();
    }

    /// What came so far, but for reads of the types.
    pub(super) fn calls(&self) -> Vec<Call> {
        let calls = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.line != "GET /v1/types").cloned().collect()
    }

    /// The first lines of [`Stub::calls`].
    pub(super) fn lines(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.line).collect()
    }

    /// Goes away.
    pub(super) async fn stop(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Runs a command line with a token against the stub.
    pub(super) async fn run(&self, arguments: &[&str]) -> Ended {
        let with_token = ["--endpoint", &self.endpoint, "--token", "given-token"];
        self.run_bare(&[&with_token, arguments].concat()).await
    }

    /// Runs a command line as it is.
    pub(super) async fn run_bare(&self, arguments: &[&str]) -> Ended {
        let cli = Cli::try_parse_from(std::iter::once(&"metapaas").chain(arguments)).unwrap();
        let Command::Client(command) = cli.command else { panic!("not a command of the client") };
        let (out, err) = (Buffer::default(), Buffer::default());
        let mut output = Output::to(cli.options.output, Box::new(out.clone()), Box::new(err.clone()));
        let result = execute(&cli.options, &self.places(), command, &mut output).await;
        let code = result.as_ref().err().map_or(0, super::error::CliError::exit_code);
        output.finish(result);
        Ended { code, out: out.text(), err: err.text() }
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let call = Call {
        line: format!("{method} {uri}"),
        token: header("authorization").trim_start_matches("Bearer ").to_owned(),
        if_none_match: header("if-none-match").to_owned(),
        last_event_id: header("last-event-id").to_owned(),
        idempotency_key: header("idempotency-key").to_owned(),
        if_match: header("if-match").to_owned(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    shared.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
    let (status, etag, body) =
        if call.line == "GET /v1/types" { (200, "", demo_answer()) } else { (shared.handler)(&call) };
    let status = StatusCode::from_u16(status).unwrap();
    let text = match body {
        Value::Null => String::new(),
        // A stream, as it is.
        Value::String(text) => text,
        body => body.to_string(),
    };
    let mut response = (status, text).into_response();
    if !etag.is_empty() {
        response.headers_mut().insert("etag", etag.parse().unwrap());
    }
    response
}

/// The demo type, read.
pub(super) fn demo_types() -> Types {
    serde_json::from_value(demo_answer()).unwrap()
}

/// The demo type with a few more fields and a grandchild, as the server describes it.
pub(super) fn demo_answer() -> Value {
    let field = |name: &str, kind: &str| {
        json!({"name": name, "kind": kind, "description": "", "nullable": false, "mutable": true, "output": false,
               "required": false, "default": null, "iam": null, "secret": kind == "secret"})
    };
    let with = |mut field: Value, more: Value| {
        for (name, value) in more.as_object().unwrap() {
            field[name] = value.clone();
        }
        field
    };
    json!({"items": [{
        "slug": "demo", "element": "demo", "plugin": "demo", "plugin_version": "0.1.0",
        "description": "A greeting on every node.", "counts": {"instances": 3}, "health": {},
        "types": [
            {"plural": "instances", "name": "Demo", "parent": null, "path": "/v1/types/demo/instances", "key": "name",
             "depth": 0, "description": "A greeting on every node.", "permissions": ["demo.instances.create"], "actions": [{"verb": "restart", "description": "Restarts it.", "parameters": [field("force", "boolean")]}],
             "fields": [
                with(field("greeting", "string"), json!({"required": true, "min_length": 1, "max_length": 80})),
                with(field("replicas", "integer"), json!({"default": 1, "minimum": 1, "maximum": 5, "nullable": true})),
                with(field("theme", "enum"), json!({"iam": "owner", "enum": ["light", "dark"], "default": "light"})),
                with(field("tags", "list"), json!({"items": "string"})),
                with(field("limits", "map"), json!({"items": "integer"})),
                field("extra", "json"),
                field("password", "secret"),
                with(field("endpoint", "string"), json!({"output": true})),
             ]},
            {"plural": "pages", "name": "Page", "parent": "instances", "key": "path", "depth": 1,
             "path": "/v1/types/demo/instances/{instance}/pages", "description": "A page.", "permissions": [],
             "fields": [with(field("path", "string"), json!({"required": true, "mutable": false})), field("text", "string")]},
            {"plural": "notes", "name": "Note", "parent": "pages", "key": "id", "depth": 2,
             "path": "/v1/types/demo/instances/{instance}/pages/{page}/notes", "description": "", "permissions": [],
             "fields": [field("text", "string")]},
        ],
    }]})
}
