//! [`EventWatch`]: the history of changes, as it grows.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::standing::{Standing, StillAllowed};
use super::stream::{Begin, IDLE};
use super::{Counted, WatchHub, expired, frame};
use crate::authz::Projects;
use crate::error::{Error, chain};
use crate::store::StoreError;
use crate::store::events::{EventFilter, EventOrder, EventRange};

/// Events read and held by one watch.
const PAGE: u16 = 50;
/// Positions that one look covers.
const WINDOW: i64 = 20_000;

/// Which part of the history a client wants to follow.
pub struct EventWatchRequest<'a> {
    /// The projects in which the caller may see rows of a type, for each type.
    pub readable: Vec<(&'static str, &'static str, Projects)>,
    /// Which events.
    pub filter: EventFilter,
    /// After which position; `None` begins with what happens from now on.
    pub begin: Option<Begin>,
    /// The token.
    pub bearer: &'a str,
    /// Finds the request in logs.
    pub request_id: Arc<str>,
    /// Whether it may still be seen.
    pub still_allowed: Box<StillAllowed>,
}

impl std::fmt::Debug for EventWatchRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventWatchRequest").field("filter", &self.filter).finish_non_exhaustive()
    }
}

/// A live history; [`Self::next`] makes its text piece by piece. Every event is told, none is left out for another.
///
/// # Cancellation
/// A call of `next` that is dropped may be made again. Dropping the watch ends it at once.
#[derive(Debug)]
pub struct EventWatch {
    _counted: Counted,
    hub: Arc<WatchHub>,
    readable: Vec<(&'static str, &'static str, Projects)>,
    filter: EventFilter,
    standing: Standing,
    stop: watch::Receiver<bool>,
    moved: watch::Receiver<Option<i64>>,
    position: i64,
    /// What is said once everything that there was has been told.
    mark: Option<&'static str>,
    has_begun: bool,
    has_ended: bool,
    heard_at: Instant,
}

impl WatchHub {
    /// Begins to follow the history.
    ///
    /// # Errors
    /// `Expired` or `InvalidRequest` for the position, `TooManyRequests`, `Unavailable`, and what `still_allowed` says.
    pub async fn watch_events(self: &Arc<Self>, request: EventWatchRequest<'_>) -> Result<EventWatch, Error> {
        let counted = self.enter()?;
        let first = self.first_position().await?;
        let types = self.store.event_types(&request.filter);
        let (position, mark) = match request.begin {
            None => (first, "SYNCED"),
            Some(Begin::Whole) => (self.store.retired_upto(&types).await?.min(first), "SYNCED"),
            Some(Begin::After(position)) => {
                self.check_position(position, &types).await?;
                (position, "BOOKMARK")
            }
        };
        let standing = Standing::new(self, request.bearer, request.request_id, request.still_allowed).await?;
        Ok(EventWatch {
            _counted: counted,
            hub: self.clone(),
            readable: request.readable,
            filter: request.filter,
            standing,
            stop: self.stop.clone(),
            moved: self.position.subscribe(),
            position,
            mark: Some(mark),
            has_begun: false,
            has_ended: false,
            heard_at: Instant::now(),
        })
    }
}

impl EventWatch {
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
            if let Err(error) = self.standing.check(&hub).await {
                return Some(self.end(&error));
            }
            self.moved.borrow_and_update();
            let upto = hub.position.borrow().unwrap_or_default();
            if self.position < upto {
                match self.page(&hub, upto).await {
                    Ok(Ok(text)) if text.is_empty() => {}
                    Ok(Ok(text)) => {
                        self.heard_at = Instant::now();
                        return Some(text.into());
                    }
                    Ok(Err(error)) => return Some(self.end(&error)),
                    Err(error) if error.is_transient() => tokio::time::sleep(super::stream::RETRY).await,
                    Err(error) => {
                        tracing::error!(error = chain(&error), "a watch of events ends");
                        return Some(self.end(&Error::internal(error)));
                    }
                }
                continue;
            }
            if let Some(mark) = self.mark.take() {
                self.heard_at = Instant::now();
                return Some(frame::mark(mark, self.position));
            }
            if let Some(text) = self.wait().await {
                return Some(text);
            }
        }
    }

    fn end(&mut self, error: &Error) -> Bytes {
        self.has_ended = true;
        frame::error(error)
    }

    /// The next events as text, or why they cannot be told.
    async fn page(&mut self, hub: &WatchHub, upto: i64) -> Result<Result<Vec<u8>, Error>, StoreError> {
        let after = self.position;
        let upto = upto.min(after.saturating_add(WINDOW));
        let range = EventRange { order: EventOrder::OldestFirst, after, upto, limit: PAGE };
        let events = hub.store.events(&self.readable, &self.filter, range).await?;
        let retired = hub.store.retired_upto(&hub.store.event_types(&self.filter)).await?;
        if after < retired {
            return Ok(Err(expired(after, retired)));
        }
        let mut text = Vec::new();
        for event in &events {
            text.extend_from_slice(&frame::event("ADDED", Some(event.seq), event));
        }
        let is_full = events.len() >= usize::from(PAGE);
        self.position = events.last().filter(|_| is_full).map_or(upto, |last| last.seq);
        Ok(Ok(text))
    }

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
        self.heard_at = Instant::now();
        Some(frame::mark("BOOKMARK", self.position))
    }
}
