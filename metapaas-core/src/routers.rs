//! What routers ask: the routing table, without HTTP.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::error::{Error, ErrorCode};
use crate::reconcile::{InForce, NodeTokens};
use crate::store::Store;
use crate::store::routes::RouteTable;

/// Longest wait for a table.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often the database is looked at while a router waits: another control plane may have changed a route.
const LOOK: Duration = Duration::from_millis(500);
/// Changes that come together go out together.
const TOGETHER: Duration = Duration::from_millis(5);

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
