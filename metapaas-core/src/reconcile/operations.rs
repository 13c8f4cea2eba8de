//! What becomes of operations, decided in the pass that sees it: pure, and then written.

use std::collections::BTreeMap;

use metapaas_protocol::ItemError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Reconciler, summary};
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::status::Condition;
use crate::store::{Claim, Node, OperationRecord, OperationStatus, StoreError, now};

/// What a pass says of an operation.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    /// Its change, or a later one, is in force and the resource is active.
    Succeeded,
    /// It came to nothing; the error as a problem object.
    Failed(Value),
    /// It goes on.
    Underway,
}

/// Judges the operation that wanted generation `wanted` of `instance`, which is as this pass leaves it; `row` is the
/// resource that the operation is about, when it still is there.
fn verdict(wanted: i64, row: Option<&Resource>, instance: &Resource) -> Verdict {
    let Some(row) = row.filter(|row| !row.is_deleting() && !instance.is_deleting()) else {
        return Verdict::Failed(problem("Deleted", "the resource was deleted before the action was done"));
    };
    if row.meta.status == "ACTIVE" && instance.meta.observed_generation >= wanted {
        return Verdict::Succeeded;
    }
    // A row below waits for its instance, so what ends the one ends the other.
    match [row, instance].into_iter().find(|one| one.meta.status == "ERROR") {
        Some(broken) => {
            let conditions: Vec<Condition> =
                serde_json::from_str(broken.meta.conditions.get()).unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition.kind == "Ready");
            let (reason, message) =
                ready.map_or(("Error", ""), |ready| (ready.reason.as_str(), ready.message.as_str()));
            Verdict::Failed(problem(reason, message))
        }
        None => Verdict::Underway,
    }
}

/// As RFC 9457 has it, without a status: nothing was answered with it.
fn problem(reason: &str, detail: &str) -> Value {
    json!({
        "type": "urn:metapaas:error:OPERATION_FAILED",
        "title": "The operation failed",
        "code": "OPERATION_FAILED",
        "reason": reason,
        "detail": detail,
    })
}

impl Reconciler {
    /// Ends the operations that this pass has brought to their end. `instance` is as the pass leaves it.
    pub(super) async fn end_operations(
        &self,
        claim: &Claim,
        root: &RegisteredType,
        instance: &Resource,
        children: &[Vec<Resource>],
        nodes: &[Node],
        errors: &[ItemError],
    ) -> Result<(), StoreError> {
        let has_actions = |registered: &RegisteredType| !registered.actions.is_empty();
        if !has_actions(root) && !self.store.registry().below(root.index).any(has_actions) {
            return Ok(());
        }
        // A newer one came after the tree was read; it has made the work due again.
        let seen = instance.meta.generation;
        let mut unfinished = self.store.unfinished_operations(instance.meta.id).await?;
        unfinished.retain(|operation| operation.generation <= seen);
        if unfinished.is_empty() {
            return Ok(());
        }
        let errors: Vec<ItemError> =
            nodes.iter().flat_map(|node| &node.errors).chain(errors).cloned().collect();
        let below: BTreeMap<Uuid, &Resource> =
            children.iter().flatten().map(|row| (row.meta.id, row)).collect();
        let mut begins = false;
        for operation in &unfinished {
            let child = below
                .get(&operation.resource_id)
                .map(|row| summary::child(row, instance.meta.observed_generation, &errors, None, now()));
            let row = if operation.resource_id == instance.meta.id { Some(instance) } else { child.as_ref() };
            match verdict(operation.generation, row, instance) {
                Verdict::Succeeded => self.end(claim, operation, OperationStatus::Succeeded, None).await?,
                Verdict::Failed(error) => {
                    self.end(claim, operation, OperationStatus::Failed, Some(&error)).await?;
                }
                Verdict::Underway => begins |= operation.status == OperationStatus::Pending,
            }
        }
        if begins {
            self.store.run_operations(claim, seen).await?;
        }
        Ok(())
    }

    /// Ends all operations of an instance that is no more. Its work row goes after that, so that none is forgotten.
    pub(super) async fn fail_operations(&self, claim: &Claim) -> Result<(), StoreError> {
        for operation in self.store.unfinished_operations(claim.resource_id).await? {
            let error = problem("Deleted", "the resource was deleted before the action was done");
            self.end(claim, &operation, OperationStatus::Failed, Some(&error)).await?;
        }
        Ok(())
    }

    async fn end(
        &self,
        claim: &Claim,
        operation: &OperationRecord,
        status: OperationStatus,
        error: Option<&Value>,
    ) -> Result<(), StoreError> {
        if self.store.finish_operation(claim, operation, status, error).await? {
            tracing::info!(
                operation = %operation.id, instance = %operation.instance_id, action = operation.action,
                status = status.as_str(), "operation ended"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::__private::instance;
    use crate::descriptor::TypeDescriptor;
    use crate::resource::Meta;
    use crate::store::raw_json;

    static TYPE: TypeDescriptor = instance("Thing", "thing", "");

    fn row(status: &str, observed_generation: i64, deleting: bool) -> Resource {
        let now = now();
        let ready = json!([{ "type": "Ready", "status": "False", "reason": "Broken", "message": "why", "since": now }]);
        let meta = Meta {
            id: Uuid::nil(),
            project_id: Uuid::nil(),
            instance_id: Uuid::nil(),
            parent_id: Uuid::nil(),
            name: None,
            description: String::new(),
            version: String::new(),
            labels: raw_json(&json!({})),
            status: status.into(),
            conditions: raw_json(&ready),
            nodes: None,
            deletion_protection: false,
            generation: 3,
            observed_generation,
            held_generation: 3,
            revision: 1,
            created_at: now,
            updated_at: now,
            deleting_at: deleting.then_some(now),
        };
        Resource { ty: &TYPE, meta, fields: Vec::new() }
    }

    #[test]
    fn an_operation_ends_with_what_the_pass_found() {
        let check = |row: Option<&Resource>, instance: &Resource, expected: &str| {
            let found = match verdict(3, row, instance) {
                Verdict::Succeeded => "succeeded".to_owned(),
                Verdict::Failed(error) => format!("failed {}", error["reason"].as_str().unwrap()),
                Verdict::Underway => "underway".to_owned(),
            };
            assert_eq!(found, expected);
        };
        let active = row("ACTIVE", 3, false);
        check(Some(&active), &active, "succeeded");
        check(Some(&active), &row("ACTIVE", 4, false), "succeeded");
        check(Some(&active), &row("UPDATING", 2, false), "underway");
        check(Some(&row("UPDATING", 3, false)), &row("UPDATING", 3, false), "underway");
        check(Some(&row("ERROR", 3, false)), &active, "failed Broken");
        check(Some(&row("UPDATING", 2, false)), &row("ERROR", 2, false), "failed Broken");
        check(Some(&row("DELETING", 3, true)), &active, "failed Deleted");
        check(Some(&active), &row("DELETING", 3, true), "failed Deleted");
        check(None, &active, "failed Deleted");
    }
}
