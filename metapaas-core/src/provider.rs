//! [`Provider`]: what makes nodes exist. Implementations live in files of their own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::broadcast;
use uuid::Uuid;

#[cfg(feature = "docker")]
pub mod docker;
pub mod limits;
pub mod process;

/// Makes, observes and removes nodes. Every call may be repeated: after a crash the framework asks again.
pub trait Provider: Send + Sync {
    /// The name operators configure it by, e.g. `process`.
    fn name(&self) -> &'static str;

    /// The address the node with this id gets, where the provider knows it before the node exists.
    fn address(&self, node_id: Uuid) -> Option<IpAddr>;

    /// What [`Self::ensure`] will answer as [`NodeFound::location`], where the provider knows it before the node exists.
    /// It is kept before anything is made, so that another control plane finds what a call made whose answer was lost.
    fn location(&self, _node_id: Uuid) -> Option<Value> {
        None
    }

    /// Makes the node exist and its agent run; finds what an earlier call with the same id made.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn ensure<'a>(&'a self, request: &'a NodeRequest) -> BoxFuture<'a, Result<NodeFound, ProviderError>>;

    /// Looks at a node.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn observe<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<NodeState, ProviderError>>;

    /// Ends the node's agent and services and removes all that belongs to it. A node that is not there is fine.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn delete<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<(), ProviderError>>;

    /// Every node this provider has made for the installation `tag` that still has anything left.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn list<'a>(&'a self, tag: &'a str) -> BoxFuture<'a, Result<Vec<NodeRef>, ProviderError>>;

    /// Ids of nodes whose agent just died. Hints: correctness does not need them.
    fn exits(&self) -> broadcast::Receiver<Uuid>;
}

/// A node to make.
#[derive(Clone, Debug)]
pub struct NodeRequest {
    /// The node's id; the same id always means the same node.
    pub id: Uuid,
    /// The installation's tag, for [`Provider::list`].
    pub tag: String,
    /// What an earlier `ensure` answered as [`NodeFound::location`], when it is known.
    pub location: Option<Value>,
    /// The node's token for the agent APIs. Written where only the agent can read it.
    pub token: String,
    /// Base URLs of the control planes.
    pub endpoints: Vec<String>,
    /// Certificates in PEM that the control planes' are signed by; those of the system when absent.
    pub ca: Option<String>,
    /// Limits and whatever else the type's plan asks of the provider.
    pub resources: BTreeMap<String, Value>,
}

/// A node that exists.
#[derive(Clone, Debug)]
pub struct NodeFound {
    /// Where its services listen.
    pub address: IpAddr,
    /// What the provider needs to find it again, e.g. its directory; kept in the node's row.
    pub location: Value,
}

/// Names a node to its provider.
#[derive(Clone, Debug)]
pub struct NodeRef {
    /// The node's id.
    pub id: Uuid,
    /// As answered by [`Provider::ensure`]; `None` when that answer was lost.
    pub location: Option<Value>,
}

/// What a provider sees of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Nothing of it is there.
    Gone,
    /// It is there and its agent does not run.
    Stopped,
    /// Its agent runs.
    Running,
}

/// Why a provider could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It may work later.
    #[error("{action}")]
    Transient {
        /// What was tried, e.g. `start the agent of node 0199…`.
        action: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It has been asked too much; it wants to be left alone for a while.
    #[error("{action}: asked too often")]
    Throttled {
        /// What was tried.
        action: String,
        /// For how long.
        retry_after: std::time::Duration,
    },
    /// What the node's id stands for, such as its address, is another node's; a node with another id may do.
    #[error("{0}")]
    Taken(String),
    /// It cannot work until somebody changes something.
    #[error("{0}")]
    Terminal(String),
}
