//! Tells when a node's container ends or is removed, whoever did it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::engine::{Engine, NODE_LABEL, TAG_LABEL};

/// A receiver that falls further behind misses hints, which it can do without.
const CAPACITY: usize = 1024;
/// An engine that is away is asked again after this long.
const PAUSE: Duration = Duration::from_secs(5);

/// Follows the engine's events from the first time that somebody listens.
#[derive(Debug)]
pub(super) struct Exits {
    sender: broadcast::Sender<Uuid>,
    follows: AtomicBool,
}

impl Default for Exits {
    fn default() -> Self {
        Self { sender: broadcast::channel(CAPACITY).0, follows: AtomicBool::new(false) }
    }
}

impl Exits {
    pub(super) fn listen(&self, engine: &Arc<Engine>, tag: &str) -> broadcast::Receiver<Uuid> {
        let receiver = self.sender.subscribe();
        if !self.follows.swap(true, Ordering::Relaxed) {
            tokio::spawn(follow(Arc::downgrade(engine), tag.to_owned(), self.sender.clone()));
        }
        receiver
    }
}

/// Ends with the provider.
async fn follow(engine: Weak<Engine>, tag: String, sender: broadcast::Sender<Uuid>) {
    while let Some(engine) = engine.upgrade() {
        if let Ok(docker) = engine.docker().await.cloned() {
            drop(engine);
            let filters = HashMap::from([
                ("type", vec!["container".to_owned()]),
                ("label", vec![format!("{TAG_LABEL}={tag}")]),
                // One that is paused serves nobody either.
                ("event", ["die", "destroy", "pause"].map(str::to_owned).to_vec()),
            ]);
            let mut events = docker.events(Some(EventsOptionsBuilder::new().filters(&filters).build()));
            while let Some(Ok(event)) = events.next().await {
                let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
                if let Some(node) = attributes.get(NODE_LABEL).and_then(|id| id.parse().ok()) {
                    // Nobody may be listening.
                    let _ = sender.send(node);
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
