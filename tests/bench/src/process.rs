//! [`Process`]: a server that prints its address, and what the kernel knows about it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::{Call, Connection};
use crate::error::BenchError;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it is killed when dropped before [`Process::end`].
pub(crate) struct Process {
    program: PathBuf,
    child: Child,
    address: String,
    took: Duration,
}

impl Process {
    /// Starts it, its errors going to the file `log`, and waits until `/readyz` answers 200.
    pub(crate) async fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Self, BenchError> {
        let start = Instant::now();
        let silent = || BenchError::Silent {
            program: program.to_owned(),
            log: std::fs::read_to_string(log).unwrap_or_default(),
        };
        let errors = std::fs::File::create(log).map_err(|source| BenchError::File {
            action: "make",
            path: log.to_owned(),
            source,
        })?;
        let mut child = Command::new(program)
            // What is measured has no router beside it.
            .env("METAPAAS_ROUTER_LISTEN", "off")
            .args(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| BenchError::Spawn { program: program.to_owned(), source })?;
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(silent)?).lines();
        let address = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = address_in(&line) {
                    return Some(address.to_owned());
                }
            }
            None
        };
        let address = tokio::time::timeout(PATIENCE, address).await.ok().flatten().ok_or_else(silent)?;
        // Read on, so that the server never waits for room in the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        wait_until_ready(&address).await?;
        Ok(Self { program: program.to_owned(), child, address, took: start.elapsed() })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From its start to its first answer.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64, BenchError> {
        memory_of(self.child.id().unwrap_or_default(), "VmRSS:")
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn end(mut self) -> Result<(), BenchError> {
        let ending = |source| BenchError::End { program: self.program.clone(), source };
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            kill_process(pid, Signal::TERM).map_err(|error| ending(error.into()))?;
        }
        if tokio::time::timeout(Duration::from_secs(15), self.child.wait()).await.is_err() {
            self.child.kill().await.map_err(ending)?;
        }
        Ok(())
    }
}

/// Memory of a process in bytes: `VmRSS:` for what it has, `VmHWM:` for the most that it had.
pub(crate) fn memory_of(pid: u32, line: &str) -> Result<u64, BenchError> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status =
        std::fs::read_to_string(&path).map_err(|source| BenchError::File { action: "read", path, source })?;
    let kilobytes = status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().next());
    Ok(kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024)
}

async fn wait_until_ready(address: &str) -> Result<(), BenchError> {
    let call = Call { method: Method::GET, path: "/readyz".into(), token: None, body: bytes::Bytes::new() };
    let start = Instant::now();
    loop {
        let answer = match Connection::open(address).await {
            Ok(mut connection) => connection.succeed(&call).await.map(|_| ()),
            Err(error) => Err(error),
        };
        match answer {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// `host:port` of the first `http://` address in the line.
fn address_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:-[]".contains(c))).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|address| address.contains(':'))
}
