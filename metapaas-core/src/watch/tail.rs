//! The task that follows the database for all watches of a process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use uuid::Uuid;

use super::fold::{Fold, Told};
use super::{Batch, Shown, WatchHub, frame};
use crate::error::chain;
use crate::resource::Resource;
use crate::store::events::{Change, ChangesOf, Decided};
use crate::store::{Store, StoreError};

/// Changes read in one go.
const PAGE: u16 = 200;
/// Rows that are kept because they are ahead of what is decided.
const AHEAD_MAX: usize = 4096;
/// How often changes of other control planes are looked for.
const POLL: Duration = Duration::from_millis(100);
/// The same while nobody watches.
const POLL_IDLE: Duration = Duration::from_secs(1);
/// The same while a transaction is waited for, at first.
const POLL_WAITING: Duration = Duration::from_millis(10);
const POLL_FAILED: Duration = Duration::from_millis(500);
/// Changes that come together are told together. More watches make it longer: waking them all has its price.
const TOGETHER: Duration = Duration::from_millis(5);
const TOGETHER_PER_WATCH: Duration = Duration::from_micros(10);
/// What a row costs beside its text.
const ROW_BYTES: usize = 1024;

impl WatchHub {
    /// Follows the database until the control plane stops.
    pub async fn run(self: Arc<Self>) {
        let mut tail =
            Tail { decided: Decided::default(), fold: Fold::new(AHEAD_MAX), failed: false, waiting: 0 };
        let mut stop = self.stop.clone();
        let mut changes = self.store.changes();
        while !*stop.borrow() {
            let pause = match tail.look(&self).await {
                Ok(()) => {
                    tail.failed = false;
                    tail.waiting = if tail.decided.is_waiting() { tail.waiting.saturating_add(1) } else { 0 };
                    if tail.waiting > 0 {
                        POLL_WAITING.saturating_mul(tail.waiting).min(POLL)
                    } else if self.watches() == 0 {
                        POLL_IDLE
                    } else {
                        POLL
                    }
                }
                Err(error) => {
                    if !tail.failed {
                        tracing::warn!(error = chain(&error), "watches stand still: changes cannot be read");
                    }
                    tail.failed = true;
                    POLL_FAILED
                }
            };
            let is_watched = self.watches() > 0 && !tail.failed;
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(pause) => {}
                () = self.woken.notified() => {}
                () = hint(&mut changes), if is_watched => {
                    let watches = u32::try_from(self.watches()).unwrap_or(u32::MAX);
                    tokio::time::sleep(TOGETHER + TOGETHER_PER_WATCH * watches).await;
                }
            }
            // One look serves all hints that came together.
            while !matches!(
                changes.try_recv(),
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed)
            ) {}
        }
    }
}

struct Tail {
    decided: Decided,
    fold: Fold,
    failed: bool,
    /// Looks in a row that a transaction was waited for.
    waiting: u32,
}

impl Tail {
    async fn look(&mut self, hub: &WatchHub) -> Result<(), StoreError> {
        hub.store.decide(&mut self.decided).await?;
        let Some(decided) = self.decided.upto() else { return Ok(()) };
        if hub.skip_to(decided) {
            self.fold = Fold::new(AHEAD_MAX);
            return Ok(());
        }
        loop {
            let position = hub.position.borrow().unwrap_or(decided);
            if position >= decided {
                return Ok(());
            }
            let page = hub.store.changes_between(ChangesOf::Everything, position, decided, PAGE).await?;
            let rows = rows_of(&hub.store, &page.changes).await?;
            let told = self.fold.step(page.changes, rows, page.upto);
            hub.publish(batch(hub, position, page.upto, told));
        }
    }
}

fn batch(hub: &WatchHub, after: i64, upto: i64, told: Vec<Told>) -> Batch {
    let registry = hub.store.registry();
    let mut bytes = ROW_BYTES;
    let told = told
        .into_iter()
        .map(|told| {
            let text = frame::told(registry, &told, told.kind, Some(told.position), None);
            // The row itself is kept beside its text.
            bytes += 2 * text.len() + ROW_BYTES;
            Shown { told, text }
        })
        .collect();
    Batch { after, upto, told, bytes }
}

/// The rows that `changes` name, as they are now.
pub(super) async fn rows_of(
    store: &Store,
    changes: &[Change],
) -> Result<HashMap<Uuid, Resource>, StoreError> {
    let mut rows = HashMap::new();
    for registered in store.registry().types() {
        let of_type = changes.iter().filter(|change| change.type_index == registered.index);
        let mut ids: Vec<Uuid> = of_type.map(|change| change.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            rows.extend(store.rows_by_id(registered, &ids).await?);
        }
    }
    Ok(rows)
}

/// Resolves when this process changed something, or may have.
async fn hint(changes: &mut broadcast::Receiver<Uuid>) {
    match changes.recv().await {
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
    }
}
