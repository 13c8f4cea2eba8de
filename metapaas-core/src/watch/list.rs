//! [`ListWatch`]: a list of identities, which is short and changes rarely, followed by reading it again when one of
//! them has changed.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::standing::{Standing, StillAllowed};
use super::stream::{IDLE, RETRY};
use super::{Begin, Counted, WatchHub, frame};
use crate::error::{Error, ErrorCode};

/// Rows of a list that is followed, at the most.
const ROWS_MAX: usize = 10_000;

/// Reads a page of a list in the order of ids, from after a row on.
pub type ReadPage = dyn Fn(Option<Uuid>) -> BoxFuture<'static, Result<RowsPage, Error>> + Send + Sync;

/// A page of a list.
#[derive(Debug)]
pub struct RowsPage {
    /// The rows that the watch is shown, each as it is shown.
    pub rows: Vec<(Uuid, Value)>,
    /// The row that the next page begins after; nothing after the last page.
    pub next: Option<Uuid>,
}

/// What a client wants to watch.
pub struct ListWatchRequest<'a> {
    /// Reads the list.
    pub page: Box<ReadPage>,
    /// Where to begin.
    pub begin: Begin,
    /// The token.
    pub bearer: &'a str,
    /// Finds the request in logs.
    pub request_id: Arc<str>,
    /// Whether it may still be seen.
    pub still_allowed: Box<StillAllowed>,
}

impl std::fmt::Debug for ListWatchRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListWatchRequest").field("begin", &self.begin).finish_non_exhaustive()
    }
}

/// A live list; [`Self::next`] makes its text piece by piece.
///
/// # Guarantees
/// What is told adds up to the list. A position stands for the whole of it: it comes when the list was read from end to
/// end and nothing has changed meanwhile. There is one row in memory for each row of the list, as a hash, and one page.
///
/// # Cancellation
/// A call of `next` that is dropped may be made again. Dropping the watch ends it at once.
pub struct ListWatch {
    _counted: Counted,
    hub: Arc<WatchHub>,
    page: Box<ReadPage>,
    standing: Standing,
    stop: watch::Receiver<bool>,
    /// What the client has, as hashes.
    told: HashMap<Uuid, u64>,
    looking: Option<Looking>,
    /// What the client has is the list at this position.
    position: Option<i64>,
    /// The client has the list of its position; it is only read, to know what changes later.
    is_resumed: bool,
    has_begun: bool,
    has_ended: bool,
    heard_at: Instant,
}

impl std::fmt::Debug for ListWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListWatch").field("position", &self.position).finish_non_exhaustive()
    }
}

/// One way through the list.
struct Looking {
    /// The position when it began.
    at: i64,
    after: Option<Uuid>,
    seen: HashSet<Uuid>,
    has_told: bool,
}

impl Looking {
    fn begin(at: i64) -> Self {
        Self { at, after: None, seen: HashSet::new(), has_told: false }
    }
}

impl WatchHub {
    /// Begins to follow a list.
    ///
    /// # Errors
    /// `Expired` when something has changed since the position, `TooManyRequests`, `Unavailable`, what `still_allowed`
    /// and the first page say.
    pub async fn watch_list(self: &Arc<Self>, request: ListWatchRequest<'_>) -> Result<ListWatch, Error> {
        let counted = self.enter()?;
        let standing = Standing::new(self, request.bearer, request.request_id, request.still_allowed).await?;
        let now = self.authenticator.position().await?;
        if let Begin::After(position) = request.begin
            && position != now
        {
            let detail = "something has changed since; begin a new watch, without a position";
            return Err(Error::new(ErrorCode::Expired, detail));
        }
        // What is wrong with the request is an answer, and not the end of a stream.
        let _ = (request.page)(None).await?;
        Ok(ListWatch {
            _counted: counted,
            hub: self.clone(),
            page: request.page,
            standing,
            stop: self.stop.clone(),
            told: HashMap::new(),
            looking: Some(Looking::begin(now)),
            position: None,
            is_resumed: request.begin != Begin::Whole,
            has_begun: false,
            has_ended: false,
            heard_at: Instant::now(),
        })
    }
}

impl ListWatch {
    /// The next piece of text; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(frame::BEGIN);
        }
        let hub = self.hub.clone();
        loop {
            if self.has_ended || *self.stop.borrow() {
                return None;
            }
            let step = match self.standing.check(&hub).await {
                Ok(()) => self.step(&hub).await,
                Err(error) => return Some(self.end(&error)),
            };
            match step {
                Ok(None) => {}
                Ok(Some(text)) => {
                    self.heard_at = Instant::now();
                    return Some(text);
                }
                Err(error) if error.code == ErrorCode::Unavailable => tokio::time::sleep(RETRY).await,
                Err(error) => return Some(self.end(&error)),
            }
        }
    }

    fn end(&mut self, error: &Error) -> Bytes {
        self.has_ended = true;
        frame::error(error)
    }

    /// One step; `None` when it had nothing to tell.
    async fn step(&mut self, hub: &WatchHub) -> Result<Option<Bytes>, Error> {
        let Some(after) = self.looking.as_ref().map(|looking| looking.after) else {
            let now = hub.authenticator.position().await?;
            if self.position == Some(now) {
                return Ok(self.wait(now).await);
            }
            self.looking = Some(Looking::begin(now));
            return Ok(None);
        };
        let page = {
            // Many watches look at the same moment.
            let _permit = hub.renewing.acquire().await;
            (self.page)(after).await?
        };
        // Only now, so that a page is of the list at the position or newer, and a newer one is looked at again.
        let now = if page.next.is_none() { Some(hub.authenticator.position().await?) } else { None };
        let mut text = self.changes(page.rows);
        if self.told.len() > ROWS_MAX {
            let detail = format!("the list has more than {ROWS_MAX} rows, which is too long for a stream");
            self.has_ended = true;
            return Ok(Some(frame::error(&Error::new(ErrorCode::Unavailable, detail))));
        }
        match (now, self.looking.as_mut()) {
            (Some(now), Some(_)) => text.extend_from_slice(&self.whole(now)),
            (None, Some(looking)) => looking.after = page.next,
            (_, None) => {}
        }
        Ok((!text.is_empty()).then(|| text.into()))
    }

    /// What is new about the rows of a page.
    fn changes(&mut self, rows: Vec<(Uuid, Value)>) -> Vec<u8> {
        let mut text = Vec::new();
        for (id, row) in rows {
            let mut hasher = DefaultHasher::new();
            row.to_string().hash(&mut hasher);
            let hash = hasher.finish();
            let kind = match self.told.insert(id, hash) {
                None => "ADDED",
                Some(before) if before != hash => "MODIFIED",
                Some(_) => "",
            };
            let Some(looking) = &mut self.looking else { continue };
            looking.seen.insert(id);
            if !(kind.is_empty() || self.is_resumed) {
                looking.has_told = true;
                text.extend_from_slice(&frame::event(kind, None, &row));
            }
        }
        text
    }

    /// The list was read from end to end: tells what is gone, and where the watch is.
    fn whole(&mut self, now: i64) -> Vec<u8> {
        let Some(looking) = self.looking.take() else { return Vec::new() };
        let mut gone: Vec<Uuid> = self.told.keys().filter(|id| !looking.seen.contains(id)).copied().collect();
        gone.sort_unstable();
        let mut text = Vec::new();
        for id in &gone {
            self.told.remove(id);
            text.extend_from_slice(&frame::event("DELETED", None, &json!({ "id": id })));
        }
        if now != looking.at {
            // Something has changed on the way, so that this is the list of no one moment.
            self.looking =
                Some(Looking { has_told: looking.has_told || !gone.is_empty(), ..Looking::begin(now) });
            return text;
        }
        let is_first = self.position.is_none() && !self.is_resumed;
        let is_resumed = std::mem::take(&mut self.is_resumed);
        self.position = Some(now);
        if is_first {
            text.extend_from_slice(&frame::mark("SYNCED", now));
        } else if is_resumed || looking.has_told || !gone.is_empty() {
            text.extend_from_slice(&frame::mark("BOOKMARK", now));
        }
        text
    }

    /// Waits for whatever comes first. Answers what is to be said when nothing does.
    async fn wait(&mut self, position: i64) -> Option<Bytes> {
        let mut until = self.heard_at + IDLE;
        if let Some(left) = self.standing.expires_in() {
            until = until.min(Instant::now() + left);
        }
        tokio::select! {
            _ = self.stop.changed() => return None,
            () = self.standing.changed() => return None,
            () = tokio::time::sleep_until(until) => {}
        }
        (self.heard_at.elapsed() >= IDLE).then(|| frame::mark("BOOKMARK", position))
    }
}
