//! What an instance is to have, or what keeps its plugin from saying so.

use super::summary::Obstacle;
use crate::plan::Planned;
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::store::desired::{self, Beside, Unplanned};
use crate::store::{Node, Store};

/// What the plugin wants, or why it cannot say; both when it can and has a problem all the same.
pub(super) fn wanted(
    store: &Store,
    root: &RegisteredType,
    instance: &Resource,
    children: &[Vec<Resource>],
    nodes: &[Node],
    beside: Beside<'_>,
) -> (Option<Planned>, Option<Obstacle>) {
    if instance.is_deleting() {
        return (Some(Planned::default()), None);
    }
    match desired::wanted(store.registry(), store.keys(), root, instance, children, nodes, beside) {
        Ok(planned) => {
            let problem = planned.problem.clone();
            let obstacle = problem.map(|one| Obstacle::Terminal { reason: one.reason, message: one.message });
            let pending = planned.pending.clone();
            let pending = pending.map(|one| Obstacle::Pending { reason: one.reason, message: one.message });
            (Some(planned), obstacle.or(pending))
        }
        Err(Unplanned::Blocked { on, message }) => (None, Some(Obstacle::Blocked { on, message })),
        Err(Unplanned::Refused { reason, message }) => (None, Some(Obstacle::Terminal { reason, message })),
    }
}
