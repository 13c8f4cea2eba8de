//! The loops: claim and run work, look for silent nodes, listen for agents that died, adopt what runs at start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Reconciler;
use super::execute::Passed;
use crate::error::chain;
use crate::provider::{NodeState, Provider};
use crate::secret::random_bytes;
use crate::store::{Claim, Outcome, StoreError};

/// Instances that one control plane works on at the same time.
const CONCURRENCY: usize = 16;
/// How long after the death of a control plane others wait before they take what it was working on.
const LEASE: Duration = Duration::from_secs(15);
/// A pass that takes longer keeps its lease.
const RENEW: Duration = Duration::from_secs(4);
const PASS_DEADLINE: Duration = Duration::from_secs(50);
/// How often the end of a piece of work is told to a database that does not answer, and the pause between.
const FINISH_ATTEMPTS: usize = 5;
const FINISH_PAUSE: Duration = Duration::from_secs(1);
/// How often the queue is looked at when no hint comes.
const POLL: Duration = Duration::from_millis(500);
const SWEEP: Duration = Duration::from_secs(5);
/// A provider that cannot list its nodes when the control plane starts is asked again after this long.
const LIST_AGAIN: Duration = Duration::from_secs(10);
const RETIRE: Duration = Duration::from_secs(10);
/// An upload that has not arrived after this long never does: the server waits for less.
const UPLOAD: Duration = Duration::from_secs(2 * 60 * 60);
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_LAST: Duration = Duration::from_secs(60);

/// Work that is done until something changes.
const NOTHING_LEFT: Outcome = Outcome { due_at: None, attempts: 0, waiting_for: None, last_error: None };

impl Reconciler {
    /// Works until `stop` turns true; then lets what is under way come to its end.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut side = JoinSet::new();
        for provider in self.providers.values() {
            side.spawn(self.clone().follow_exits(provider.clone()));
            side.spawn(self.clone().adopt(provider.clone()));
        }
        side.spawn(self.clone().sweep());
        side.spawn(self.clone().retire());
        let permits = Arc::new(Semaphore::new(CONCURRENCY));
        let mut passes = JoinSet::new();
        let mut changes = self.store.changes();
        while !*stop.borrow() {
            let free = permits.available_permits();
            let claimed = if free == 0 { Ok(Vec::new()) } else { self.claim(free).await };
            let full = matches!(&claimed, Ok(claims) if !claims.is_empty() && claims.len() == free);
            match claimed {
                Ok(claims) => {
                    for claim in claims {
                        let Ok(permit) = permits.clone().acquire_owned().await else { break };
                        let reconciler = self.clone();
                        passes.spawn(async move {
                            reconciler.work(claim).await;
                            drop(permit);
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "claiming work failed"),
            }
            while passes.try_join_next().is_some() {}
            if !full {
                tokio::select! {
                    _ = stop.changed() => {}
                    _ = hint(&mut changes) => {}
                    Some(_) = passes.join_next() => {}
                    () = tokio::time::sleep(jittered(POLL)) => {}
                }
            }
        }
        side.abort_all();
        while passes.join_next().await.is_some() {}
    }

    async fn claim(&self, free: usize) -> Result<Vec<Claim>, StoreError> {
        let limit = u16::try_from(free).unwrap_or(u16::MAX);
        self.store.claim_work(&self.settings.owner, limit, LEASE).await
    }

    /// One claim from pass to finish. Whatever happens inside, the lease ends or runs out.
    async fn work(&self, claim: Claim) {
        let started = std::time::Instant::now();
        let pass = std::panic::AssertUnwindSafe(self.pass(&claim)).catch_unwind();
        let pass = tokio::time::timeout(PASS_DEADLINE, pass);
        let passed = tokio::select! {
            // After a long sleep of this process both may be ready; then the loss counts.
            biased;
            () = self.lost(&claim) => Ok(Ok(Ok(Passed::LeaseLost))),
            passed = pass => passed,
        };
        let passed = match passed {
            Ok(Ok(Ok(passed))) => passed,
            Ok(Ok(Err(error))) => Passed::Retry(chain(&error)),
            Ok(Err(_)) => {
                tracing::error!(instance = %claim.resource_id, "a pass panicked; this is a bug");
                Passed::Retry("a pass panicked".into())
            }
            Err(_) => Passed::Retry(format!("a pass took longer than {PASS_DEADLINE:?}")),
        };
        metrics::histogram!("metapaas_reconcile_seconds", "type" => claim.slug.clone())
            .record(started.elapsed().as_secs_f64());
        let outcome = match passed {
            Passed::Gone => None,
            Passed::LeaseLost => {
                tracing::info!(instance = %claim.resource_id, "another control plane has taken over");
                return;
            }
            Passed::LookAgain(due_at) => Some(Outcome { due_at, ..NOTHING_LEFT }),
            Passed::Retry(message) => Some(retry(&claim, message, backoff(claim.attempts), None)),
            Passed::RetryAfter(message, pause) => Some(retry(&claim, message, jittered(pause), None)),
            // The change that it waits for wakes it; the pause is for a change that nobody told of.
            Passed::Blocked(message, on) => Some(retry(&claim, message, jittered(BACKOFF_LAST), Some(on))),
        };
        for attempt in 1..=FINISH_ATTEMPTS {
            match self.finish(&claim, outcome.clone()).await {
                Ok(()) => return,
                Err(error) if error.is_transient() && attempt < FINISH_ATTEMPTS => {
                    tokio::time::sleep(jittered(FINISH_PAUSE)).await;
                }
                Err(error) => {
                    // The lease runs out and the work is done again, which does no harm.
                    tracing::warn!(instance = %claim.resource_id, %error, "finishing work failed");
                    return;
                }
            }
        }
    }

    async fn finish(&self, claim: &Claim, outcome: Option<Outcome>) -> Result<(), StoreError> {
        match outcome {
            Some(outcome) => self.store.finish_work(claim, outcome).await,
            None if self.store.forget_work(claim).await? => Ok(()),
            // It was woken meanwhile and is looked at once more, by whoever comes first.
            None => self.store.finish_work(claim, Outcome { due_at: Some(Utc::now()), ..NOTHING_LEFT }).await,
        }
    }

    /// Keeps a lease; returns when it is lost.
    async fn lost(&self, claim: &Claim) {
        loop {
            tokio::time::sleep(RENEW).await;
            match self.store.renew_work(claim, LEASE).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(instance = %claim.resource_id, %error, "renewing a lease failed")
                }
            }
        }
    }

    /// Wakes the instances of nodes whose agents died.
    async fn follow_exits(self: Arc<Self>, provider: Arc<dyn Provider>) {
        let mut exits = provider.exits();
        loop {
            match exits.recv().await {
                Ok(node) => self.wake_node(node).await,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Finds the nodes that an earlier run made, has them watched, and wakes those that do not run.
    async fn adopt(self: Arc<Self>, provider: Arc<dyn Provider>) {
        let nodes = loop {
            match provider.list(&self.settings.tag).await {
                Ok(nodes) => break nodes,
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(
                        error,
                        provider = provider.name(),
                        "listing nodes failed; it is tried again"
                    );
                    tokio::time::sleep(jittered(LIST_AGAIN)).await;
                }
            }
        };
        for node in nodes {
            match self.store.node(node.id).await {
                // A running agent learns where this control plane is; it may be elsewhere than before.
                Ok(Some(row))
                    if row.deleting_at.is_none()
                        && matches!(provider.observe(&node).await, Ok(NodeState::Running)) =>
                {
                    let request = self.node_request(&row, BTreeMap::new());
                    if let Err(error) = provider.ensure(&request).await {
                        tracing::warn!(node = %node.id, %error, "adopting a node failed");
                    }
                }
                Ok(Some(_)) => self.wake_node(node.id).await,
                Ok(None) => {
                    tracing::warn!(node = %node.id, location = ?node.location, "a node without a row; it is left alone, see `metapaas nodes orphans`");
                }
                Err(error) => tracing::warn!(%error, "looking up a node failed"),
            }
        }
    }

    /// Wakes the instances of nodes that have been silent for too long. Reads only those, by index.
    async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(jittered(SWEEP)).await;
            let silence = self.settings.policy.silence;
            let now = Utc::now();
            // Nodes could not report while no control plane ran.
            if now < self.started_at + silence {
                continue;
            }
            match self.store.silent_nodes(now - silence, 100).await {
                Ok(nodes) => {
                    for node in nodes {
                        if let Err(error) = self.store.wake(node.instance_id, &node.slug).await {
                            tracing::warn!(%error, "waking an instance failed");
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "looking for silent nodes failed"),
            }
        }
    }

    /// Removes old events and operations, a bounded number at a time, and uploads that did not arrive.
    async fn retire(self: Arc<Self>) {
        let mut after = 0;
        loop {
            tokio::time::sleep(jittered(RETIRE)).await;
            let now = Utc::now();
            let kept = |slug: &str, plural: &str| {
                let registered = self.store.registry().find(slug, plural);
                let own = registered.and_then(|registered| registered.ty.retention_seconds);
                own.map_or(self.settings.policy.events, Duration::from_secs)
            };
            let of_types = self.store.registry().types().iter().map(|one| kept(one.ty.slug, one.ty.plural));
            let shortest = of_types.chain([self.settings.policy.events]).min().unwrap_or_default();
            let cutoff = |slug: &str, plural: &str| before(now, kept(slug, plural));
            match self.store.retire_events(after, before(now, shortest), &cutoff).await {
                Ok(next) => after = next.unwrap_or_default(),
                Err(error) => tracing::warn!(%error, "removing old events failed"),
            }
            if let Err(error) = self.store.forget_answers(before(now, self.settings.policy.answers)).await {
                tracing::warn!(%error, "removing old answers to idempotent requests failed");
            }
            if let Err(error) = self.store.retire_uploads(before(now, UPLOAD)).await {
                tracing::warn!(%error, "giving up old uploads failed");
            }
            let ended_before = before(now, self.settings.policy.operations);
            if let Err(error) = self.store.retire_operations(ended_before).await {
                tracing::warn!(%error, "removing old operations failed");
            }
        }
    }

    async fn wake_node(&self, id: Uuid) {
        let woken = match self.store.node(id).await {
            Ok(Some(node)) => self.store.wake(node.instance_id, &node.slug).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = woken {
            tracing::warn!(node = %id, %error, "waking the instance of a node failed");
        }
    }
}

/// Resolves when something changed, or may have.
async fn hint(changes: &mut broadcast::Receiver<Uuid>) {
    match changes.recv().await {
        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
    }
    // One look at the queue serves all hints that came together.
    tokio::time::sleep(Duration::from_millis(2)).await;
    while changes.try_recv().is_ok() {}
}

fn retry(claim: &Claim, message: String, pause: Duration, waiting_for: Option<Uuid>) -> Outcome {
    metrics::counter!("metapaas_reconcile_retries_total", "type" => claim.slug.clone()).increment(1);
    tracing::warn!(instance = %claim.resource_id, attempts = claim.attempts, %message, "will try again");
    let due_at = Some(Utc::now() + pause);
    Outcome { due_at, attempts: claim.attempts, waiting_for, last_error: Some(message) }
}

/// That long ago; a time further back than times go is the beginning of time.
fn before(now: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    let duration = chrono::Duration::from_std(duration).ok();
    duration.and_then(|duration| now.checked_sub_signed(duration)).unwrap_or(DateTime::UNIX_EPOCH)
}

fn backoff(attempts: u32) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    jittered(doubled.min(BACKOFF_LAST))
}

/// Between half and one and a half times `duration`, so that many do not come at once.
fn jittered(duration: Duration) -> Duration {
    let [byte] = random_bytes::<1>();
    duration.mul_f64(0.5 + f64::from(byte) / 256.0)
}
