//! What handlers share.

use std::sync::Arc;

use bytes::Bytes;
use metapaas_core::agents::Agents;
use metapaas_core::authn::Authenticator;
use metapaas_core::calls::Calls;
use metapaas_core::iam::Iam;
use metapaas_core::instance_metrics::InstanceMetrics;
use metapaas_core::logs::Logs;
use metapaas_core::operations::Operations;
use metapaas_core::placement::Placement;
use metapaas_core::registry::Registry;
use metapaas_core::routers::Routers;
use metapaas_core::runs::Runs;
use metapaas_core::store::Store;
use metapaas_core::uploads::Uploads;
use metapaas_core::watch::WatchHub;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use super::allow::Methods;
use super::counts::Counts;
use crate::limits::{BodyLimit, Limits};
use crate::network::Network;
use crate::rate::Rates;

/// Cheap to clone.
pub type App = Arc<State>;

/// What handlers share.
pub struct State {
    /// All hosted types.
    pub registry: Arc<Registry>,
    /// Their rows.
    pub store: Arc<Store>,
    /// Who is who.
    pub authenticator: Arc<Authenticator>,
    /// Users, projects, bindings.
    pub iam: Arc<Iam>,
    /// Live watches.
    pub hub: Arc<WatchHub>,
    /// What became of actions.
    pub operations: Operations,
    /// What agents ask and tell.
    pub agents: Agents,
    /// What nodes are asked.
    pub calls: Calls,
    /// What their services write.
    pub logs: Logs,
    /// What clients send for instances.
    pub uploads: Uploads,
    /// Commands on them.
    pub runs: Runs,
    /// What routers ask.
    pub routers: Routers,
    /// Which provider makes whose nodes.
    pub placement: Placement,
    /// The document of all types, made once.
    pub openapi: Bytes,
    /// The document of each type, made once.
    pub openapi_by_slug: Vec<(&'static str, Bytes)>,
    /// The methods of each path.
    pub methods: Methods,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// What it says of instances.
    pub instance_metrics: InstanceMetrics,
    /// Counts requests.
    pub counts: Counts,
    /// What a request's body may be.
    pub body_limit: BodyLimit,
    /// What else a request may be.
    pub limits: Limits,
    /// How often who may ask.
    pub rates: Rates,
    /// Proxies that are believed when they say whom a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// Turns true when the control plane stops.
    pub stop: watch::Receiver<bool>,
}
