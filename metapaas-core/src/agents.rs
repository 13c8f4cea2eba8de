//! What agents ask and tell: the orchestration API and the status API, without HTTP.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metapaas_protocol::calls::LogLine;
use metapaas_protocol::{Health, ItemError, NodeDocument, NodeReport, PROTOCOL_VERSION};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::error::{Error, ErrorCode};
use crate::reconcile::{NodeTokens, WireDocument, wire};
use crate::store::{Node, Store, now};
use crate::validate::whole_numbers;

/// Longest wait for a document.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often the database is looked at while an agent waits: another control plane may have changed the document.
const LOOK: Duration = Duration::from_secs(1);
/// A report that says nothing new is written this often, so that the node does not count as silent.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What is kept of the logs of a node that goes, in bytes, and what a line takes beside its text.
const LEFT_MAX: usize = 256 * 1024;
const LINE_OVERHEAD: usize = 64;

/// How often a report is tried on a document that changes meanwhile.
const ATTEMPTS: usize = 3;

/// Serves agents.
#[derive(Clone, Debug)]
pub struct Agents {
    store: Arc<Store>,
    tokens: NodeTokens,
    endpoints: Arc<RwLock<Vec<String>>>,
}

impl Agents {
    /// Serves the nodes in `store`.
    pub const fn new(store: Arc<Store>, tokens: NodeTokens, endpoints: Arc<RwLock<Vec<String>>>) -> Self {
        Self { store, tokens, endpoints }
    }

    /// The node that a token is for.
    ///
    /// # Errors
    /// `Unauthenticated` when it is not one of ours.
    pub fn authenticate(&self, token: &str) -> Result<Uuid, Error> {
        self.tokens
            .verify(token)
            .ok_or_else(|| Error::new(ErrorCode::Unauthenticated, "this is not the token of a node"))
    }

    /// The node's document as soon as its digest is not `after`; `None` when `wait` is over before.
    ///
    /// # Errors
    /// `NotFound` when the node is no more, `Unavailable`.
    pub async fn document(
        &self,
        node_id: Uuid,
        after: &str,
        wait: Duration,
    ) -> Result<Option<NodeDocument>, Error> {
        let until = Instant::now() + wait.min(WAIT_MAX);
        let mut changes = self.store.changes();
        loop {
            let found = self.store.node_document(node_id).await?;
            let (text, digest) = found.ok_or_else(|| Error::not_found(format_args!("node {node_id}")))?;
            let endpoints = self.endpoints.read().unwrap_or_else(PoisonError::into_inner).clone();
            if wire_digest(&digest, &endpoints) != after
                && let Some(node) = self.store.node(node_id).await?
                // Else it changed between the two readings, and the old one would go out under the new one's name.
                && node.document_digest == digest
            {
                let document: WireDocument = serde_json::from_str(&text).map_err(Error::internal)?;
                let digest = wire_digest(&node.document_digest, &endpoints);
                if let Some(wired) = wire(&node, document, digest, endpoints) {
                    return Ok(Some(wired));
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // The end of the wait for a hint means that it is time to look.
            let _ = timeout(left.min(LOOK), hint_for(&mut changes, node_id)).await;
        }
    }

    /// Takes in what a node says of itself.
    ///
    /// # Errors
    /// `Forbidden` for another node's token, `NotFound`, `InvalidRequest`, `Unavailable`.
    pub async fn report(&self, token_node: Uuid, node_id: Uuid, report: NodeReport) -> Result<(), Error> {
        if token_node != node_id {
            return Err(Error::new(ErrorCode::Forbidden, "this token is another node's"));
        }
        if report.protocol > PROTOCOL_VERSION {
            let detail =
                format!("this control plane speaks protocol {PROTOCOL_VERSION}, the agent a newer one");
            return Err(Error::invalid_at("/protocol", "INVALID_VALUE", detail));
        }
        // The document may change between the reading and the writing; then the report is looked at once more.
        for _ in 0..ATTEMPTS {
            let before = self.store.node(node_id).await?;
            let before = before.ok_or_else(|| Error::not_found(format_args!("node {node_id}")))?;
            if report.applied_generation > before.document_generation {
                let detail = format!("the newest document is of generation {}", before.document_generation);
                return Err(Error::invalid_at("/applied_generation", "INVALID_VALUE", detail));
            }
            let mut after = reported(&before, report.clone());
            let is_news = !same(&before, &after);
            if after.removed && !before.removed && !report.last_lines.is_empty() {
                self.store.keep_lines(&before, &plain_lines(&report.last_lines)).await?;
            }
            let now = now();
            let is_stale = before
                .last_seen_at
                .is_none_or(|seen| now - seen > chrono::Duration::from_std(HEARTBEAT).unwrap_or_default());
            after.last_seen_at = Some(now);
            if !(is_news || is_stale) || self.store.report_node(&after, is_news).await? {
                return Ok(());
            }
        }
        // The agent reports again before long.
        Ok(())
    }
}

/// The node's row with what the node says of itself.
fn reported(before: &Node, report: NodeReport) -> Node {
    let mut after = before.clone();
    // Only a report on the document as it stands counts as applied: an older one of the same generation is not it.
    let applied = report.applied_digest.split('.').next().unwrap_or_default();
    let is_current = applied == before.document_digest;
    after.applied_generation = if is_current {
        report.applied_generation
    } else {
        report.applied_generation.min(before.document_generation - 1)
    };
    after.health = word(report.health).into();
    after.message = without_nul(&report.message).chars().take(1024).collect();
    after.facts = report.facts.into_iter().map(|(name, fact)| (without_nul(&name), plain(fact))).collect();
    after.errors = report.errors.into_iter().take(1000).map(plain_error).collect();
    after.removed = report.removed;
    after
}

/// The digest that agents see: it changes with the document and with the set of control planes, so that agents
/// know all of them before one goes away.
fn wire_digest(document: &str, endpoints: &[String]) -> String {
    let mut sorted: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let hash = Sha256::digest(sorted.join("\n"));
    let short: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{document}.{short}")
}

/// PostgreSQL keeps no NUL.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A fact as both databases answer it, so that the same one again is no news.
fn plain(fact: Value) -> Value {
    match fact {
        Value::String(text) => Value::String(without_nul(&text)),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, member)| (without_nul(&name), plain(member))).collect()
        }
        other => whole_numbers(other),
    }
}

/// As many lines and as much of each as a node may leave.
fn plain_lines(lines: &[LogLine]) -> Vec<LogLine> {
    let mut left = LEFT_MAX;
    let taken = lines.iter().rev().take_while(|line| {
        left = left.saturating_sub(line.text.len() + line.service.len() + LINE_OVERHEAD);
        left > 0
    });
    let mut lines: Vec<LogLine> = taken.cloned().collect();
    lines.reverse();
    lines
}

fn plain_error(error: ItemError) -> ItemError {
    ItemError {
        item: without_nul(&error.item),
        code: without_nul(&error.code),
        message: without_nul(&error.message),
    }
}

fn same(before: &Node, after: &Node) -> bool {
    before.applied_generation == after.applied_generation
        && before.health == after.health
        && before.message == after.message
        && before.facts == after.facts
        && before.errors == after.errors
        && before.removed == after.removed
}

const fn word(health: Health) -> &'static str {
    match health {
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

async fn hint_for(changes: &mut broadcast::Receiver<Uuid>, node: Uuid) {
    loop {
        match changes.recv().await {
            Ok(changed) if changed == node => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
