//! Tells when an agent dies, whoever started it, and leaves no zombie behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metapaas_agent::process::Process;
use tokio::process::Child;
use tokio::sync::broadcast;
use uuid::Uuid;

/// A receiver that falls further behind misses hints, which it can do without.
const CAPACITY: usize = 1024;

/// One watcher for each agent that is known to run. Clones are the same watchers.
#[derive(Clone, Debug)]
pub(super) struct Watchers {
    exits: broadcast::Sender<Uuid>,
    /// The process id that is watched for a node.
    watched: Arc<Mutex<BTreeMap<Uuid, i32>>>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { exits: broadcast::channel(CAPACITY).0, watched: Arc::default() }
    }
}

impl Watchers {
    pub(super) fn exits(&self) -> broadcast::Receiver<Uuid> {
        self.exits.subscribe()
    }

    /// Sends the node's id when the process ends.
    pub(super) fn watch(&self, node: Uuid, agent: Process) {
        let pid = agent.pid();
        if self.watched().insert(node, pid) == Some(pid) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            if let Err(error) = agent.exited().await {
                tracing::warn!(%node, pid, %error, "cannot watch the agent");
            }
            {
                let mut watched = this.watched();
                if watched.get(&node) == Some(&pid) {
                    watched.remove(&node);
                }
            }
            // Nobody may be listening.
            let _ = this.exits.send(node);
        });
    }

    /// Waits for a child so that no zombie stays.
    pub(super) fn reap(&self, mut child: Child) {
        tokio::spawn(async move {
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "cannot wait for an agent");
            }
        });
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, BTreeMap<Uuid, i32>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
