//! [`Driver`]: what a plugin does on a node, and [`NodeContext`], the only way it may touch the node.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use metapaas_protocol::{Health, ItemError, NodeDocument};
use serde_json::Value;

use crate::context::NodeContext;
use crate::service::ServiceSpec;

/// A boxed future, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes a node be what its document says. One driver serves one node; calls never overlap.
///
/// # Guarantees asked of an implementation
/// - Every call may be repeated, also after a crash in the middle of it.
/// - It compares before it changes: a second `apply` of the same document has no effect.
pub trait Driver: Send {
    /// Makes the node be what `document` says. A call that takes longer than five minutes is dropped and repeated,
    /// so whatever lasts longer is started here and waited for in [`Driver::health`].
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        document: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>>;

    /// Whether the service works, asked every few seconds, more often until it does, and after each `apply`. It has
    /// ten seconds to answer. While a document has not been healthy yet, the agent reports [`Health::Unhealthy`] as
    /// [`Health::Starting`], for as long as [`Driver::patience`] says.
    fn health<'a>(&'a mut self, node: &'a NodeContext) -> BoxFuture<'a, HealthReport>;

    /// How long a document may take from being applied to its service being healthy before the node counts as
    /// unhealthy; asked after each check. A minute unless the driver knows better, e.g. that there is nothing to wait
    /// for any more.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Values for output fields of the instance, by field name.
    fn observe<'a>(&'a mut self, _node: &'a NodeContext) -> BoxFuture<'a, BTreeMap<String, Value>> {
        Box::pin(async { BTreeMap::new() })
    }

    /// How a one-off command of a tenant is run on the node, for types whose plugin declares `runs`. `words` are the
    /// program and its arguments, never for a shell. The answer says what the agent starts: in the node's work directory,
    /// with standard input closed and output going to whoever asked; `grace_seconds` is what it gets to end. The driver
    /// sees to it that the command gets no more rights than its services have.
    fn command<'a>(
        &'a mut self,
        _node: &'a NodeContext,
        _words: &'a [String],
    ) -> BoxFuture<'a, Result<ServiceSpec, DriverError>> {
        Box::pin(async { Err(DriverError::Document("this node runs no commands".to_owned())) })
    }

    /// Called instead of `apply` for a document that is `removing`: removes what the driver made outside the node's
    /// directory. Services are stopped by the agent afterwards.
    fn remove<'a>(&'a mut self, _node: &'a NodeContext) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A document has been applied, but for these parts of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Refused parts; the rest is in force.
    pub errors: Vec<ItemError>,
}

/// What `health` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Whether the service works.
    pub health: Health,
    /// Why it does not; empty when healthy.
    pub message: String,
}

/// Why a document could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The document makes no sense to this driver; trying again will not help.
    #[error("{0}")]
    Document(String),
    /// An effect on the node failed; it is tried again with backoff.
    #[error("{action}")]
    Effect {
        /// What was tried.
        action: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}
