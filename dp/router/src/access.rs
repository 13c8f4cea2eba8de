//! The access log: one JSON object a line, written by a thread of its own so that no request waits for the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use hyper::Method;
use metapaas_agent::files;
use serde::Serialize;
use uuid::Uuid;

/// A log of this size moves aside; one old file is kept.
const LIMIT: u64 = 10 * 1024 * 1024;
/// Bytes that wait for the disk at the most; further lines are dropped and counted.
const ROOM: usize = 4 * 1024 * 1024;
/// So many bytes are written at once.
const DUE: usize = 256 * 1024;
/// A line is on the disk no later than this.
const FLUSH: Duration = Duration::from_millis(500);
/// Longer paths are cut.
const LONGEST_PATH: usize = 512;

/// What is known of a request.
#[derive(Clone, Debug)]
pub struct Record {
    /// Who asked.
    pub client: SocketAddr,
    /// How.
    pub method: Method,
    /// For which host name.
    pub host: String,
    /// For what, without the query: that may hold secrets.
    pub path: String,
    /// The instance that answered.
    pub instance: Option<Uuid>,
    /// Its node.
    pub backend: Option<SocketAddr>,
    /// How often the request was moved to another node or connection.
    pub retries: u32,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Whether the client got all of it.
    pub is_whole: bool,
    /// When it came.
    pub began: Instant,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    client: SocketAddr,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    status: u16,
    bytes: u64,
    ms: f64,
    instance: Option<Uuid>,
    backend: Option<SocketAddr>,
    #[serde(skip_serializing_if = "is_zero")]
    retries: u32,
    #[serde(skip_serializing_if = "Clone::clone")]
    whole: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Record {
    fn line(&self) -> Vec<u8> {
        let end = (0..=LONGEST_PATH.min(self.path.len())).rev().find(|end| self.path.is_char_boundary(*end));
        let line = Line {
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            client: self.client,
            method: self.method.as_str(),
            host: &self.host,
            path: &self.path[..end.unwrap_or_default()],
            status: self.status,
            bytes: self.bytes,
            ms: (self.began.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            instance: self.instance,
            backend: self.backend,
            retries: self.retries,
            whole: self.is_whole,
        };
        let mut bytes = Vec::with_capacity(512);
        // Texts and numbers always serialise, and memory takes what is written.
        let _ = serde_json::to_writer(&mut bytes, &line);
        bytes.push(b'\n');
        bytes
    }
}

/// Takes records. A request only adds its line to what waits in memory.
#[derive(Debug)]
pub struct AccessLog {
    waiting: Arc<Waiting>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Lines on their way to the disk.
#[derive(Debug, Default)]
struct Waiting {
    lines: Mutex<Lines>,
    is_due: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    is_closed: bool,
}

impl AccessLog {
    /// The log in that directory, which is made when it is missing.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(directory: &Path) -> io::Result<Self> {
        files::private_directory(directory)?;
        let mut file = LogFile::open(directory.join("access.log"))?;
        let waiting = Arc::new(Waiting::default());
        let taken = waiting.clone();
        let writer = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            let mut is_failing = false;
            while let Some(lines) = taken.take() {
                let written = file.write(&lines);
                // Once for each time that the disk is full, not for each write.
                if let (Err(error), false) = (&written, is_failing) {
                    tracing::error!(%error, path = %file.path.display(), "the access log cannot be written");
                }
                is_failing = written.is_err();
            }
        })?;
        Ok(Self { waiting, writer: Mutex::new(Some(writer)) })
    }

    /// Writes a record down soon; `false` when the disk is too slow for it.
    pub fn note(&self, record: &Record) -> bool {
        let line = record.line();
        let mut lines = self.waiting.lines();
        if lines.bytes.len() + line.len() > ROOM {
            return false;
        }
        let was_due = lines.bytes.len() >= DUE;
        lines.bytes.extend_from_slice(&line);
        // Waking the writer takes longer than all else here, so it is woken for many lines at once.
        if !was_due && lines.bytes.len() >= DUE {
            self.waiting.is_due.notify_one();
        }
        true
    }

    /// Writes down what waits, and returns when it is done.
    pub fn close(&self) {
        self.waiting.lines().is_closed = true;
        self.waiting.is_due.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It has said itself what went wrong.
        let _ = writer.map(JoinHandle::join);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Waiting {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines to write, after at most [`FLUSH`]; `None` once the log is closed and all is written.
    fn take(&self) -> Option<Vec<u8>> {
        let is_early = |lines: &mut Lines| !lines.is_closed && lines.bytes.len() < DUE;
        let waited = self.is_due.wait_timeout_while(self.lines(), FLUSH, is_early);
        let (mut lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_over = lines.is_closed && lines.bytes.is_empty();
        (!is_over).then(|| std::mem::take(&mut lines.bytes))
    }
}

/// The file that is written to.
struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size })
    }

    /// Writes lines; a file that has reached [`LIMIT`] moves aside first.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size >= LIMIT {
            fs::rename(&self.path, self.path.with_extension("log.old"))?;
            *self = Self::open(self.path.clone())?;
        }
        self.size += lines.len() as u64;
        self.file.write_all(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line_of_json() {
        let record = Record {
            client: ([127, 0, 0, 1], 5000).into(),
            method: Method::GET,
            host: "a.localhost".into(),
            path: format!("/\u{e9}\n{}", "x".repeat(600)),
            instance: None,
            backend: None,
            retries: 0,
            status: 404,
            bytes: 7,
            is_whole: true,
            began: Instant::now(),
        };
        let line = String::from_utf8(record.line()).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["status"], value.get("whole")), (&404.into(), None));
        assert!(value["path"].as_str().unwrap().len() <= LONGEST_PATH);
    }
}
