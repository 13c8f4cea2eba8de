//! [`AuditLog`]: lines of the audit that no transaction carries, such as denials, written in batches; and the list.
//!
//! A change writes its line in its own transaction. A denial changes nothing: a caller that is denied over and over
//! must not cost a transaction each time, nor fill memory or the table.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use uuid::Uuid;

use super::record::{DENIED, OK, Record, cut};
use super::{AUDIT, Iam, Listed, PageAt, expect, in_project};
use crate::authz::Allowed;
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode};
use crate::request::RequestContext;
use crate::store::iam::IamStore;
use crate::store::iam::audit::{AuditActor, AuditFilter, AuditRecord};
use crate::store::value::raw_json;

/// Lines that may wait to be written.
const WAITING: usize = 10_000;
/// Lines of a batch; what is alike beyond the first is counted in it.
const BATCH: usize = 500;
/// How long a line may wait for others.
const GATHER: Duration = Duration::from_millis(500);
/// Before a batch that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How often a batch is tried when the control plane stops.
const LAST_TRIES: u32 = 3;

/// What was denied to somebody.
#[derive(Clone, Debug)]
pub struct Denial {
    permission: Option<String>,
    project_id: Option<Uuid>,
    code: &'static str,
}

impl Denial {
    /// What `error` denies; nothing, when it is about something else.
    pub fn of(error: &Error) -> Option<Self> {
        let is_denial =
            error.hidden || matches!(error.code, ErrorCode::Forbidden | ErrorCode::PasswordChangeRequired);
        let text = |name: &str| error.extra.get(name).and_then(Value::as_str);
        is_denial.then(|| Self {
            permission: text("permission").map(ToOwned::to_owned),
            project_id: text("project_id").and_then(|id| id.parse().ok()),
            code: if error.hidden { "NOT_VISIBLE" } else { error.code.as_str() },
        })
    }
}

/// Takes lines for the writer. Never waits: what finds no place is counted, and the count is written.
#[derive(Debug)]
pub(super) struct AuditLog {
    sender: Sender<AuditRecord>,
    lost: AtomicU64,
    receiver: std::sync::Mutex<Option<Receiver<AuditRecord>>>,
}

impl AuditLog {
    pub(super) fn new() -> Self {
        let (sender, receiver) = channel(WAITING);
        Self { sender, lost: AtomicU64::new(0), receiver: std::sync::Mutex::new(Some(receiver)) }
    }

    pub(super) fn put(&self, line: AuditRecord) {
        if self.sender.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("metapaas_audit_lost_total").increment(1);
        }
    }
}

/// Lines that say the same, as the first of them and their number.
#[derive(Debug, Default)]
struct Batch {
    lines: HashMap<Key, (AuditRecord, u64)>,
    /// Lines beyond the most that a batch takes.
    lost: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    actor: AuditActor,
    action: String,
    resource: String,
    outcome: String,
}

impl Batch {
    fn add(&mut self, line: AuditRecord) {
        let key = Key {
            actor: line.actor.clone(),
            action: line.action.clone(),
            resource: line.resource.clone(),
            outcome: line.outcome.clone(),
        };
        let is_full = self.lines.len() >= BATCH;
        match self.lines.get_mut(&key) {
            Some((_, count)) => *count += 1,
            None if is_full => self.lost += 1,
            None => {
                self.lines.insert(key, (line, 1));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost == 0
    }

    fn into_lines(self) -> Vec<AuditRecord> {
        let mut lines: Vec<AuditRecord> =
            self.lines.into_values().map(|(line, count)| counted(line, count)).collect();
        lines.sort_unstable_by_key(|line| line.id);
        if self.lost > 0 {
            let context = RequestContext::system("audit");
            let overflow = Record::by(&context, "iam.audit.overflow".into());
            lines.push(overflow.line(
                super::record::FAILED,
                "audit".into(),
                None,
                Some(json!({ "lost": self.lost })),
            ));
        }
        lines
    }
}

fn counted(mut line: AuditRecord, count: u64) -> AuditRecord {
    if count > 1 {
        let parsed = line.detail.as_ref().and_then(|detail| serde_json::from_str(detail.get()).ok());
        let mut detail = parsed.unwrap_or_else(|| json!({}));
        if let Value::Object(members) = &mut detail {
            members.insert("count".into(), count.into());
        }
        line.detail = Some(raw_json(&detail));
    }
    line
}

impl Iam {
    /// Notes that a request was denied: `what` is its method and path.
    pub fn denied(&self, context: &RequestContext, what: &str, denial: &Denial) {
        let action = denial.permission.clone().unwrap_or_else(|| "request".to_owned());
        let detail = json!({ "code": denial.code });
        let line = Record::by(context, action).line(DENIED, cut(what, 512), denial.project_id, Some(detail));
        self.log.put(line);
    }

    /// Notes what the caller is about to do with `resource` of a project. What cannot be noted must not be done.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note(
        &self,
        allowed: &Allowed,
        resource: &str,
        project: Uuid,
        detail: Value,
    ) -> Result<(), Error> {
        let line = Record::of(allowed).line(OK, cut(resource, 512), Some(project), Some(detail));
        write(self.store(), vec![line]).await
    }

    /// Writes the lines that no transaction carries, until `stop` and none is left. Run it as a task, once.
    ///
    /// # Guarantees
    /// What was put before the stop is written before this ends, unless the database stays away for three tries.
    pub async fn write_audit(&self, mut stop: tokio::sync::watch::Receiver<bool>) {
        let receiver = self.log.receiver.lock().ok().and_then(|mut receiver| receiver.take());
        let Some(mut receiver) = receiver else { return };
        let mut stopping = false;
        loop {
            let mut batch = Batch::default();
            if !stopping {
                tokio::select! {
                    line = receiver.recv() => line.into_iter().for_each(|line| batch.add(line)),
                    _ = stop.wait_for(|stop| *stop) => stopping = true,
                }
            }
            if !stopping && batch.lines.len() < BATCH {
                // The stop need not be waited for: it is seen in the next round, and the lines are in hand.
                tokio::time::sleep(GATHER).await;
            }
            while let Ok(line) = receiver.try_recv() {
                batch.add(line);
            }
            batch.lost += self.log.lost.swap(0, Ordering::Relaxed);
            if !batch.is_empty() {
                self.write_batch(batch.into_lines(), &stop).await;
            }
            if stopping && receiver.is_empty() {
                return;
            }
        }
    }

    async fn write_batch(&self, lines: Vec<AuditRecord>, stop: &tokio::sync::watch::Receiver<bool>) {
        let mut tries = 0;
        while let Err(error) = write(self.store(), lines.clone()).await {
            tracing::warn!(%error, lines = lines.len(), "lines of the audit wait for the database");
            if *stop.borrow() {
                tries += 1;
                if tries >= LAST_TRIES {
                    tracing::error!(lines = lines.len(), "lines of the audit are lost");
                    return;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// A page of the audit, newest first: of the projects whose audit the caller may list.
    ///
    /// # Errors
    /// `Forbidden` when there is none, `NotFound` for a project that the caller may not see.
    pub async fn list_audit(
        &self,
        allowed: &Allowed,
        filter: &AuditFilter,
        page: PageAt,
    ) -> Result<Listed<AuditRecord>, Error> {
        expect(allowed, &AUDIT, Action::List)?;
        if let Some(project) = filter.project_id {
            in_project(allowed, project)?;
        }
        if matches!(allowed.sees(), crate::authz::Projects::Some(projects) if projects.is_empty()) {
            return Err(Error::forbidden(&AUDIT.permission(Action::List)));
        }
        Ok(self.store().audit_records(allowed.sees(), filter, page).await?)
    }
}

async fn write(store: &IamStore, lines: Vec<AuditRecord>) -> Result<(), Error> {
    store
        .write("write the audit", move |mut tx| {
            Box::pin(async move {
                for line in lines {
                    tx.audit(line).await?;
                }
                Ok(())
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(resource: &str) -> AuditRecord {
        let context = RequestContext::system("test");
        Record::by(&context, "demo.instances.create".into()).line(
            DENIED,
            resource.into(),
            None,
            Some(json!({"code": "FORBIDDEN"})),
        )
    }

    #[test]
    fn what_is_alike_is_one_line_with_a_number() {
        let mut batch = Batch::default();
        for resource in ["a", "b", "a", "a"] {
            batch.add(line(resource));
        }
        let lines = batch.into_lines();
        let details: Vec<&str> = lines.iter().map(|line| line.detail.as_ref().unwrap().get()).collect();
        assert_eq!(details, [r#"{"code":"FORBIDDEN","count":3}"#, r#"{"code":"FORBIDDEN"}"#]);
    }

    #[test]
    fn a_flood_is_cut_and_says_so() {
        let mut batch = Batch::default();
        for number in 0..BATCH + 7 {
            batch.add(line(&number.to_string()));
        }
        let lines = batch.into_lines();
        assert_eq!(lines.len(), BATCH + 1);
        assert_eq!(lines[BATCH].action, "iam.audit.overflow");
        assert_eq!(lines[BATCH].detail.as_ref().unwrap().get(), r#"{"lost":7}"#);
    }

    #[test]
    fn a_full_log_counts_what_it_does_not_take() {
        let log = AuditLog::new();
        for _ in 0..WAITING + 3 {
            log.put(line("a"));
        }
        assert_eq!(log.lost.load(Ordering::Relaxed), 3);
    }
}
