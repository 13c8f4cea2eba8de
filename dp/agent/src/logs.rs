//! The logs of a node's services: when what was written, how much is kept, and lines for whoever asks.
//!
//! Services write to their log themselves, so that they need no agent. The agent looks at the files every now and then:
//! it notes how far they have grown (see `times`) and moves a full one aside. A full log is copied and emptied in place;
//! services append, so they go on at its new beginning. What a service writes between the two is lost.

mod read;
mod times;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use metapaas_protocol::calls::{Frame, LogLine, LogQuery};
use tokio::sync::{mpsc, watch};

use crate::files;
use crate::service::valid_name;
use times::Mark;

/// A log of this size is moved aside; one such file is kept beside the current one.
pub const LIMIT: u64 = 10 * 1024 * 1024;
/// The same for the marks of a log that grows by very little very often.
const MARKS_LIMIT: u64 = 1024 * 1024;
/// How often logs are looked at that grow, or that somebody follows.
const OFTEN: Duration = Duration::from_millis(100);
/// How often quiet ones are.
const SELDOM: Duration = Duration::from_secs(1);
/// Bytes a second that one follower is sent at the most.
const PACE: u64 = 1024 * 1024;

/// The logs of one node.
#[derive(Debug)]
pub struct Logs {
    /// The node's directory, and which one it was at the start.
    node: PathBuf,
    identity: (u64, u64),
    limit: u64,
    /// By service. The lock also keeps a log in its place while it is read.
    state: Mutex<BTreeMap<String, Kept>>,
    changes: watch::Sender<u64>,
}

/// What is known of a service's log.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// Up to where it is marked.
    marked: u64,
    /// How often it has been moved aside since the agent started.
    epoch: u64,
    /// Bytes at its beginning that were not copied when it was moved aside last.
    cut: u64,
}

impl Logs {
    /// The logs of the node in `directory`.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Self::with_limit(directory, LIMIT)
    }

    fn with_limit(directory: &Path, limit: u64) -> io::Result<Self> {
        files::private_directory(&directory.join("log/times"))?;
        let identity = identity(directory)?;
        let (changes, _) = watch::channel(0);
        Ok(Self { node: directory.to_owned(), identity, limit, state: Mutex::default(), changes })
    }

    /// Looks at the logs for as long as the node's directory is there; returns when it has gone.
    pub async fn keep(self: Arc<Self>) {
        let mut pause = OFTEN;
        loop {
            let this = Arc::clone(&self);
            match blocking(move || this.look()).await {
                Ok(true) => pause = OFTEN,
                Ok(false) if self.changes.receiver_count() > 0 => pause = OFTEN,
                Ok(false) => pause = (pause * 2).min(SELDOM),
                Err(error) => {
                    if self.has_gone() {
                        return;
                    }
                    tracing::warn!(%error, "cannot look at the logs");
                    pause = SELDOM;
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether the node's directory is no longer there, or is another.
    fn has_gone(&self) -> bool {
        match identity(&self.node) {
            Ok(found) => found != self.identity,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Notes how far the logs have grown and moves full ones aside; answers whether any has grown.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn look(&self) -> io::Result<bool> {
        let grew = self.look_under(&mut self.state())?;
        if grew {
            self.changes.send_modify(|count| *count += 1);
        }
        Ok(grew)
    }

    fn look_under(&self, state: &mut BTreeMap<String, Kept>) -> io::Result<bool> {
        let mut grew = false;
        for name in self.names()? {
            let kept = match state.get_mut(&name) {
                Some(kept) => kept,
                None => {
                    let marked = times::marked(&self.times(&name))?;
                    state.entry(name.clone()).or_insert(Kept { marked, ..Kept::default() })
                }
            };
            grew |= self.note(&name, kept)?;
        }
        Ok(grew)
    }

    fn note(&self, name: &str, kept: &mut Kept) -> io::Result<bool> {
        let found = fs::metadata(self.log(name))?;
        if found.len() < kept.marked {
            // Somebody else has emptied it, or the agent died while it moved it aside.
            times::write(&self.times(name), &[])?;
            *kept = Kept { marked: 0, epoch: kept.epoch + 1, cut: u64::MAX };
        }
        let grew = found.len() > kept.marked;
        if grew {
            times::append(&self.times(name), Mark { end: found.len(), at: millis(&found) })?;
            kept.marked = found.len();
        }
        if found.len() >= self.limit || times::size(&self.times(name)) >= MARKS_LIMIT {
            self.move_aside(name, kept)?;
        }
        Ok(grew)
    }

    /// No more of a log is copied than twice what makes it full: a flood must not fill the disk.
    fn move_aside(&self, name: &str, kept: &mut Kept) -> io::Result<()> {
        let (log, old) = (self.log(name), self.old(name));
        let mut from = File::open(&log)?;
        let start = from.metadata()?.len().saturating_sub(2 * self.limit);
        from.seek(SeekFrom::Start(start))?;
        let aside = old.with_extension("moving");
        let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        let copied = io::copy(&mut from, &mut to)?;
        fs::rename(&aside, &old)?;
        let marks = times::past(&self.times(name), start)?;
        let moved: Vec<Mark> = marks.iter().map(|mark| Mark { end: mark.end - start, at: mark.at }).collect();
        times::write(&self.old_times(name), &moved)?;
        // What was written since the copy ended is copied too, as far as it is there.
        io::copy(&mut from, &mut to)?;
        OpenOptions::new().write(true).open(&log)?.set_len(0)?;
        times::write(&self.times(name), &[])?;
        tracing::debug!(service = name, copied, "moved a full log aside");
        *kept = Kept { marked: 0, epoch: kept.epoch + 1, cut: start };
        Ok(())
    }

    /// Changes whenever a log has grown. While somebody listens, logs are looked at often.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.node.join("log"))? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".log"))
                && valid_name(name)
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.node.join("log").join(format!("{name}.log"))
    }

    fn old(&self, name: &str) -> PathBuf {
        self.node.join("log").join(format!("{name}.log.old"))
    }

    fn times(&self, name: &str) -> PathBuf {
        self.node.join("log/times").join(name)
    }

    fn old_times(&self, name: &str) -> PathBuf {
        self.node.join("log/times").join(format!("{name}.old"))
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the lines that are wanted, and those to come when they are, until nobody takes them.
pub(crate) async fn serve(logs: Arc<Logs>, query: LogQuery, out: mpsc::Sender<Frame>) {
    let mut changes = logs.changes();
    let is_following = query.follow;
    let this = Arc::clone(&logs);
    let (lines, mut cursors) = match blocking(move || this.lines(&query)).await {
        Ok(found) => found,
        Err(error) => {
            let _ = out.send(Frame::Refused(format!("the logs cannot be read: {error}"))).await;
            return;
        }
    };
    let caught_up = [Frame::CaughtUp];
    for frame in lines.into_iter().map(Frame::Line).chain(caught_up) {
        if out.send(frame).await.is_err() {
            return;
        }
    }
    if !is_following {
        return;
    }
    loop {
        let _ = changes.borrow_and_update();
        let this = Arc::clone(&logs);
        let given = std::mem::take(&mut cursors);
        let more = blocking(move || {
            let mut cursors = given;
            let lines = this.more(&mut cursors)?;
            Ok((lines, cursors))
        });
        let lines: Vec<LogLine> = match more.await {
            Ok((lines, moved)) => {
                cursors = moved;
                lines
            }
            Err(error) => {
                let _ = out.send(Frame::Refused(format!("the logs cannot be read: {error}"))).await;
                return;
            }
        };
        if lines.is_empty() {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        let bytes: u64 = lines.iter().map(|line| line.text.len() as u64 + 1).sum();
        for line in lines {
            if out.send(Frame::Line(line)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_micros(bytes * 1_000_000 / PACE)).await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// When a file was last written.
fn millis(found: &fs::Metadata) -> i64 {
    let since =
        found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn identity(directory: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(directory)?;
    Ok((found.dev(), found.ino()))
}
