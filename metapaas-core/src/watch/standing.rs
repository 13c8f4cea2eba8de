//! Whether who opened a stream may still see it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::WatchHub;
use crate::error::{Error, ErrorCode};
use crate::request::RequestContext;

/// Whether a caller, whose rights may have changed, may see all that the stream shows.
pub type StillAllowed = dyn Fn(&RequestContext) -> Result<(), Error> + Send + Sync;

/// How long a look-up of rights waits when the database is away.
const RETRY: Duration = Duration::from_millis(500);

/// A caller's standing during a stream.
pub(super) struct Standing {
    bearer: String,
    request_id: Arc<str>,
    still_allowed: Box<StillAllowed>,
    /// Moves with every change of anybody's rights.
    age: watch::Receiver<u64>,
    expires_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standing").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

impl Standing {
    /// The standing of `bearer`, looked up anew: rights may have changed since the request was let in.
    pub(super) async fn new(
        hub: &WatchHub,
        bearer: &str,
        request_id: Arc<str>,
        still_allowed: Box<StillAllowed>,
    ) -> Result<Self, Error> {
        let age = hub.authenticator.changes();
        let mut standing =
            Self { bearer: bearer.to_owned(), request_id, still_allowed, age, expires_at: None };
        standing.age.borrow_and_update();
        standing.look_up(hub).await?;
        Ok(standing)
    }

    /// Resolves when rights have changed.
    pub(super) async fn changed(&mut self) {
        // Without a sender nothing changes any more.
        if self.age.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.age.mark_changed();
    }

    /// When the token ends.
    pub(super) fn expires_in(&self) -> Option<Duration> {
        self.expires_at.map(|end| (end - Utc::now()).to_std().unwrap_or_default())
    }

    /// Returns when all is well. Costs nothing while nobody's rights change.
    ///
    /// # Errors
    /// Why the stream ends.
    pub(super) async fn check(&mut self, hub: &WatchHub) -> Result<(), Error> {
        let has_ended = self.expires_at.is_some_and(|end| end <= Utc::now());
        while has_ended || self.age.has_changed().unwrap_or_default() {
            self.age.borrow_and_update();
            match self.look_up(hub).await {
                Ok(()) => return Ok(()),
                // Nothing is told meanwhile, and nobody is turned away for what is not their doing.
                Err(error) if error.code == ErrorCode::Unavailable => {
                    self.age.mark_changed();
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn look_up(&mut self, hub: &WatchHub) -> Result<(), Error> {
        // Many watches look at the same moment; the first few fill the authenticator's memory for the others.
        let _permit = hub.renewing.acquire().await;
        let actor = hub.authenticator.authenticate(&self.bearer).await?;
        self.expires_at = hub.authenticator.expires_at(&self.bearer)?;
        (self.still_allowed)(&RequestContext { actor, request_id: self.request_id.clone() })
    }
}
