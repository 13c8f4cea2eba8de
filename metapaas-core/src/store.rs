//! The store: the only part that knows SQL. sea-query writes the statements, sqlx runs them.

mod codec;
mod converge;
pub mod database;
mod ddl;
pub(crate) mod desired;
pub mod error;
pub mod events;
mod framework_schema;
pub(crate) mod iam;
mod idempotency;
pub(crate) mod links;
mod logs;
pub(crate) mod measured;
pub mod migrate;
pub mod nodes;
mod operation;
pub(crate) mod operations;
pub mod quotas;
mod replicas;
pub mod resources;
mod resync;
pub mod routes;
mod schema;
mod sealed;
mod standing;
pub mod statement;
pub mod uploads;
pub mod value;
pub mod work;

use std::sync::Arc;

use moka::sync::Cache;
use tokio::sync::broadcast;
use uuid::Uuid;

pub use self::database::{Database, Tx};
pub use self::error::StoreError;
use self::idempotency::InFlightKeys;
pub(crate) use self::idempotency::in_progress;
pub use self::idempotency::{Answer, InFlight, KeptAnswers, Once, OnceKey, Render, RequestHash};
use self::links::LinkStatements;
pub use self::nodes::Node;
use self::nodes::NodeStatements;
use self::operations::OperationStatements;
pub use self::operations::{OperationRecord, OperationStatus};
use self::quotas::Quotas;
pub use self::quotas::{NewProjectLimits, QuotaItem, quota_resources};
use self::resources::references::References;
use self::resources::statements::TypeStatements;
pub use self::resources::{ActionBegun, Effect, Locator, Page, WouldBe, WriteOptions, Written, now};
pub use self::resync::Resync;
use self::routes::RouteStatements;
pub use self::sealed::Resealed;
pub use self::standing::COUNT_MAX;
pub use self::statement::{Dialect, Statement, slot};
pub use self::uploads::Upload;
pub use self::value::{Arg, Required, Row, raw_json};
use self::work::WorkStatements;
pub use self::work::{Claim, Outcome};
use crate::registry::Registry;
use crate::resource::Resource;
use crate::secret::KeyRing;

/// Projects that are known to have limits, this many at the most.
const LIMITED: u64 = 10_000;
/// Rows that were just updated are remembered, this many at the most.
const RECENT: u64 = 1024;
/// Statements of lists with a filter or an order are remembered, this many at the most.
const LISTS: u64 = 1024;

/// The database with the statements of all hosted types.
#[derive(Debug)]
pub struct Store {
    /// The database.
    pub database: Database,
    registry: Arc<Registry>,
    keys: Arc<KeyRing>,
    types: Vec<TypeStatements>,
    references: Vec<Arc<References>>,
    work: WorkStatements,
    node: NodeStatements,
    route: RouteStatements,
    link: LinkStatements,
    operation: Arc<OperationStatements>,
    quotas: Arc<Quotas>,
    /// Projects whose writes go straight into a transaction. A hint: the transaction looks for itself.
    limited: Cache<Uuid, ()>,
    changes: broadcast::Sender<Uuid>,
    recent: Cache<Uuid, Resource>,
    idempotency: Arc<KeptAnswers>,
    in_flight: InFlightKeys,
    lists: Cache<String, Statement>,
}

impl Store {
    /// Writes the statements of all types.
    pub fn new(database: Database, registry: Arc<Registry>, keys: Arc<KeyRing>) -> Self {
        let types: Vec<TypeStatements> = registry
            .types()
            .iter()
            .map(|registered| {
                let is_planned = registry.plan(registered.ty.slug).is_some();
                TypeStatements::new(database.dialect(), registered.ty, is_planned)
            })
            .collect();
        let dialect = database.dialect();
        let references = |registered| Arc::new(References::new(dialect, &registry, registered));
        let references = registry.types().iter().map(references).collect();
        let idempotency = Arc::new(KeptAnswers::new(dialect, keys.clone()));
        let quotas = Quotas::new(dialect, registry.clone(), keys.clone(), &types);
        Self {
            database,
            registry,
            keys,
            types,
            references,
            work: WorkStatements::new(dialect),
            node: NodeStatements::new(dialect),
            route: RouteStatements::new(dialect),
            link: LinkStatements::new(dialect),
            operation: Arc::new(OperationStatements::new(dialect)),
            quotas: Arc::new(quotas),
            limited: Cache::new(LIMITED),
            changes: broadcast::channel(1024).0,
            recent: Cache::new(RECENT),
            idempotency,
            in_flight: InFlightKeys::default(),
            lists: Cache::new(LISTS),
        }
    }

    /// What the store keeps rows of.
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The master keys.
    pub const fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Ids of instances that just got work, from this process. Hints: the queue itself is in the database.
    pub fn changes(&self) -> broadcast::Receiver<Uuid> {
        self.changes.subscribe()
    }

    fn changed(&self, instance: Uuid) {
        // Without a listener there is nobody to tell.
        let _ = self.changes.send(instance);
    }
}
