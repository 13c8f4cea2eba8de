//! What tenants want, as plan functions see it: from stored rows to the nodes that the plugin plans for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use uuid::Uuid;

use super::codec;
use super::error::StoreError;
use super::nodes::Node;
use crate::offer::Ties;
use crate::plan::{DesiredRow, DesiredTree, PlanError, Planned};
use crate::registry::{RegisteredType, Registry};
use crate::resource::Resource;
use crate::route::ObservedNode;
use crate::secret::KeyRing;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unplanned {
    /// It waits for the resource of that id.
    Blocked {
        /// Its id.
        on: Uuid,
        /// For people.
        message: String,
    },
    /// It waits for another spec.
    Refused {
        /// One word for programs.
        reason: &'static str,
        /// For people.
        message: String,
    },
}

/// What an instance has beside its rows and nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    /// Its bindings.
    pub(crate) ties: &'a Ties,
    /// Digests of the uploads that are there.
    pub(crate) uploads: &'a [String],
}

/// What the plugin of `root` wants for an instance and the rows below it, given by type in the order of
/// [`Registry::below`], that has these nodes and this beside.
pub(crate) fn wanted(
    registry: &Registry,
    keys: &KeyRing,
    root: &RegisteredType,
    instance: &Resource,
    children: &[Vec<Resource>],
    nodes: &[Node],
    beside: Beside<'_>,
) -> Result<Planned, Unplanned> {
    let Some(plan) = registry.plan(root.ty.slug) else { return Ok(Planned::default()) };
    let refused = |reason, message| Unplanned::Refused { reason, message };
    let mut tree = desired(registry, keys, root, instance, children, nodes)
        .map_err(|error| refused("Unreadable", error.to_string()))?;
    tree.ties = beside.ties.clone();
    tree.uploads = beside.uploads.to_vec();
    // A plugin's bug must not take the control plane with it.
    match catch_unwind(AssertUnwindSafe(|| plan(Arc::new(tree)))) {
        Ok(Ok(wanted)) => Ok(wanted),
        Ok(Err(PlanError::Blocked { on, message })) => Err(Unplanned::Blocked { on, message }),
        Ok(Err(PlanError::Unsatisfiable(message))) => Err(refused("Unsatisfiable", message)),
        Ok(Err(error @ PlanError::Field(_))) => Err(refused("Unreadable", error.to_string())),
        Err(_) => {
            tracing::error!(instance = %instance.meta.id, slug = root.ty.slug, "the plan function panicked");
            let message = "the plan function of the plugin panicked; the log has the details";
            Err(refused("Bug", message.into()))
        }
    }
}

/// The tree that plan functions see: rows on their way out, and all below them, stand apart.
pub(crate) fn desired(
    registry: &Registry,
    keys: &KeyRing,
    root: &RegisteredType,
    instance: &Resource,
    children: &[Vec<Resource>],
    nodes: &[Node],
) -> Result<DesiredTree, StoreError> {
    let mut leaving: Vec<Uuid> = Vec::new();
    let (mut kept, mut going) = (Vec::new(), Vec::new());
    for (registered, rows) in registry.below(root.index).zip(children) {
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for row in rows {
            if row.is_deleting() || leaving.contains(&row.meta.parent_id) {
                leaving.push(row.meta.id);
                go.push(desired_row(keys, row)?);
            } else {
                stay.push(desired_row(keys, row)?);
            }
        }
        kept.push((registered.ty, stay));
        going.push((registered.ty, go));
    }
    Ok(DesiredTree {
        instance: desired_row(keys, instance)?,
        children: kept,
        leaving: going,
        nodes: nodes.iter().map(observed).collect(),
        ties: Ties::default(),
        uploads: Vec::new(),
        settings: registry.settings(root),
    })
}

/// A node as plans and routes functions see it.
pub(crate) fn observed(node: &Node) -> ObservedNode {
    ObservedNode {
        id: node.id,
        place: node.place.clone(),
        address: node.address,
        port: node.port,
        health: node.health.clone(),
        is_current: node.applied_generation >= node.document_generation,
        message: node.message.clone(),
        facts: node.facts.clone(),
        is_leaving: node.deleting_at.is_some(),
        applied_generation: node.applied_generation,
    }
}

pub(crate) fn desired_row(keys: &KeyRing, row: &Resource) -> Result<DesiredRow, StoreError> {
    let fields = row.ty.fields.iter().zip(&row.fields);
    let spec = fields
        .map(|(field, datum)| {
            let value = codec::reveal(keys, row.ty, field, row.meta.id, datum)?;
            Ok((field.name.to_owned(), value))
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(DesiredRow { meta: row.into(), spec })
}
