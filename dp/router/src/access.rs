//! The access log: one JSON object a line, written by a thread of its own so that no request waits for the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use hyper::Method;
use metapaas_agent::files;
use serde::Serialize;
use uuid::Uuid;

/// A log of this size moves aside; one old file is kept.
const LIMIT: u64 = 10 * 1024 * 1024;
/// Lines that wait for the disk at the most; further ones are dropped and counted.
const QUEUE: usize = 16_384;
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
        // Texts and numbers always serialise.
        let mut line = serde_json::to_vec(&line).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Takes records. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct AccessLog(SyncSender<Vec<u8>>);

impl AccessLog {
    /// The log in that directory, which is made when it is missing.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(directory: &Path) -> io::Result<Self> {
        files::private_directory(directory)?;
        let path = directory.join("access.log");
        let file = open(&path)?;
        let (sender, lines) = sync_channel(QUEUE);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            if let Err(error) = write(&path, file, &lines) {
                tracing::error!(%error, path = %path.display(), "the access log ends");
            }
        })?;
        Ok(Self(sender))
    }

    /// Writes a record down soon; `false` when the disk is too slow for it.
    pub fn note(&self, record: &Record) -> bool {
        self.0.try_send(record.line()).is_ok()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn write(path: &PathBuf, file: File, lines: &Receiver<Vec<u8>>) -> io::Result<()> {
    let mut size = file.metadata()?.len();
    let mut file = BufWriter::new(file);
    loop {
        match lines.recv_timeout(FLUSH) {
            Ok(line) => {
                file.write_all(&line)?;
                size += line.len() as u64;
            }
            Err(RecvTimeoutError::Timeout) => file.flush()?,
            Err(RecvTimeoutError::Disconnected) => return file.flush(),
        }
        if size >= LIMIT {
            file.flush()?;
            fs::rename(path, path.with_extension("log.old"))?;
            (file, size) = (BufWriter::new(open(path)?), 0);
        }
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
