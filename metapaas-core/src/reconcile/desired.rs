//! What an instance is to have, or what keeps its plugin from saying so.

use super::summary::Obstacle;
use crate::plan::NodeSpec;
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::store::Store;
use crate::store::desired::{self, Unplanned};

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
    match desired::wanted(store.registry(), store.keys(), root, instance, children) {
        Ok(wanted) => (Some(wanted), None),
        Err(Unplanned::Blocked { on, message }) => (None, Some(Obstacle::Blocked { on, message })),
        Err(Unplanned::Refused { reason, message }) => (None, Some(Obstacle::Terminal { reason, message })),
    }
}
