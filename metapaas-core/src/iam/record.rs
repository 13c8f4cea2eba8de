//! [`Record`]: what a line of the audit says of a change that somebody makes.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::authz::Allowed;
use crate::request::{Actor, RequestContext};
use crate::store::iam::audit::{AuditActor, AuditRecord};
use crate::store::resources::now;
use crate::store::value::raw_json;

/// It was done.
pub(super) const OK: &str = "OK";
/// It was not allowed.
pub(super) const DENIED: &str = "DENIED";
/// It was tried in vain.
pub(super) const FAILED: &str = "FAILED";

/// Who does what, before it is known to what.
#[derive(Clone, Debug)]
pub(super) struct Record {
    actor: AuditActor,
    request_id: Arc<str>,
    action: String,
}

impl Record {
    /// The action that `allowed` is for.
    pub(super) fn of(allowed: &Allowed) -> Self {
        Self::by(allowed.context(), allowed.ty().permission(allowed.action()))
    }

    /// An action that is no permission.
    pub(super) fn by(context: &RequestContext, action: String) -> Self {
        Self { actor: actor(&context.actor), request_id: Arc::clone(&context.request_id), action }
    }

    /// By somebody whose name is all that is known.
    pub(super) fn unknown(name: &str, request_id: &Arc<str>, action: &str) -> Self {
        let actor = AuditActor { kind: "unknown".into(), id: None, name: cut(name, 128) };
        Self { actor, request_id: Arc::clone(request_id), action: action.into() }
    }

    /// By a user that has not shown a token.
    pub(super) fn user(id: Uuid, name: &str, request_id: &Arc<str>, action: &str) -> Self {
        let actor = AuditActor { kind: "user".into(), id: Some(id), name: name.into() };
        Self { actor, request_id: Arc::clone(request_id), action: action.into() }
    }

    /// Something is new.
    pub(super) fn created<T: Serialize>(&self, what: String, project: Uuid, after: &T) -> AuditRecord {
        self.line(OK, what, Some(project), Some(json!({ "after": after })))
    }

    /// Something is otherwise than before.
    pub(super) fn changed<T: Serialize>(
        &self,
        what: String,
        project: Uuid,
        before: &T,
        after: &T,
    ) -> AuditRecord {
        self.line(OK, what, Some(project), Some(json!({ "before": before, "after": after })))
    }

    /// Something is gone.
    pub(super) fn deleted<T: Serialize>(&self, what: String, project: Uuid, before: &T) -> AuditRecord {
        self.line(OK, what, Some(project), Some(json!({ "before": before })))
    }

    /// Any line.
    pub(super) fn line(
        &self,
        outcome: &str,
        resource: String,
        project_id: Option<Uuid>,
        detail: Option<Value>,
    ) -> AuditRecord {
        AuditRecord {
            id: Uuid::now_v7(),
            at: now(),
            actor: self.actor.clone(),
            request_id: self.request_id.to_string(),
            action: self.action.clone(),
            resource,
            project_id,
            outcome: outcome.into(),
            detail: detail.map(|detail| raw_json(&detail)),
        }
    }
}

fn actor(actor: &Actor) -> AuditActor {
    let id = (!actor.id.is_nil()).then_some(actor.id);
    AuditActor { kind: actor.kind.as_str().into(), id, name: actor.name.to_string() }
}

/// At most so many characters, without NUL, which PostgreSQL cannot keep.
pub(super) fn cut(text: &str, most: usize) -> String {
    text.chars().filter(|one| *one != '\0').take(most).collect()
}
