//! [`MemoryProvider`]: nodes in name only, for measuring and testing the loop without processes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, ready};
use metapaas_protocol::{Health, NodeReport, PROTOCOL_VERSION};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::agents::Agents;
use crate::error::{Error, ErrorCode};
use crate::provider::{NodeFound, NodeRef, NodeRequest, NodeState, Provider, ProviderError};
use crate::reconcile::NodeTokens;
use crate::store::Store;

/// Nodes that apply every document at once and are healthy. They are nowhere but in their rows, so every control
/// plane on the database has them all.
#[derive(Clone, Debug)]
pub struct MemoryProvider {
    agents: Agents,
    /// Nodes that this process has seen: their documents are looked at when they change.
    known: Arc<Mutex<BTreeSet<Uuid>>>,
    exits: broadcast::Sender<Uuid>,
}

impl MemoryProvider {
    /// Nodes whose rows are in `store`. It must be made inside a tokio runtime.
    pub fn new(store: &Arc<Store>, tokens: NodeTokens) -> Arc<Self> {
        let agents = Agents::new(store.clone(), tokens, Arc::default());
        let provider = Arc::new(Self { agents, known: Arc::default(), exits: broadcast::channel(1).0 });
        let (follower, mut changes) = (Arc::clone(&provider), store.changes());
        tokio::spawn(async move {
            loop {
                match changes.recv().await {
                    Ok(id) if follower.known().contains(&id) => follower.clone().answer(id),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        provider
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<Uuid>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the node's agent would do: take the document and say that it is applied.
    fn answer(self: Arc<Self>, node: Uuid) {
        tokio::spawn(async move {
            match self.report(node).await {
                Err(error) if error.code != ErrorCode::NotFound => {
                    tracing::warn!(%node, %error, "a node in memory could not report");
                }
                _ => {}
            }
        });
    }

    async fn report(&self, node: Uuid) -> Result<(), Error> {
        let Some(document) = self.agents.document(node, "", Duration::ZERO).await? else { return Ok(()) };
        let report = NodeReport {
            protocol: PROTOCOL_VERSION,
            applied_generation: document.generation,
            applied_digest: document.digest,
            health: Health::Healthy,
            message: String::new(),
            facts: Default::default(),
            errors: Vec::new(),
            removed: document.removing,
            agent_version: "memory".into(),
            last_lines: Vec::new(),
        };
        self.agents.report(node, node, report).await
    }
}

/// A private IPv6 address with most of the id's bits.
fn address(node: Uuid) -> IpAddr {
    let mut bytes = node.into_bytes();
    bytes[0] = 0xfd;
    Ipv6Addr::from(bytes).into()
}

impl Provider for MemoryProvider {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn address(&self, node_id: Uuid) -> Option<IpAddr> {
        Some(address(node_id))
    }

    fn ensure<'a>(&'a self, request: &'a NodeRequest) -> BoxFuture<'a, Result<NodeFound, ProviderError>> {
        self.known().insert(request.id);
        Arc::new(self.clone()).answer(request.id);
        let found = NodeFound { address: address(request.id), location: json!({}) };
        ready(Ok(found)).boxed()
    }

    fn observe<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<NodeState, ProviderError>> {
        self.known().insert(node.id);
        ready(Ok(NodeState::Running)).boxed()
    }

    fn delete<'a>(&'a self, node: &'a NodeRef) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.known().remove(&node.id);
        ready(Ok(())).boxed()
    }

    fn list<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<NodeRef>, ProviderError>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn location(&self, _: Uuid) -> Option<Value> {
        Some(json!({}))
    }

    fn exits(&self) -> broadcast::Receiver<Uuid> {
        self.exits.subscribe()
    }
}
