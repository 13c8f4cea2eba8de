//! [`Logs`]: what the services of an instance's nodes write, read from the nodes while somebody waits for it.
//!
//! Nothing of it is kept here but the last lines of nodes that are gone. Memory is bounded: a node sends the next part when
//! the one before has been taken, and a reader that takes nothing is sent nothing.

mod history;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, stream};
use metapaas_protocol::calls::{Frame, LOGS as KIND, LogLine, LogQuery};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::action::LOGS;
use crate::authn::Authenticator;
use crate::authz::{Allowed, authorize};
use crate::calls::{Called, Calls};
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode};
use crate::request::RequestContext;
use crate::resource::Resource;
use crate::store::{Locator, Node, Store};

/// The most lines that one may ask for.
pub const TAIL_MAX: u32 = 10_000;
/// Readers of one control plane, and of one instance at it.
const READERS: usize = 512;
const READERS_OF_ONE: usize = 32;
/// Bytes of lines that are there already, of all nodes together, and of each at the least.
const BYTES: u64 = 8 << 20;
const BYTES_OF_ONE: u64 = 256 << 10;
/// A reading without end ends after so long.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// A reading with an end takes no longer.
const SHORT: Duration = Duration::from_secs(30);
/// How often a follower looks for new nodes, and whether it may still read.
const LOOK: Duration = Duration::from_secs(1);
/// A follower asks the database every so many looks whether the instance is still there.
const FOUND_EVERY: u8 = 5;
/// A follower hears something at least this often.
const IDLE: Duration = Duration::from_secs(12);

/// Reads logs.
#[derive(Clone, Debug)]
pub struct Logs {
    store: Arc<Store>,
    calls: Calls,
    authenticator: Arc<Authenticator>,
    /// How many read which instance.
    readers: Arc<Mutex<HashMap<Uuid, usize>>>,
}

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct LogRequest {
    /// So many of the newest lines.
    pub tail: u32,
    /// None that are older.
    pub since: Option<DateTime<Utc>>,
    /// Whether lines to come are wanted too.
    pub follow: bool,
    /// The place of the only node that is wanted.
    pub node: Option<String>,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// When it was written.
    pub time: DateTime<Utc>,
    /// Place of the node.
    pub node: String,
    /// What wrote it; `metapaas` for what is said of the log itself.
    pub service: String,
    /// The line.
    pub text: String,
}

/// Lines as they come.
pub struct LogReader {
    logs: Logs,
    _reading: Reading,
    /// Who reads, looked at again while they do.
    bearer: String,
    allowed: Allowed,
    instance: Uuid,
    project: Uuid,
    request: LogRequest,
    sources: HashMap<Uuid, Source>,
    said: SelectAll<BoxStream<'static, (Uuid, Said)>>,
    phase: Phase,
    /// What there was at the beginning.
    begun: Vec<LogEntry>,
    look_at: Instant,
    /// Looks until the instance is looked for again.
    until_found: u8,
    heard_at: Instant,
    end_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Following,
    Ended,
}

/// A node that was asked.
struct Source {
    place: String,
    /// Time of its last line.
    last: Option<i64>,
    has_caught_up: bool,
    is_open: bool,
    /// Whether it was said that it does not answer.
    was_missed: bool,
}

/// What a node says.
enum Said {
    Frames(Vec<Frame>),
    Broken,
    Over,
}

impl Logs {
    /// Reads the logs of nodes that `calls` reaches.
    pub fn new(store: Arc<Store>, calls: Calls, authenticator: Arc<Authenticator>) -> Self {
        Self { store, calls, authenticator, readers: Arc::default() }
    }

    /// Begins to read the logs of an instance that the caller may see. Who follows hears of all that is written after this
    /// has returned.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound` when there is no such node, `TooManyRequests`, `Unavailable`.
    pub async fn read(
        &self,
        allowed: Allowed,
        bearer: &str,
        instance: &Resource,
        request: LogRequest,
    ) -> Result<LogReader, Error> {
        allowed.on_row(instance.meta.project_id, &instance.key())?;
        let reading = self.enter(instance.meta.id)?;
        let now = Instant::now();
        let mut reader = LogReader {
            logs: self.clone(),
            _reading: reading,
            bearer: bearer.to_owned(),
            allowed,
            instance: instance.meta.id,
            project: instance.meta.project_id,
            sources: HashMap::new(),
            said: SelectAll::new(),
            phase: Phase::New,
            begun: Vec::new(),
            look_at: now + LOOK,
            until_found: FOUND_EVERY,
            heard_at: now,
            end_at: now + if request.follow { LONGEST } else { SHORT },
            request,
        };
        reader.begin().await?;
        reader.begun = reader.history().await;
        Ok(reader)
    }

    fn enter(&self, instance: Uuid) -> Result<Reading, Error> {
        let mut readers = self.readers();
        let own = readers.get(&instance).copied().unwrap_or_default();
        if own >= READERS_OF_ONE || readers.values().sum::<usize>() >= READERS {
            let detail = format!(
                "logs are read by {own} clients already; this control plane serves {READERS_OF_ONE} of one \
                 instance and {READERS} of all"
            );
            return Err(Error::new(ErrorCode::TooManyRequests, detail));
        }
        readers.insert(instance, own + 1);
        drop(readers);
        Ok(Reading { logs: self.clone(), instance })
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a reader in.
struct Reading {
    logs: Logs,
    instance: Uuid,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut readers = self.logs.readers();
        if let Some(count) = readers.get_mut(&self.instance) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.instance);
            }
        }
    }
}

impl LogReader {
    /// The next lines, none when there have been none for a while; `None` at the end.
    ///
    /// # Cancellation
    /// Dropping the reader ends it at once, on the nodes too. A call of `next` must not be dropped and made again.
    pub async fn next(&mut self) -> Option<Vec<LogEntry>> {
        match self.phase {
            Phase::Ended => None,
            Phase::New => {
                self.phase = if self.request.follow { Phase::Following } else { Phase::Ended };
                Some(std::mem::take(&mut self.begun))
            }
            Phase::Following => self.live().await,
        }
    }

    async fn live(&mut self) -> Option<Vec<LogEntry>> {
        loop {
            let now = Instant::now();
            if now >= self.end_at || (now >= self.look_at && !self.look().await) {
                self.phase = Phase::Ended;
                return None;
            }
            let heard = tokio::time::timeout_at(self.look_at, self.said.next()).await;
            let entries = match heard {
                Ok(Some((node, said))) => self.take(node, said),
                // Nobody speaks; the next look finds who does.
                Ok(None) => {
                    tokio::time::sleep_until(self.look_at).await;
                    Vec::new()
                }
                Err(_) => Vec::new(),
            };
            if !entries.is_empty() || self.heard_at.elapsed() >= IDLE {
                self.heard_at = Instant::now();
                return Some(entries);
            }
        }
    }

    /// Asks nodes that are new or have fallen silent; answers whether the reader may still read and there is something to.
    async fn look(&mut self) -> bool {
        self.look_at = Instant::now() + LOOK;
        match self.standing().await {
            Ok(()) => {}
            // Nobody is turned away for what is not their doing.
            Err(error) if error.code == ErrorCode::Unavailable => return true,
            Err(_) => return false,
        }
        let Ok(nodes) = self.logs.store.nodes(self.instance).await else { return true };
        self.sources.retain(|id, source| source.is_open || nodes.iter().any(|node| node.id == *id));
        for node in &nodes {
            if !self.is_wanted(node) {
                continue;
            }
            let since = match self.sources.get(&node.id) {
                Some(source) if source.is_open => continue,
                Some(source) => source.last.map(|last| last + 1).or(self.since()),
                None => None,
            };
            self.ask(node, since);
        }
        true
    }

    /// Whether who reads still may, and the instance is still there.
    async fn standing(&mut self) -> Result<(), Error> {
        let actor = self.logs.authenticator.authenticate(&self.bearer).await?;
        let context = RequestContext { actor, request_id: self.allowed.context().request_id.clone() };
        let allowed = authorize(&context, self.allowed.ty(), Action::Custom(LOGS));
        allowed.on_row(self.project, &self.instance)?;
        self.until_found = self.until_found.saturating_sub(1);
        if self.until_found > 0 {
            return Ok(());
        }
        self.until_found = FOUND_EVERY;
        let Some(registered) = self.logs.store.registry().of(self.allowed.ty()) else { return Ok(()) };
        let locator = Locator { keys: vec![self.instance.to_string()], project: Some(self.project) };
        self.logs.store.get(&allowed, registered, &locator).await.map(drop)
    }

    fn since(&self) -> Option<i64> {
        self.request.since.map(|since| since.timestamp_millis())
    }

    fn is_wanted(&self, node: &Node) -> bool {
        self.request.node.as_ref().is_none_or(|wanted| *wanted == node.place)
    }

    /// Asks a node for its lines.
    fn ask(&mut self, node: &Node, since: Option<i64>) {
        let count = self.sources.len().max(1) as u64;
        let query = LogQuery {
            tail: if self.phase == Phase::New { self.request.tail } else { TAIL_MAX },
            since,
            follow: self.request.follow,
            bytes: (BYTES / count).max(BYTES_OF_ONE),
        };
        let limit = self.end_at.saturating_duration_since(Instant::now());
        let called = self.logs.calls.call(node.id, KIND, json!(query), limit);
        let source = self.sources.entry(node.id).or_insert_with(|| Source {
            place: node.place.clone(),
            last: None,
            has_caught_up: false,
            is_open: false,
            was_missed: false,
        });
        let Ok(called) = called else { return };
        source.is_open = true;
        self.said.push(said(node.id, called));
    }

    /// The lines in what a node says.
    fn take(&mut self, node: Uuid, said: Said) -> Vec<LogEntry> {
        let Some(source) = self.sources.get_mut(&node) else { return Vec::new() };
        let frames = match said {
            Said::Frames(frames) => frames,
            Said::Over => {
                (source.is_open, source.has_caught_up) = (false, true);
                return Vec::new();
            }
            Said::Broken => {
                (source.is_open, source.has_caught_up) = (false, true);
                let text = "the node does not answer; its lines are missing until it does";
                // Once is enough.
                return match std::mem::replace(&mut source.was_missed, true) {
                    true => Vec::new(),
                    false => vec![note(&source.place, text.to_owned())],
                };
            }
        };
        let mut entries = Vec::new();
        for frame in frames {
            match frame {
                Frame::Line(line) => {
                    source.was_missed = false;
                    source.last = source.last.max(Some(line.at));
                    entries.push(entry(&source.place, line));
                }
                Frame::CaughtUp => source.has_caught_up = true,
                Frame::Refused(message) => entries.push(note(&source.place, message)),
                // What is said of commands is no answer to this.
                Frame::Began | Frame::Stdout(_) | Frame::Stderr(_) | Frame::Exited(_) => {}
            }
        }
        entries
    }
}

fn said(node: Uuid, called: Called) -> BoxStream<'static, (Uuid, Said)> {
    let next = move |called: Option<Called>| async move {
        let mut called = called?;
        Some(match called.next().await {
            Ok(Some(frames)) => ((node, Said::Frames(frames)), Some(called)),
            Ok(None) => ((node, Said::Over), None),
            Err(_) => ((node, Said::Broken), None),
        })
    };
    stream::unfold(Some(called), next).boxed()
}

fn entry(place: &str, line: LogLine) -> LogEntry {
    let time = DateTime::from_timestamp_millis(line.at).unwrap_or_default();
    let service = if line.service.is_empty() { "metapaas".to_owned() } else { line.service };
    LogEntry { time, node: place.to_owned(), service, text: line.text }
}

/// What is said of the log itself.
fn note(place: &str, text: String) -> LogEntry {
    let time = Utc::now().trunc_subsecs(3);
    LogEntry { time, node: place.to_owned(), service: "metapaas".to_owned(), text }
}
