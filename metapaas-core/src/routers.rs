//! What routers ask: the routing table, without HTTP.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::error::{Error, ErrorCode};
use crate::reconcile::NodeTokens;
use crate::store::Store;
use crate::store::routes::RouteTable;

/// Longest wait for a table.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often the database is looked at while a router waits: another control plane may have changed a route.
const LOOK: Duration = Duration::from_millis(500);
/// Changes that come together go out together.
const TOGETHER: Duration = Duration::from_millis(5);

/// The newest table that a router has in force, as far as this control plane was told: a router that asks for what
/// comes after a revision has put that one in force.
#[derive(Clone, Debug)]
pub struct InForce(watch::Sender<i64>);

impl Default for InForce {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl InForce {
    fn tell(&self, revision: i64) {
        self.0.send_if_modified(|newest| {
            let is_news = revision > *newest;
            *newest = revision.max(*newest);
            is_news
        });
    }

    /// Returns once a router has that revision, or `longest` has passed: a router that is down serves nobody, so what
    /// it has not heard of misleads nobody.
    pub(crate) async fn reach(&self, revision: i64, longest: Duration) {
        let mut told = self.0.subscribe();
        // Neither end needs anything done: whoever waits goes on.
        let _ = timeout(longest, told.wait_for(|newest| *newest >= revision)).await;
    }
}

/// Serves routers.
#[derive(Clone, Debug)]
pub struct Routers {
    store: Arc<Store>,
    tokens: NodeTokens,
    in_force: InForce,
}

impl Routers {
    /// Serves the routes in `store`; `tokens` are of a key that nodes' tokens are not of.
    pub fn new(store: Arc<Store>, tokens: NodeTokens) -> Self {
        Self { store, tokens, in_force: InForce::default() }
    }

    /// What the reconciler waits for.
    pub fn in_force(&self) -> InForce {
        self.in_force.clone()
    }

    /// The token of all routers of the installation.
    pub fn token(&self) -> String {
        self.tokens.issue(Uuid::nil())
    }

    /// Holds a caller to that token.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn authenticate(&self, token: &str) -> Result<(), Error> {
        let is_ours = self.tokens.verify(token) == Some(Uuid::nil());
        let refused = || Error::new(ErrorCode::Unauthenticated, "this is not the token of a router");
        is_ours.then_some(()).ok_or_else(refused)
    }

    /// The table as soon as its revision is not `after`; `None` when `wait` is over before.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn table(&self, after: Option<i64>, wait: Duration) -> Result<Option<RouteTable>, Error> {
        if let Some(revision) = after {
            self.in_force.tell(revision);
        }
        let until = Instant::now() + wait.min(WAIT_MAX);
        let mut changes = self.store.changes();
        loop {
            if after != Some(self.store.routes_revision().await?) {
                return Ok(Some(self.store.route_table().await?));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let hint = async { while changes.recv().await.is_ok_and(|changed| !changed.is_nil()) {} };
            // The end of the wait for a hint means that it is time to look.
            if timeout(left.min(LOOK), hint).await.is_ok() {
                tokio::time::sleep(TOGETHER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_table_is_waited_for_until_a_router_has_it_and_no_longer_than_said() {
        let in_force = InForce::default();
        let long = Duration::from_secs(600);
        in_force.reach(0, long).await;
        let waits = tokio::spawn({
            let in_force = in_force.clone();
            async move { in_force.reach(3, long).await }
        });
        for revision in [2, 1] {
            tokio::task::yield_now().await;
            in_force.tell(revision);
        }
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        in_force.tell(4);
        waits.await.unwrap();
        // One that went back to a table of before has had the newer one.
        in_force.tell(1);
        in_force.reach(4, long).await;
        in_force.reach(5, Duration::ZERO).await;
    }
}
