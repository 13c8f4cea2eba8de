//! The answer to a dry run: the steps that a change will lead to, from the first to the last.
//!
//! The same planner decides as in a pass. Instead of acting, each step is taken to have worked, and the planner is asked
//! again, until it has nothing left to do.

use uuid::Uuid;

use super::desired::wanted;
use super::document::{digest, document};
use super::plan::{Disruption, Input, Observed, Policy, Step, StepAction, plan};
use super::summary::Obstacle;
use crate::offer::Ties;
use crate::plan::NodeSpec;
use crate::provider::NodeState;
use crate::resource::Resource;
use crate::store::desired::Beside;
use crate::store::{Node, Store, WouldBe, now};

/// Rounds of planning at the most. Replacing a node takes four: drain, delete, create, make.
const ROUNDS: usize = 16;

/// Plans an instance as it would be to the end. When the plugin cannot plan, the only step is to wait, and says why.
/// Nodes that are silent are taken to be well: the answer speaks of the change, not of what may be wrong besides.
pub fn forecast(store: &Store, would_be: &WouldBe) -> Vec<Step> {
    let instance = &would_be.instance;
    let Some(root) = store.registry().root(instance.ty.slug) else { return Vec::new() };
    let beside = Beside { ties: &Ties::default(), uploads: &[] };
    match wanted(store, root, instance, &would_be.children, &would_be.nodes, beside) {
        (Some(planned), _) => steps(instance, &planned.nodes, &would_be.nodes),
        (None, obstacle) => obstacle.into_iter().map(wait).collect(),
    }
}

fn wait(obstacle: Obstacle) -> Step {
    let reason = match obstacle {
        Obstacle::Terminal { reason, message } | Obstacle::Pending { reason, message } => {
            format!("{reason}: {message}")
        }
        Obstacle::Blocked { message, .. }
        | Obstacle::Throttled { message, .. }
        | Obstacle::Transient(message) => message,
    };
    Step {
        node: String::new(),
        action: StepAction::Wait,
        reason: reason.into(),
        disruption: Disruption::None,
        id: None,
    }
}

fn steps(instance: &Resource, wanted: &[NodeSpec], nodes: &[Node]) -> Vec<Step> {
    let now = now();
    let generation = instance.meta.generation;
    let digest_of = |spec: &NodeSpec| digest(generation, spec.port, &document(spec));
    let well = |node: Node| Observed { state: node.made.then_some(NodeState::Running), node, seen_at: now };
    let mut observed: Vec<Observed> = nodes.iter().cloned().map(well).collect();
    let mut steps = Vec::new();
    for _ in 0..ROUNDS {
        // What was told to go does so.
        for one in observed.iter_mut().filter(|one| one.node.deleting_at.is_some()) {
            one.node.removed = true;
        }
        let made = plan(&Input {
            wanted,
            generation,
            observed: &observed,
            digest: &digest_of,
            policy: Policy::default(),
            now,
        });
        if made.steps.is_empty() {
            break;
        }
        for step in made.steps {
            let spec = wanted.iter().find(|spec| spec.place == step.node);
            let node = observed.iter_mut().find(|one| Some(one.node.id) == step.id);
            match (step.action, node, spec) {
                (StepAction::Create, _, Some(spec)) => {
                    observed.push(well(new(instance, spec, digest_of(spec))))
                }
                (StepAction::Update, Some(one), Some(spec)) => {
                    one.node.document_generation = generation;
                    one.node.document_digest = digest_of(spec);
                }
                (StepAction::Ensure, Some(one), _) => {
                    one.node.made = true;
                    one.state = Some(NodeState::Running);
                }
                (StepAction::MarkSilent, Some(one), _) => one.node.health = "silent".into(),
                (StepAction::Drain, Some(one), _) => one.node.deleting_at = Some(now),
                (StepAction::Delete, Some(_), _) => observed.retain(|one| Some(one.node.id) != step.id),
                _ => {}
            }
            steps.push(step);
        }
    }
    steps
}

/// A node that was just decided on.
fn new(instance: &Resource, spec: &NodeSpec, document_digest: String) -> Node {
    Node {
        id: Uuid::now_v7(),
        instance_id: instance.meta.id,
        project_id: instance.meta.project_id,
        slug: instance.ty.slug.into(),
        place: spec.place.clone(),
        provider: String::new(),
        address: None,
        port: spec.port,
        location: None,
        made: false,
        document_generation: instance.meta.generation,
        document_digest,
        applied_generation: 0,
        health: "starting".into(),
        message: String::new(),
        facts: Default::default(),
        errors: Vec::new(),
        removed: false,
        last_seen_at: None,
        created_at: now(),
        deleting_at: None,
    }
}
