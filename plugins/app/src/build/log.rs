//! What a build says: kept in a file up to a limit, and told on standard output, which is the log of the service.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much of its end is kept with the release.
const TAIL: usize = 16 * 1024;

/// A build's log. Clones write to the same.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Inner>>);

struct Inner {
    path: PathBuf,
    file: File,
    left: u64,
    doing: String,
    commit: Option<String>,
}

impl Log {
    /// A new log for a build.
    pub(super) fn open(directory: &Path, build: u32, limit_kb: u64) -> io::Result<Self> {
        let path = directory.join("logs").join(format!("{build}.log"));
        let file = File::create(&path)?;
        let (left, doing) = (limit_kb.saturating_mul(1024), "begins".to_owned());
        Ok(Self(Arc::new(Mutex::new(Inner { path, file, left, doing, commit: None }))))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line. What comes after the limit is left out.
    pub(super) fn line(&self, line: &str) {
        let mut inner = self.inner();
        if inner.left == 0 {
            return;
        }
        let line: String =
            line.chars().filter(|letter| !letter.is_control() || *letter == '\t').take(4000).collect();
        let length = line.len() as u64 + 1;
        let is_last = inner.left <= length;
        inner.left = inner.left.saturating_sub(length);
        let line = if is_last { "(the rest of what it said is left out)".to_owned() } else { line };
        // A full disk is told by what fails for it.
        let _ = writeln!(inner.file, "{line}");
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// Says what the build does from now on.
    pub(super) fn step(&self, doing: &str) {
        self.inner().doing = doing.to_owned();
        self.line(&format!("--- {doing}"));
    }

    pub(super) fn doing(&self) -> String {
        self.inner().doing.clone()
    }

    /// Notes which commit it builds.
    pub(super) fn set_commit(&self, commit: &str) {
        self.inner().commit = Some(commit.to_owned());
    }

    pub(super) fn commit(&self) -> Option<String> {
        self.inner().commit.clone()
    }

    /// Its end.
    pub(super) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.inner().path).unwrap_or_default();
        let start = text.len().saturating_sub(TAIL);
        let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.get(start..).unwrap_or_default().to_owned()
    }
}
