//! The pure half: from what is wanted and what is there to the steps that lead from one to the other.
//!
//! No clock, no database, no provider: everything comes in as values, so a plan can be made for a dry run, tested by
//! table and repeated after a crash.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::plan::NodeSpec;
use crate::provider::NodeState;
use crate::store::Node;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// After this long without a report a node counts as silent.
    pub silence: Duration,
    /// After this long without becoming ready a resource's status turns ERROR; work on it goes on.
    pub progress: Duration,
    /// How long a node may take to carry out its removal before its provider deletes it anyway.
    pub removal: Duration,
    /// How long events are kept of types that do not say so themselves.
    pub events: Duration,
    /// How long answers to requests with an `Idempotency-Key` are kept, for those who send them again.
    pub answers: Duration,
    /// How long operations are kept that have ended.
    pub operations: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            progress: Duration::from_secs(300),
            removal: Duration::from_secs(15),
            events: Duration::from_secs(90 * 24 * 60 * 60),
            answers: Duration::from_secs(24 * 60 * 60),
            operations: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// A node as planning sees it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Its row.
    pub node: Node,
    /// What its provider says; `None` when it could not be asked.
    pub state: Option<NodeState>,
    /// Its last sign of life; the control plane's own start counts, so that it does not blame nodes for its absence.
    pub seen_at: DateTime<Utc>,
}

/// What planning looks at.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Nodes to have; none when the instance goes.
    pub wanted: &'a [NodeSpec],
    /// The instance's generation.
    pub generation: i64,
    /// Nodes that are there.
    pub observed: &'a [Observed],
    /// Hash of the document that a node would get.
    pub digest: &'a dyn Fn(&NodeSpec) -> String,
    /// How long things may take.
    pub policy: Policy,
    /// The time.
    pub now: DateTime<Utc>,
}

/// One thing to do. Doing it twice is the same as once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The node's place.
    pub node: String,
    /// What to do.
    pub action: StepAction,
    /// Why.
    pub reason: Cow<'static, str>,
    /// What users of the instance notice of it.
    pub disruption: Disruption,
    /// The node's id, where it has one already.
    #[serde(skip)]
    pub id: Option<Uuid>,
}

/// What can be done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepAction {
    /// Decide on a new node, with its document.
    Create,
    /// Have the provider make it, or start its agent again.
    Ensure,
    /// Give it a new document.
    Update,
    /// Note that it has been silent for too long.
    MarkSilent,
    /// Tell it to remove what it made.
    Drain,
    /// Have the provider delete it.
    Delete,
    /// Nothing can be done before something changes; only forecasts have it.
    Wait,
}

/// What users of an instance notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disruption {
    /// Nothing.
    None,
    /// The node's service may restart.
    Restart,
    /// The node's service goes away.
    Outage,
}

/// What to do now, and when to look again even if nothing happens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// The next deadline of something that is waited for.
    pub look_again_at: Option<DateTime<Utc>>,
}

/// Compares and decides.
pub fn plan(input: &Input<'_>) -> Plan {
    let mut plan = Plan::default();
    for spec in input.wanted {
        match input.observed.iter().find(|observed| observed.node.place == spec.place) {
            None => {
                plan.push(None, &spec.place, StepAction::Create, "no node in this place", Disruption::None)
            }
            // The place is free once the old node is gone.
            Some(observed) if observed.node.deleting_at.is_some() => {}
            Some(observed) => keep(&mut plan, input, spec, observed),
        }
    }
    for observed in input.observed {
        let wanted = input.wanted.iter().any(|spec| spec.place == observed.node.place);
        if observed.node.deleting_at.is_some() || !wanted {
            let_go(&mut plan, input, observed);
        }
    }
    plan
}

fn keep(plan: &mut Plan, input: &Input<'_>, spec: &NodeSpec, observed: &Observed) {
    let node = &observed.node;
    let id = Some(node.id);
    if node.document_generation < input.generation || node.document_digest != (input.digest)(spec) {
        let reason = "its document is not of this generation";
        plan.push(id, &node.place, StepAction::Update, reason, Disruption::Restart);
    }
    if !node.made {
        plan.push(id, &node.place, StepAction::Ensure, "its provider has not made it yet", Disruption::None);
    } else if matches!(observed.state, Some(NodeState::Gone)) {
        plan.push(
            id,
            &node.place,
            StepAction::Ensure,
            "its provider says that it is gone",
            Disruption::Outage,
        );
    } else if matches!(observed.state, Some(NodeState::Stopped)) {
        plan.push(id, &node.place, StepAction::Ensure, "its agent does not run", Disruption::None);
    }
    let silent_at = observed.seen_at + input.policy.silence;
    if silent_at <= input.now {
        if node.health != "silent" {
            plan.push(
                id,
                &node.place,
                StepAction::MarkSilent,
                "it has not reported for too long",
                Disruption::None,
            );
            // Perhaps it knows only control planes that are gone; its provider can tell it of this one.
            plan.push(
                id,
                &node.place,
                StepAction::Ensure,
                "it may not know this control plane",
                Disruption::None,
            );
        }
    } else {
        plan.look_again(silent_at, node.last_seen_at.is_none());
    }
}

fn let_go(plan: &mut Plan, input: &Input<'_>, observed: &Observed) {
    let node = &observed.node;
    let id = Some(node.id);
    let Some(since) = node.deleting_at else {
        plan.push(id, &node.place, StepAction::Drain, "no longer wanted", Disruption::Outage);
        return;
    };
    let deadline = since + input.policy.removal;
    let gone = matches!(observed.state, Some(NodeState::Gone | NodeState::Stopped));
    if node.removed || gone || deadline <= input.now {
        let reason = if node.removed { "it has removed what it made" } else { "it is gone or took too long" };
        plan.push(id, &node.place, StepAction::Delete, reason, Disruption::Outage);
    } else {
        plan.look_again(deadline, true);
    }
}

impl Plan {
    fn push(
        &mut self,
        id: Option<Uuid>,
        place: &str,
        action: StepAction,
        reason: &'static str,
        disruption: Disruption,
    ) {
        self.steps.push(Step { node: place.into(), action, reason: reason.into(), disruption, id });
    }

    /// Silence of nodes that have reported is noticed by the sweeper; only what has no other alarm sets one here.
    fn look_again(&mut self, at: DateTime<Utc>, has_no_other_alarm: bool) {
        if has_no_other_alarm {
            self.look_again_at = Some(self.look_again_at.map_or(at, |other| other.min(at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(place: &str) -> Node {
        Node {
            id: Uuid::now_v7(),
            instance_id: Uuid::nil(),
            project_id: Uuid::nil(),
            slug: "demo".into(),
            place: place.into(),
            provider: "process".into(),
            address: None,
            port: 8080,
            location: None,
            made: true,
            document_generation: 1,
            document_digest: "d".into(),
            applied_generation: 1,
            health: "healthy".into(),
            message: String::new(),
            facts: Default::default(),
            errors: Vec::new(),
            removed: false,
            last_seen_at: Some(start()),
            created_at: start(),
            deleting_at: None,
        }
    }

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    /// Places wanted, nodes there with their states, seconds since the start; the steps as `place action`.
    fn check(wanted: u32, there: Vec<(Node, NodeState)>, seconds: u64, expected: &[&str]) {
        let wanted = NodeSpec::replicas(wanted, "web", 8080, &json!({}));
        let observed: Vec<Observed> = there
            .into_iter()
            .map(|(node, state)| Observed {
                seen_at: node.last_seen_at.unwrap_or(start()),
                node,
                state: Some(state),
            })
            .collect();
        let input = Input {
            wanted: &wanted,
            generation: 1,
            observed: &observed,
            digest: &|_| "d".into(),
            policy: Policy::default(),
            now: start() + Duration::from_secs(seconds),
        };
        let once = plan(&input);
        assert_eq!(once, plan(&input), "same input, same plan");
        let steps: Vec<String> = once
            .steps
            .iter()
            .map(|step| {
                format!("{} {}", step.node, serde_json::to_value(step.action).unwrap().as_str().unwrap())
            })
            .collect();
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_converged_instance_needs_nothing() {
        check(1, vec![(node("web-0"), NodeState::Running)], 1, &[]);
    }

    #[test]
    fn missing_nodes_are_created_and_surplus_ones_drained() {
        check(2, vec![(node("web-0"), NodeState::Running)], 1, &["web-1 create"]);
        check(0, vec![(node("web-0"), NodeState::Running)], 1, &["web-0 drain"]);
    }

    #[test]
    fn a_decided_node_is_made_and_a_dead_agent_started() {
        check(1, vec![(Node { made: false, ..node("web-0") }, NodeState::Gone)], 1, &["web-0 ensure"]);
        check(1, vec![(node("web-0"), NodeState::Stopped)], 1, &["web-0 ensure"]);
        check(1, vec![(node("web-0"), NodeState::Gone)], 1, &["web-0 ensure"]);
    }

    #[test]
    fn an_old_document_is_replaced() {
        check(
            1,
            vec![(Node { document_generation: 0, ..node("web-0") }, NodeState::Running)],
            1,
            &["web-0 update"],
        );
        let other = Node { document_digest: "other".into(), ..node("web-0") };
        check(1, vec![(other, NodeState::Running)], 1, &["web-0 update"]);
    }

    #[test]
    fn silence_is_noted_once() {
        check(1, vec![(node("web-0"), NodeState::Running)], 31, &["web-0 mark_silent", "web-0 ensure"]);
        check(1, vec![(Node { health: "silent".into(), ..node("web-0") }, NodeState::Running)], 60, &[]);
    }

    #[test]
    fn a_drained_node_is_deleted_when_it_says_so_is_gone_or_takes_too_long() {
        let draining = || Node { deleting_at: Some(start()), ..node("web-0") };
        check(0, vec![(draining(), NodeState::Running)], 1, &[]);
        check(0, vec![(Node { removed: true, ..draining() }, NodeState::Running)], 1, &["web-0 delete"]);
        check(0, vec![(draining(), NodeState::Gone)], 1, &["web-0 delete"]);
        check(0, vec![(draining(), NodeState::Running)], 16, &["web-0 delete"]);
    }

    #[test]
    fn a_place_waits_for_its_old_node() {
        check(1, vec![(Node { deleting_at: Some(start()), ..node("web-0") }, NodeState::Running)], 1, &[]);
    }
}
