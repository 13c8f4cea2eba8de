//! [`Watch`]: one client's way through the changes of a collection.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::fold::{Fold, Kind, Told, What};
use super::standing::{Standing, StillAllowed};
use super::tail::rows_of;
use super::view::{View, Viewer};
use super::{Batch, Counted, Next, WatchHub, expired, frame};
use crate::authz::Projects;
use crate::error::{Error, ErrorCode};
use crate::registry::RegisteredType;
use crate::store::StoreError;
use crate::store::events::{ChangesOf, RowsOf};

/// A client hears something at least this often, so that it can tell a silent connection from a dead one.
pub(super) const IDLE: Duration = Duration::from_secs(12);
/// Rows read and held by one watch.
const PAGE: u16 = 50;
/// Events that one page of catching up looks at, as far as they are in the way of the watch's own.
const WINDOW: i64 = 20_000;
/// Rows that a watch which catches up keeps because they are ahead of it.
const AHEAD_MAX: usize = 16;
/// Rows that may change while a watch reads its beginning.
const LISTED_MAX: usize = 100_000;
/// How long a watch that cannot read the database waits.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// What a client wants to watch.
pub struct WatchRequest<'a> {
    /// The type of the rows.
    pub registered: &'a RegisteredType,
    /// The instance and the row that they are under, for children.
    pub under: Option<(Uuid, Uuid)>,
    /// The projects they are in. The caller may watch all of these.
    pub projects: Projects,
    /// Where to begin.
    pub begin: Begin,
    /// Which of the rows are shown, and how.
    pub view: View,
    /// The token.
    pub bearer: &'a str,
    /// Finds the request in logs.
    pub request_id: Arc<str>,
    /// Whether it may still be seen.
    pub still_allowed: Box<StillAllowed>,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With all rows.
    Whole,
    /// After this position.
    After(i64),
}

/// A live watch; [`Self::next`] makes its text piece by piece.
///
/// # Cancellation
/// A call of `next` that is dropped may be made again. Dropping the watch ends it at once.
#[derive(Debug)]
pub struct Watch {
    _counted: Counted,
    hub: Arc<WatchHub>,
    type_index: usize,
    under: Option<(Uuid, Uuid)>,
    projects: Projects,
    viewer: Viewer,
    standing: Standing,
    stop: watch::Receiver<bool>,
    moved: watch::Receiver<Option<i64>>,
    phase: Phase,
    /// All up to here has been told.
    position: i64,
    /// What was made after here and has neither been listed nor told by the ring is unknown to the client.
    since: i64,
    /// Rows that were told ahead of the position, each with its revision.
    listed: HashMap<Uuid, i64>,
    /// Rows that were made and not told.
    untold: HashSet<Uuid>,
    catching_up: Option<Fold>,
    /// The batch that is being told, and how much of it has been. The ring holds it, not the watch.
    batch: Option<(Weak<Batch>, usize)>,
    heard_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has been said.
    New(Begin),
    /// Reads the rows there are; the last one read, and the greatest revision among them.
    Listing(Option<Uuid>, i64),
    /// Goes on until this position before it says SYNCED.
    Syncing(i64),
    /// Catches up before it says where it is.
    Resuming,
    /// Tells what happens.
    Live,
    /// Has said why it ends.
    Ended,
}

/// Why there is nothing to tell now.
enum Stop {
    Failed(Error),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl WatchHub {
    /// Begins a watch.
    ///
    /// # Errors
    /// `Expired` or `InvalidRequest` for the position, `TooManyRequests`, `Unavailable`, and what `still_allowed` says.
    pub async fn watch(self: &Arc<Self>, request: WatchRequest<'_>) -> Result<Watch, Error> {
        let counted = self.enter()?;
        let first = self.first_position().await?;
        let position = match request.begin {
            Begin::Whole => first,
            Begin::After(position) => {
                self.check_position(position, &[request.registered]).await?;
                position
            }
        };
        let standing = Standing::new(self, request.bearer, request.request_id, request.still_allowed).await?;
        Ok(Watch {
            _counted: counted,
            hub: self.clone(),
            type_index: request.registered.index,
            under: request.under,
            projects: request.projects,
            viewer: Viewer::new(request.view, request.begin == Begin::Whole),
            standing,
            stop: self.stop.clone(),
            moved: self.position.subscribe(),
            phase: Phase::New(request.begin),
            position,
            since: position,
            listed: HashMap::new(),
            untold: HashSet::new(),
            catching_up: None,
            batch: None,
            heard_at: Instant::now(),
        })
    }
}

impl Watch {
    /// The next piece of text; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.phase == Phase::Ended || *self.stop.borrow() {
                return None;
            }
            let hub = self.hub.clone();
            if let Err(error) = self.standing.check(&hub).await {
                return Some(self.end(&error));
            }
            match self.step(&hub).await {
                Ok(Some(text)) => {
                    self.heard_at = Instant::now();
                    return Some(text);
                }
                Ok(None) => {}
                Err(Stop::Failed(error)) => return Some(self.end(&error)),
                Err(Stop::Store(error)) if error.is_transient() => {
                    tracing::debug!(%error, "a watch waits for the database");
                    tokio::time::sleep(RETRY).await;
                }
                Err(Stop::Store(error)) => {
                    tracing::error!(error = crate::error::chain(&error), "a watch ends");
                    return Some(self.end(&Error::internal(error)));
                }
            }
        }
    }

    fn end(&mut self, error: &Error) -> Bytes {
        self.phase = Phase::Ended;
        frame::error(error)
    }

    /// One step; `None` when it had nothing to tell.
    async fn step(&mut self, hub: &WatchHub) -> Result<Option<Bytes>, Stop> {
        match self.phase {
            Phase::New(begin) => {
                self.phase = match begin {
                    Begin::Whole => Phase::Listing(None, self.position),
                    Begin::After(_) => Phase::Resuming,
                };
                Ok(Some(frame::BEGIN))
            }
            Phase::Listing(after, greatest) => self.list(hub, after, greatest).await,
            Phase::Ended => Ok(None),
            Phase::Syncing(_) | Phase::Resuming | Phase::Live => self.follow(hub).await,
        }
    }

    /// Tells a page of the rows there are.
    async fn list(
        &mut self,
        hub: &WatchHub,
        after: Option<Uuid>,
        mut greatest: i64,
    ) -> Result<Option<Bytes>, Stop> {
        let rows = hub.store.rows_after(self.rows_of(hub), self.viewer.filter(), after, PAGE).await?;
        let mut text = Vec::new();
        for row in &rows {
            let revision = row.meta.revision;
            if revision > self.position {
                greatest = greatest.max(revision);
                self.listed.insert(row.meta.id, revision);
            }
            if self.viewer.begins_with(row) {
                let kind = Kind::Added.as_str();
                text.extend_from_slice(&frame::row_event(kind, row, None, self.viewer.render()));
            }
        }
        if self.listed.len() > LISTED_MAX {
            let detail =
                "the rows change faster than this client reads them; watch less of them, or read faster";
            return Err(Error::new(ErrorCode::Unavailable, detail).into());
        }
        self.phase = match rows.last().filter(|_| rows.len() >= usize::from(PAGE)) {
            Some(last) => Phase::Listing(Some(last.meta.id), greatest),
            None => Phase::Syncing(greatest),
        };
        Ok((!text.is_empty()).then(|| text.into()))
    }

    /// Tells what follows the position, or waits for it.
    async fn follow(&mut self, hub: &WatchHub) -> Result<Option<Bytes>, Stop> {
        // A batch that has left the ring meanwhile is made good by catching up.
        if let Some((batch, index)) = self.batch.take()
            && let Some(batch) = batch.upgrade()
        {
            return Ok(self.tell_of(hub, &batch, index));
        }
        // Before the look: what comes after it wakes.
        self.moved.borrow_and_update();
        match hub.next(self.position) {
            Next::Batch(batch) => {
                if let Some(fold) = self.catching_up.take() {
                    self.untold.extend(fold.into_untold());
                    self.since = self.position;
                }
                Ok(self.tell_of(hub, &batch, 0))
            }
            Next::CatchUp(upto) => self.catch_up(hub, upto).await,
            Next::Wait => match self.phase {
                Phase::Syncing(target) if self.position >= target => {
                    self.phase = Phase::Live;
                    Ok(Some(frame::mark("SYNCED", self.position)))
                }
                Phase::Resuming => {
                    self.phase = Phase::Live;
                    Ok(Some(frame::mark("BOOKMARK", self.position)))
                }
                _ => Ok(self.wait().await),
            },
        }
    }

    /// Waits for whatever comes first. Answers what is to be said when nothing does.
    async fn wait(&mut self) -> Option<Bytes> {
        let mut until = self.heard_at + IDLE;
        if let Some(left) = self.standing.expires_in() {
            until = until.min(Instant::now() + left);
        }
        tokio::select! {
            _ = self.moved.changed() => return None,
            _ = self.stop.changed() => return None,
            () = self.standing.changed() => return None,
            () = tokio::time::sleep_until(until) => {}
        }
        if self.heard_at.elapsed() < IDLE {
            return None;
        }
        Some(match self.phase {
            // A client that comes back with this position would miss what it has not been told yet.
            Phase::Syncing(_) => Bytes::from_static(b": not synced yet\n\n"),
            _ => frame::mark("BOOKMARK", self.position),
        })
    }

    /// Tells the next of a batch that is for this watch.
    fn tell_of(&mut self, hub: &WatchHub, batch: &Arc<Batch>, from: usize) -> Option<Bytes> {
        for (index, shown) in batch.told.iter().enumerate().skip(from) {
            if !self.is_ours(&shown.told) {
                continue;
            }
            let Some(kind) = self.kind(&shown.told) else { continue };
            let has_position = !matches!(self.phase, Phase::Syncing(_));
            let text = if kind == shown.told.kind && has_position && self.viewer.is_plain() {
                shown.text.clone()
            } else {
                self.text(hub, &shown.told, kind)
            };
            self.batch = Some((Arc::downgrade(batch), index + 1));
            self.position = shown.told.position;
            return Some(text);
        }
        self.position = batch.upto;
        None
    }

    fn text(&self, hub: &WatchHub, told: &Told, kind: Kind) -> Bytes {
        let position = (!matches!(self.phase, Phase::Syncing(_))).then_some(told.position);
        frame::told(hub.store.registry(), told, kind, position, self.viewer.render())
    }

    fn is_ours(&self, told: &Told) -> bool {
        told.type_index == self.type_index
            && self.under.is_none_or(|(_, parent)| told.parent_id == parent)
            && self.projects.contains(told.project_id)
    }

    /// What this watch is told, in view of what it has been told.
    fn kind(&mut self, told: &Told) -> Option<Kind> {
        let mut kind = told.kind;
        let is_listed = self.listed.contains_key(&told.id);
        let was_untold = self.untold.remove(&told.id);
        if let What::Gone { made, .. } = &told.what {
            let is_unknown = was_untold || made.is_some_and(|made| made > self.since);
            // Who never heard of the row need not hear that it is gone.
            if is_unknown && !is_listed {
                return None;
            }
        } else if was_untold {
            kind = Kind::Added;
        }
        if let Some(revision) = self.listed.get(&told.id) {
            if told.position <= *revision {
                return None;
            }
            self.listed.remove(&told.id);
            if kind == Kind::Added {
                kind = Kind::Modified;
            }
        }
        self.viewer.kind(told, kind)
    }

    /// Tells a page of what has left the ring.
    async fn catch_up(&mut self, hub: &WatchHub, upto: i64) -> Result<Option<Bytes>, Stop> {
        let after = self.position;
        let window = upto.min(after.saturating_add(WINDOW));
        let page = hub.store.changes_between(ChangesOf::Rows(self.rows_of(hub)), after, window, PAGE).await?;
        let registered = &hub.store.registry().types()[self.type_index];
        let retired = hub.store.retired_upto(&[registered]).await?;
        if after < retired {
            return Err(expired(after, retired).into());
        }
        let rows = rows_of(&hub.store, &page.changes).await?;
        let fold = self.catching_up.get_or_insert_with(|| Fold::new(AHEAD_MAX));
        let told = fold.step(page.changes, rows, page.upto);
        self.position = page.upto;
        let mut text = Vec::new();
        for told in &told {
            if let Some(kind) = self.kind(told) {
                text.extend_from_slice(&self.text(hub, told, kind));
            }
        }
        Ok((!text.is_empty()).then(|| text.into()))
    }

    fn rows_of<'a>(&'a self, hub: &'a WatchHub) -> RowsOf<'a> {
        RowsOf {
            registered: &hub.store.registry().types()[self.type_index],
            under: self.under,
            projects: &self.projects,
        }
    }
}

impl std::fmt::Debug for WatchRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchRequest").field("begin", &self.begin).finish_non_exhaustive()
    }
}
