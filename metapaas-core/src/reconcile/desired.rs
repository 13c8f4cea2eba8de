//! What an instance is to have: its tree as plan functions see it, and what they answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use uuid::Uuid;

use super::summary::Obstacle;
use crate::plan::{DesiredMeta, DesiredRow, DesiredTree, NodeSpec, PlanError};
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::store::{Store, StoreError};

/// The nodes that the plugin wants, or why it cannot say.
pub(super) fn wanted(
    store: &Store,
    root: &RegisteredType,
    instance: &Resource,
    children: &[Vec<Resource>],
) -> (Option<Vec<NodeSpec>>, Option<Obstacle>) {
    if instance.is_deleting() {
        return (Some(Vec::new()), None);
    }
    let Some(plan) = store.registry().plan(root.ty.slug) else { return (Some(Vec::new()), None) };
    let terminal = |reason, message| (None, Some(Obstacle::Terminal { reason, message }));
    let tree = match desired(store, root, instance, children) {
        Ok(tree) => tree,
        Err(error) => return terminal("Unreadable", error.to_string()),
    };
    // A plugin's bug must not take the control plane with it.
    match catch_unwind(AssertUnwindSafe(|| plan(Arc::new(tree)))) {
        Ok(Ok(wanted)) => (Some(wanted), None),
        Ok(Err(PlanError::Blocked { on, message })) => (None, Some(Obstacle::Blocked { on, message })),
        Ok(Err(PlanError::Unsatisfiable(message))) => terminal("Unsatisfiable", message),
        Ok(Err(error @ PlanError::Field(_))) => terminal("Unreadable", error.to_string()),
        Err(_) => {
            tracing::error!(instance = %instance.meta.id, slug = root.ty.slug, "the plan function panicked");
            terminal("Bug", "the plan function of the plugin panicked; the log has the details".into())
        }
    }
}

/// The tree that plan functions see: rows on their way out, and all below them, are left out.
fn desired(
    store: &Store,
    root: &RegisteredType,
    instance: &Resource,
    children: &[Vec<Resource>],
) -> Result<DesiredTree, StoreError> {
    let mut leaving: Vec<Uuid> = Vec::new();
    let mut kept = Vec::new();
    for (registered, rows) in store.registry().below(root.index).zip(children) {
        let mut stay = Vec::new();
        for row in rows {
            if row.is_deleting() || leaving.contains(&row.meta.parent_id) {
                leaving.push(row.meta.id);
            } else {
                stay.push(desired_row(store, row)?);
            }
        }
        kept.push((registered.ty, stay));
    }
    Ok(DesiredTree { instance: desired_row(store, instance)?, children: kept })
}

fn desired_row(store: &Store, row: &Resource) -> Result<DesiredRow, StoreError> {
    let meta = &row.meta;
    Ok(DesiredRow {
        meta: DesiredMeta {
            id: meta.id,
            parent_id: meta.parent_id,
            project_id: meta.project_id,
            key: row.key(),
            version: meta.version.clone(),
            created_at: meta.created_at,
        },
        spec: store.reveal(row)?,
    })
}
