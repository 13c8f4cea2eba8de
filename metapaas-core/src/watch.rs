//! Live watches: what changes, told to those who may see it, as server-sent events.
//!
//! One task per process, [`WatchHub::run`], follows the events of the database and keeps the newest in a ring of bounded
//! size, each written once for all. A [`Watch`] reads the ring from its own position. When that is no longer in the ring,
//! because the client reads slowly or came back after a while, the watch reads the database in bounded pages until it
//! has caught up. Nothing is queued for a watch: what a client does not read is not made.
//!
//! # Guarantees
//! A position is the revision of a change, the same number on every control plane.
//!
//! - Order: what is told has ascending positions, which is the order in which changes are decided (see [`Decided`]); for rows that depend on each other that is the order of commits.
//! - No loss: after a change the row is told in that form or in a later one. Changes of one row that come together are
//!   told once, in the newest form. A row that never rests is still told over and over.
//! - No repeat: no watch tells the same revision of a row twice, nor an older one after a newer one; nor does one that
//!   goes on, on any control plane, from the last `id:` of another.
//! - SYNCED comes when everything as of one position, and all that was seen ahead of it, has been told. Before it
//!   there is no `id:`: a client that comes back earlier begins anew.
//! - Bounded: a watch holds one page of rows at the most, whatever its client does, and no database connection while it
//!   waits.
//! - Rights: what a watch tells was allowed when it was handed to the connection. When rights change, nothing more is
//!   told before they were looked up again; a right that is lost, or a token that ends, ends the watch.
//!
//! On PostgreSQL a transaction that stays open holds back what was committed after it. A watch is late then, not wrong.

mod fold;
mod frame;
mod history;
mod list;
mod standing;
mod stream;
mod tail;
mod view;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, watch};

use self::fold::Told;
pub use self::frame::Render;
pub use self::history::{EventWatch, EventWatchRequest};
pub use self::list::{ListWatch, ListWatchRequest, ReadPage, RowsPage};
pub use self::standing::StillAllowed;
pub use self::stream::{Begin, Watch, WatchRequest};
pub use self::view::View;
use crate::authn::Authenticator;
use crate::error::{Error, ErrorCode};
use crate::registry::RegisteredType;
use crate::store::Store;
use crate::store::events::Decided;

/// Bytes of the newest changes that are kept for all watches together.
const RING_BYTES: usize = 16 << 20;
/// Watches of one process at the most.
const WATCHES_MAX: usize = 20_000;
/// Watches that look up their rights at the same time after a change of rights.
const RENEWING: usize = 4;
/// How long a watch waits for the first decided position after a start.
const FIRST_POSITION: Duration = Duration::from_secs(10);

/// What all watches of a process share.
#[derive(Debug)]
pub struct WatchHub {
    store: Arc<Store>,
    authenticator: Arc<Authenticator>,
    stop: watch::Receiver<bool>,
    ring: Mutex<Ring>,
    /// How far the ring goes; `None` before anything is known.
    position: watch::Sender<Option<i64>>,
    watches: AtomicUsize,
    /// A first watch has come.
    woken: Notify,
    renewing: Semaphore,
}

/// The newest changes, without a hole.
#[derive(Debug, Default)]
struct Ring {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
}

/// All that is told of the changes from one position to another.
#[derive(Debug)]
struct Batch {
    after: i64,
    upto: i64,
    told: Vec<Shown>,
    bytes: usize,
}

/// What is told, and its text for those who want all of it.
#[derive(Debug)]
struct Shown {
    told: Told,
    text: Bytes,
}

/// What a watch at a position does next.
#[derive(Debug)]
enum Next {
    /// It tells of these.
    Batch(Arc<Batch>),
    /// It reads the database, up to here.
    CatchUp(i64),
    /// It waits.
    Wait,
}

impl WatchHub {
    /// A hub over `store`; [`Self::run`] makes it live. Watches end when `stop` turns true.
    pub fn new(
        store: Arc<Store>,
        authenticator: Arc<Authenticator>,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            authenticator,
            stop,
            ring: Mutex::default(),
            position: watch::channel(None).0,
            watches: AtomicUsize::new(0),
            woken: Notify::new(),
            renewing: Semaphore::new(RENEWING),
        })
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.watches.load(Ordering::SeqCst)
    }

    /// Holds the position at which a watch wants to go on to what there is.
    ///
    /// # Errors
    /// `Expired` when events after it are gone, `InvalidRequest` when no change has had it yet, `Unavailable`.
    pub async fn check_position(&self, position: i64, types: &[&RegisteredType]) -> Result<(), Error> {
        let last = self.store.last_position().await?;
        if !(0..=last).contains(&position) {
            let detail = format!("no change has the position {position} yet; the last one is {last}");
            return Err(Error::invalid_at("Last-Event-ID", "OUT_OF_RANGE", detail));
        }
        let retired = self.store.retired_upto(types).await?;
        if position < retired { Err(expired(position, retired)) } else { Ok(()) }
    }

    /// The position up to which the order of changes is decided now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn decided(&self) -> Result<i64, Error> {
        let known = self.first_position().await?;
        let mut decided = Decided::known(known);
        self.store.decide(&mut decided).await?;
        Ok(decided.upto().unwrap_or(known))
    }

    /// Counts a watch in.
    fn enter(self: &Arc<Self>) -> Result<Counted, Error> {
        let counted = Counted(self.clone());
        let before = self.watches.fetch_add(1, Ordering::SeqCst);
        metrics::gauge!("metapaas_watches").increment(1);
        if before == 0 {
            self.woken.notify_one();
        }
        if before >= WATCHES_MAX {
            let detail = format!("this control plane has {before} watches, which is all that it takes");
            return Err(Error::new(ErrorCode::TooManyRequests, detail));
        }
        Ok(counted)
    }

    /// The position that the ring goes to, once there is one.
    async fn first_position(&self) -> Result<i64, Error> {
        let mut position = self.position.subscribe();
        let found = tokio::time::timeout(FIRST_POSITION, position.wait_for(Option::is_some)).await;
        match found {
            Ok(Ok(position)) => Ok(position.unwrap_or_default()),
            _ => {
                let detail = "the order of changes is not known yet, since a transaction of before the start is \
                              still open in the database; try again";
                Err(Error::new(ErrorCode::Unavailable, detail))
            }
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while it holds the lock; if it did, the ring would still be one.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What follows `position`.
    fn next(&self, position: i64) -> Next {
        let ring = self.ring();
        let upto = self.position.borrow().unwrap_or_default();
        if position >= upto {
            return Next::Wait;
        }
        let index = ring.batches.partition_point(|batch| batch.after < position);
        match ring.batches.get(index).filter(|batch| batch.after == position) {
            Some(batch) => Next::Batch(batch.clone()),
            None => Next::CatchUp(upto),
        }
    }

    /// Adds a batch, lets old ones go, and wakes the watches.
    fn publish(&self, batch: Batch) {
        let mut ring = self.ring();
        let upto = batch.upto;
        ring.bytes += batch.bytes;
        ring.batches.push_back(Arc::new(batch));
        while ring.bytes > RING_BYTES
            && let Some(old) = ring.batches.pop_front()
        {
            ring.bytes -= old.bytes;
        }
        self.position.send_replace(Some(upto));
    }

    /// Goes on to `position` without telling anything, for nobody watches. Answers whether that is so.
    fn skip_to(&self, position: i64) -> bool {
        let mut ring = self.ring();
        if self.watches() > 0 && self.position.borrow().is_some() {
            return false;
        }
        *ring = Ring::default();
        if *self.position.borrow() != Some(position) {
            self.position.send_replace(Some(position));
        }
        true
    }
}

fn expired(position: i64, retired: i64) -> Error {
    let detail = format!(
        "events after the position {position} are no longer kept; begin a new watch, without a position"
    );
    Error::new(ErrorCode::Expired, detail).with("oldest_position", retired)
}

/// A watch that counts, until it is dropped.
#[derive(Debug)]
struct Counted(Arc<WatchHub>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.watches.fetch_sub(1, Ordering::SeqCst);
        metrics::gauge!("metapaas_watches").decrement(1);
    }
}
