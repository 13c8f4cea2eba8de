//! The reconcile loop: claims due work, plans it, carries the plan out, writes the status.
//!
//! Planning is in [`plan`], status in [`summary`], both pure; effects are in `execute` and `worker`.

mod breaker;
mod desired;
mod document;
mod execute;
mod forecast;
mod links;
mod operations;
mod orphans;
pub mod plan;
mod routes;
mod rows;
pub mod summary;
mod token;
mod uploads;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use chrono::{DateTime, Utc};

pub use self::document::{WireDocument, digest, document, wire};
pub use self::forecast::forecast;
pub use self::orphans::{OrphansError, orphans};
pub use self::plan::Policy;
pub use self::routes::{InForce, Routing};
pub use self::token::NodeTokens;
use crate::placement::Placement;
use crate::provider::Provider;
use crate::store::{Store, now};

/// Carries out what tenants want.
pub struct Reconciler {
    store: Arc<Store>,
    providers: BTreeMap<&'static str, Arc<dyn Provider>>,
    placement: Placement,
    settings: Settings,
    started_at: DateTime<Utc>,
    breaker: breaker::Breaker,
}

/// What the reconciler is told by its surroundings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names this control plane in leases and logs.
    pub owner: String,
    /// Marks all that providers make for this installation.
    pub tag: String,
    /// Base URLs of all live control planes, kept current by the replica heartbeat.
    pub endpoints: Arc<RwLock<Vec<String>>>,
    /// Certificates in PEM that agents trust when they call them; those of the system when absent.
    pub ca: Option<String>,
    /// How long things may take.
    pub policy: Policy,
    /// Makes nodes' tokens.
    pub tokens: NodeTokens,
    /// How instances are reached from outside; without it, types have no routes.
    pub routing: Option<Routing>,
}

impl Reconciler {
    /// A reconciler over `store` that makes nodes with the first of `providers` unless an instance chooses another.
    pub fn new(store: Arc<Store>, providers: Vec<Arc<dyn Provider>>, settings: Settings) -> Self {
        let names = providers.iter().map(|provider| provider.name().to_owned()).collect();
        Self {
            store,
            providers: providers.into_iter().map(|provider| (provider.name(), provider)).collect(),
            placement: Placement::new(names, BTreeMap::new()),
            settings,
            started_at: now(),
            breaker: breaker::Breaker::default(),
        }
    }

    /// Says which projects use which provider.
    #[must_use]
    pub fn with_placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
