//! [`Postgres`]: a private PostgreSQL server in a temporary directory, gone when it is dropped.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::context::{Context, end_with};
use crate::error::Error;
use crate::programs;

/// Tests find the server by this variable. A caller who sets it keeps it.
pub(crate) const URL_VARIABLE: &str = "METAPAAS_TEST_DATABASE_URL";
const USER: &str = "metapaas";
/// A port that was free may be taken a moment later.
const ATTEMPTS: u32 = 5;

/// A server to test against: ours, or the caller's.
pub(crate) struct Postgres {
    url: String,
    // Declared before the directory: the server ends first.
    _server: Option<Server>,
    _directory: Option<TempDir>,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Fast shutdown, then immediate, then the hard way.
        for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
            if end_with(&mut self.0, signal, Duration::from_secs(10)) {
                return;
            }
        }
    }
}

impl Postgres {
    /// The caller's server when `METAPAAS_TEST_DATABASE_URL` names one, else a new one.
    pub(crate) fn start(ctx: &Context) -> Result<Self, Error> {
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            return Ok(Self { url, _server: None, _directory: None });
        }
        let binaries = programs::postgres_folder().ok_or(Error::NoPostgres)?;
        let directory =
            tempfile::Builder::new().prefix("metapaas-postgres-").tempdir().map_err(|source| {
                Error::File { action: "make a directory in", path: std::env::temp_dir(), source }
            })?;
        let cluster = Cluster { ctx, binaries, directory: directory.path(), owner: Owner::choose(ctx)? };
        let password = random_password()?;
        cluster.initialise(&password)?;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            match cluster.serve(port)? {
                Ok(server) => {
                    let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}/postgres");
                    return Ok(Self { url, _server: Some(server), _directory: Some(directory) });
                }
                Err(log) => last = log,
            }
        }
        Err(Error::Postgres { reason: last })
    }

    /// `postgres://user:password@127.0.0.1:port/postgres`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes an empty database and answers its URL.
    pub(crate) fn create_database(&self, ctx: &Context, name: &str) -> Result<String, Error> {
        for statement in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            let mut psql = Command::new("psql");
            psql.args([
                "--no-psqlrc",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--command",
                &statement,
                "--dbname",
            ]);
            ctx.run(psql.arg(&self.url).env("PGOPTIONS", "-c client_min_messages=warning"))?;
        }
        let (server, options) =
            self.url.split_once('?').map_or((self.url.as_str(), None), |(a, b)| (a, Some(b)));
        let server = server.rsplit_once('/').map_or(server, |(server, _)| server);
        Ok(options.map_or_else(|| format!("{server}/{name}"), |options| format!("{server}/{name}?{options}")))
    }
}

/// Who owns the server process: PostgreSQL refuses to run as root.
enum Owner {
    Caller,
    Postgres { uid: u32, gid: u32 },
}

impl Owner {
    fn choose(ctx: &Context) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Caller);
        }
        let number = |flag: &str| {
            let mut id = Command::new("id");
            let (lines, ended) = ctx.run_quietly(id.args([flag, "postgres"]));
            ended?;
            let text = lines.trim().to_owned();
            text.parse()
                .map_err(|_| Error::Postgres { reason: format!("`id {flag} postgres` said `{text}`") })
        };
        Ok(Self::Postgres { uid: number("-u")?, gid: number("-g")? })
    }
}

struct Cluster<'a> {
    ctx: &'a Context,
    binaries: PathBuf,
    directory: &'a Path,
    owner: Owner,
}

impl Cluster<'_> {
    fn initialise(&self, password: &str) -> Result<(), Error> {
        let password_file = self.directory.join("password");
        let written = |source| Error::File { action: "write", path: password_file.clone(), source };
        std::fs::write(&password_file, password).map_err(written)?;
        if let Owner::Postgres { uid, gid } = self.owner {
            for path in [self.directory, &password_file] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(|source| Error::File {
                    action: "give to the user postgres",
                    path: path.to_owned(),
                    source,
                })?;
            }
        }
        let mut initdb = self.command("initdb");
        initdb.args([
            "--username",
            USER,
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
        ]);
        initdb.arg("--no-sync").arg("--pwfile").arg(&password_file).arg("--pgdata").arg(self.data());
        let (output, ended) = self.ctx.run_quietly(&mut initdb);
        ended.inspect_err(|_| println!("{output}"))
    }

    /// The running server, or what its log says when it did not come up.
    fn serve(&self, port: u16) -> Result<Result<Server, String>, Error> {
        let log_path = self.directory.join("log");
        let opened = |source| Error::File { action: "open", path: log_path.clone(), source };
        let log = File::create(&log_path).map_err(opened)?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.directory);
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-c",
            "max_connections=300",
            "-c",
            "fsync=on",
        ]);
        command.stdout(log.try_clone().map_err(opened)?).stderr(log);
        let mut server = Server(self.ctx.start(&mut command)?);
        let start = Instant::now();
        loop {
            let exited = matches!(server.0.try_wait(), Ok(Some(_)));
            if exited || start.elapsed() > Duration::from_secs(60) {
                let log = std::fs::read_to_string(&log_path).map_err(opened)?;
                return Ok(Err(log));
            }
            let mut probe = Command::new(self.binaries.join("pg_isready"));
            let probe = probe.args(["--quiet", "--host", "127.0.0.1", "--port", &port.to_string()]);
            if self.ctx.run(probe).is_ok() {
                return Ok(Ok(server));
            }
            self.ctx.tick()?;
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn command(&self, program: &str) -> Command {
        // The kernel stops the server should this tool be killed outright; setpriv becomes the program itself.
        let mut command = Command::new("setpriv");
        if let Owner::Postgres { uid, gid } = self.owner {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
        }
        command
            .args(["--pdeathsig", "INT", "--"])
            .arg(self.binaries.join(program))
            .current_dir(self.directory);
        command
    }
}

fn free_port() -> Result<u16, Error> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| Error::Postgres { reason: format!("no free port: {source}") })
}

fn random_password() -> Result<String, Error> {
    let path = PathBuf::from("/dev/urandom");
    let mut bytes = [0_u8; 16];
    File::open(&path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(|source| Error::File {
        action: "read",
        path,
        source,
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
