//! [`Target`]: a server under load, with what a client needs to talk to it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderValue;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::client::{Call, Connection};
use crate::error::BenchError;
use crate::process::Process;
use crate::report::{Memory, Report, WarmStart};
use crate::{Kind, Store};

/// How often a start is timed.
const STARTS: usize = 5;
/// What a server gets to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(2);
const BASELINE_SECRET: &str = "of-no-worth-outside-this-benchmark";

/// What to start.
pub(crate) struct Start<'a> {
    pub(crate) kind: Kind,
    pub(crate) store: Store,
    pub(crate) program: &'a Path,
    /// The PostgreSQL database; without it SQLite.
    pub(crate) database: Option<&'a str>,
}

/// A server under load.
pub(crate) struct Target {
    kind: Kind,
    store: Store,
    process: Process,
    credentials: Credentials,
    project: Uuid,
    /// Instances to read and to change.
    pub(crate) ids: Vec<String>,
    _directory: TempDir,
}

enum Credentials {
    Password { user: String, password: String },
    Secret,
}

impl Target {
    /// Starts it, and notes how long that takes and how much memory it has at rest.
    pub(crate) async fn start(start: &Start<'_>, report: &mut Report) -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new().prefix("metapaas-bench-").tempdir().map_err(|source| {
            BenchError::File { action: "make a directory in", path: std::env::temp_dir(), source }
        })?;
        let data = directory.path().join("data");
        let log = directory.path().join("log");
        let commands: &[&str] = match start.kind {
            Kind::Metapaas => &["up", "serve"],
            Kind::Baseline | Kind::Pgbench => &["serve"],
        };
        // The last one stays: `serve` answers HTTP and reconciles nothing.
        let mut process = None;
        for command in commands {
            let arguments = arguments(start, command, &data);
            let begin = || Process::start(start.program, &arguments, &log);
            if let Some(previous) = process.take() {
                Process::end(previous).await?;
            }
            // The first start makes the data that the others find.
            begin().await?.end().await?;
            let mut times = Vec::new();
            for _ in 0..STARTS {
                let started = begin().await?;
                times.push(started.took());
                started.end().await?;
            }
            times.sort();
            let took = times[times.len() / 2];
            let command = start.kind.command(command);
            report.starts.push(WarmStart { command: command.clone(), store: start.store, took });
            let resting = begin().await?;
            tokio::time::sleep(REST).await;
            let bytes = resting.resident_bytes()?;
            report.memory.push(Memory { command, store: start.store, when: "idle", bytes });
            process = Some(resting);
        }
        let Some(process) = process else { return Err(BenchError::NoAnswer) };
        let credentials = match start.kind {
            Kind::Metapaas => Credentials::read(&data.join("admin.json"))?,
            Kind::Baseline | Kind::Pgbench => Credentials::Secret,
        };
        let (kind, store) = (start.kind, start.store);
        let project = Uuid::now_v7();
        let mut target =
            Self { kind, store, process, credentials, project, ids: Vec::new(), _directory: directory };
        if kind == Kind::Metapaas {
            target.project = target.make_project().await?;
        }
        Ok(target)
    }

    /// Which server it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.process.address()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64, BenchError> {
        self.process.resident_bytes()
    }

    /// Where instances are made.
    pub(crate) fn project(&self) -> Uuid {
        self.project
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<Connection, BenchError> {
        Connection::open(self.process.address()).await
    }

    /// A fresh access token as header value; the server verifies its signature at each request.
    pub(crate) async fn token(&self) -> Result<HeaderValue, BenchError> {
        let token = match &self.credentials {
            Credentials::Secret => signed_token()?,
            Credentials::Password { user, password } => {
                #[derive(Deserialize)]
                struct Answer {
                    access_token: String,
                }
                let body = json!({ "grant_type": "password", "username": user, "password": password });
                let call = Call {
                    method: Method::POST,
                    path: "/v1/iam/token".into(),
                    token: None,
                    body: Bytes::from(body.to_string()),
                };
                self.connect().await?.json::<Answer>(&call).await?.access_token
            }
        };
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| BenchError::Invalid {
            request: "with a bearer token".into(),
            source: error.into(),
        })
    }

    /// Notes the memory that it has after the load, and ends it.
    pub(crate) async fn stop(self, report: &mut Report) -> Result<(), BenchError> {
        let command = self.kind.command("serve");
        let bytes = self.process.resident_bytes()?;
        report.memory.push(Memory { command, store: self.store, when: "after load", bytes });
        self.process.end().await
    }

    async fn make_project(&self) -> Result<Uuid, BenchError> {
        #[derive(Deserialize)]
        struct Answer {
            id: Uuid,
        }
        let call = Call {
            method: Method::POST,
            path: "/v1/iam/projects".into(),
            token: Some(self.token().await?),
            body: Bytes::from(json!({ "name": "bench" }).to_string()),
        };
        Ok(self.connect().await?.json::<Answer>(&call).await?.id)
    }
}

impl Credentials {
    fn read(path: &Path) -> Result<Self, BenchError> {
        #[derive(Deserialize)]
        struct Admin {
            user: String,
            password: String,
        }
        let text = std::fs::read(path).map_err(|source| BenchError::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let admin: Admin = serde_json::from_slice(&text)
            .map_err(|source| BenchError::Shape { request: path.display().to_string(), source })?;
        Ok(Self::Password { user: admin.user, password: admin.password })
    }
}

impl Kind {
    /// As it is printed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Metapaas => "metapaas",
            Self::Baseline => "baseline",
            Self::Pgbench => "pgbench",
        }
    }

    /// A subcommand as it is printed; the baseline has none.
    fn command(self, subcommand: &str) -> String {
        match self {
            Self::Metapaas => format!("metapaas {subcommand}"),
            Self::Baseline | Self::Pgbench => self.name().into(),
        }
    }
}

fn arguments(start: &Start<'_>, command: &str, data: &Path) -> Vec<String> {
    let mut arguments = Vec::new();
    match start.kind {
        Kind::Metapaas => {
            arguments.extend([command.to_owned(), "--data-dir".into(), data.display().to_string()]);
            arguments
                .extend(start.database.into_iter().flat_map(|url| ["--database".into(), url.to_owned()]));
        }
        Kind::Baseline | Kind::Pgbench => {
            let file = || format!("sqlite://{}.db", data.display());
            let database = start.database.map_or_else(file, str::to_owned);
            arguments.extend(["--database".into(), database, "--secret".into(), BASELINE_SECRET.into()]);
        }
    }
    arguments
}

fn signed_token() -> Result<String, BenchError> {
    #[derive(Serialize)]
    struct Claims {
        sub: Uuid,
        sid: Uuid,
        exp: u64,
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims { sub: Uuid::now_v7(), sid: Uuid::now_v7(), exp: now + 3600 };
    let key = EncodingKey::from_secret(BASELINE_SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).map_err(BenchError::Sign)
}
