//! One pass over one instance: read, plan, act, and write what came of it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use metapaas_protocol::Health;
use serde_json::Value;
use uuid::Uuid;

use super::Reconciler;
use super::desired::wanted;
use super::document::{WireDocument, digest, document};
use super::plan::{Input, Observed, Plan, Step, StepAction, plan};
use super::rows::Made;
use super::summary::{self, Obstacle};
use crate::placement::PROVIDER_LABEL;
use crate::plan::{NodeSpec, Planned};
use crate::provider::{NodeRef, NodeRequest, Provider, ProviderError};
use crate::resource::Resource;
use crate::store::desired::Beside;
use crate::store::{Claim, Node, StoreError, now};

/// Rounds of plan and act in one pass. Creating takes three: decide, make, see that nothing is left.
const ROUNDS: usize = 5;

/// What a pass came to.
#[derive(Debug)]
pub(super) enum Passed {
    /// The instance is no more.
    Gone,
    /// Look again then, or when something changes.
    LookAgain(Option<DateTime<Utc>>),
    /// It did not work and is tried again with backoff.
    Retry(String),
    /// It did not work and is tried again after that long.
    RetryAfter(String, Duration),
    /// It waits for a change of the resource with that id.
    Blocked(String, Uuid),
    /// Another control plane has taken over; nothing of what this one thinks is worth writing.
    LeaseLost,
}

/// Why a step could not be taken.
pub(super) enum Failure {
    Store(StoreError),
    Provider(ProviderError),
    /// Somebody else took the place meanwhile.
    Lost,
    /// Another control plane took the work meanwhile.
    LeaseLost,
}

/// What carrying out a plan came to.
enum Carried {
    /// As far as the obstacle, if there is one.
    OutTo(Option<Obstacle>),
    /// Another control plane has the work now.
    Off,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl Reconciler {
    /// Brings the instance of a claim as far as it goes now.
    pub(super) async fn pass(&self, claim: &Claim) -> Result<Passed, StoreError> {
        let Some(root) = self.store.registry().root(&claim.slug) else {
            return Ok(Passed::Retry(format!("no plugin hosts the type `{}`", claim.slug)));
        };
        let Some((instance, children)) = self.store.tree(root, claim.resource_id).await? else {
            self.fail_operations(claim).await?;
            // One may have arrived while the instance went.
            self.store.forget_uploads(claim.resource_id).await?;
            return Ok(Passed::Gone);
        };
        let mut nodes = self.store.nodes(instance.meta.id).await?;
        // Plans see what nodes report of children before it is in their rows.
        let told: Vec<Vec<Resource>> =
            children.iter().map(|rows| rows.iter().map(|row| summary::told(row, &nodes)).collect()).collect();
        let found = self.ties(root, &instance).await?;
        let uploads = self.uploads(root, &instance).await?;
        let digests: Vec<String> = uploads.iter().map(|upload| upload.digest.clone()).collect();
        let beside = Beside { ties: &found.ties, uploads: &digests };
        let (planned, mut obstacle) = wanted(&self.store, root, &instance, &told, &nodes, beside);
        if let Some(planned) = &planned
            && (!planned.rows.is_empty() || !planned.gone.is_empty())
        {
            self.drop_rows(claim, root, &children, &planned.gone).await?;
            match self.make_rows(claim, root, &instance, &children, &planned.rows).await? {
                Made::Nothing => {}
                // The new rows are part of what is wanted.
                Made::Some => return Ok(Passed::LookAgain(Some(now()))),
                Made::Hindered(hindrance) => obstacle = Some(hindrance),
            }
        }
        let upload_goes_at = match &planned {
            Some(planned) => self.keep_uploads(claim, &uploads, &planned.uploads).await?,
            // What is needed is not known.
            None => None,
        };
        let mut look_again_at = None;
        for _ in 0..ROUNDS {
            let Some(wanted) = planned.as_ref().map(|planned| planned.nodes.as_slice()) else { break };
            let observed = self.observe(&nodes).await;
            let made = self.plan(&instance, wanted, &observed);
            look_again_at = made.look_again_at;
            if made.steps.is_empty() {
                break;
            }
            self.unroute(root, &instance, &children, &nodes, &drained(&made)).await?;
            let Carried::OutTo(held_up) = self.carry_out(claim, &instance, wanted, &nodes, &made).await?
            else {
                return Ok(Passed::LeaseLost);
            };
            nodes = self.store.nodes(instance.meta.id).await?;
            if held_up.is_some() {
                obstacle = held_up;
                break;
            }
        }
        if instance.is_deleting() && nodes.is_empty() {
            return self.remove_all(claim, &instance, &children).await;
        }
        let routed = self.route(root, &instance, &children, &nodes, &[]).await?;
        // Waiting goes on by itself; what keeps the routes from going on has to be told.
        obstacle = match (obstacle, routed.obstacle.clone()) {
            (None | Some(Obstacle::Pending { .. }), Some(routed)) => Some(routed),
            (own, _) => own,
        };
        let held_up = match &obstacle {
            Some(Obstacle::Transient(message)) => Some(Passed::Retry(message.clone())),
            Some(Obstacle::Throttled { message, retry_after }) => {
                Some(Passed::RetryAfter(message.clone(), *retry_after))
            }
            Some(Obstacle::Blocked { on, message }) => Some(Passed::Blocked(message.clone(), *on)),
            _ => None,
        };
        let mut planned = planned.unwrap_or_default();
        found.tell(&mut planned, &children);
        let policy = self.settings.policy;
        let (mut after, alarm) =
            summary::instance(&instance, &planned.nodes, &nodes, obstacle.as_ref(), policy, now());
        summary::set_outputs(&mut after, |name| planned.outputs.get(name));
        routed.show(&mut after);
        if routed.is_routed && after.meta.status == "ACTIVE" && instance.meta.status != "ACTIVE" {
            // Who reads ACTIVE and asks at the URL must get what ACTIVE is said of.
            self.routers_hear().await?;
        }
        // Who reads that the instance is ACTIVE, or why not, finds the rows below as they then are.
        self.children(claim, &after, &children, &nodes, &planned).await?;
        if summary::differs(&instance, &after) && !self.store.write_observed(claim, &instance, &after).await?
        {
            // The row changed under the pass: its change has made the work due already. Or the lease is lost, and what
            // is said of the work is not heard.
            return Ok(Passed::LookAgain(Some(now())));
        }
        if after.meta.status == "ACTIVE" {
            self.breaker.forget(instance.meta.id);
        }
        self.end_operations(claim, root, &after, &children, &nodes, &planned.errors).await?;
        if let Some(held_up) = held_up {
            return Ok(held_up);
        }
        let alarms = [look_again_at, alarm, found.look_again_at(), upload_goes_at];
        Ok(Passed::LookAgain(alarms.into_iter().flatten().min()))
    }

    async fn observe(&self, nodes: &[Node]) -> Vec<Observed> {
        let mut observed = Vec::with_capacity(nodes.len());
        for node in nodes {
            let state = match self.providers.get(node.provider.as_str()) {
                Some(provider) => provider.observe(&node_ref(node)).await.ok(),
                None => None,
            };
            let last = node.last_seen_at.unwrap_or(node.created_at);
            observed.push(Observed { node: node.clone(), state, seen_at: last.max(self.started_at) });
        }
        observed
    }

    fn plan(&self, instance: &Resource, wanted: &[NodeSpec], observed: &[Observed]) -> Plan {
        let generation = instance.meta.generation;
        plan(&Input {
            wanted,
            generation,
            observed,
            digest: &|spec| digest(generation, spec.port, &document(spec)),
            policy: self.settings.policy,
            now: now(),
        })
    }

    /// Takes the steps in order. A failure ends the round; what is done stays done.
    async fn carry_out(
        &self,
        claim: &Claim,
        instance: &Resource,
        wanted: &[NodeSpec],
        nodes: &[Node],
        plan: &Plan,
    ) -> Result<Carried, StoreError> {
        let names: Vec<String> =
            plan.steps.iter().map(|step| format!("{} {:?}", step.node, step.action)).collect();
        if let Some(report) = self.breaker.count(instance.meta.id, instance.meta.generation, &names) {
            tracing::warn!(instance = %instance.meta.id, %report, "breaker tripped");
            return Ok(Carried::OutTo(Some(Obstacle::Transient(report))));
        }
        for step in &plan.steps {
            tracing::info!(
                instance = %instance.meta.id, node = %step.node, action = ?step.action, reason = %step.reason, "step"
            );
            let obstacle = match self.take(claim, instance, wanted, nodes, step).await {
                Ok(()) => continue,
                Err(Failure::Store(error)) => return Err(error),
                Err(Failure::LeaseLost) => return Ok(Carried::Off),
                Err(Failure::Lost) if !self.store.holds_work(claim).await? => return Ok(Carried::Off),
                Err(Failure::Lost) => {
                    Obstacle::Transient(format!("the place {} was taken meanwhile", step.node))
                }
                Err(Failure::Provider(ProviderError::Terminal(message) | ProviderError::Taken(message))) => {
                    Obstacle::Terminal { reason: "ProviderRefused", message }
                }
                Err(Failure::Provider(ProviderError::Throttled { action, retry_after })) => {
                    Obstacle::Throttled { message: format!("{action}: asked too often"), retry_after }
                }
                Err(Failure::Provider(ProviderError::Transient { action, source })) => {
                    Obstacle::Transient(format!("{action}: {source}"))
                }
            };
            return Ok(Carried::OutTo(Some(obstacle)));
        }
        Ok(Carried::OutTo(None))
    }

    async fn take(
        &self,
        claim: &Claim,
        instance: &Resource,
        wanted: &[NodeSpec],
        nodes: &[Node],
        step: &Step,
    ) -> Result<(), Failure> {
        let spec = wanted.iter().find(|spec| spec.place == step.node);
        let node = nodes.iter().find(|node| Some(node.id) == step.id);
        match (step.action, node, spec) {
            (StepAction::Create, _, Some(spec)) => self.create(claim, instance, nodes, spec).await,
            (StepAction::Update, Some(node), Some(spec)) => {
                let mut node = node.clone();
                let wire = document(spec);
                node.document_generation = instance.meta.generation;
                node.document_digest = digest(instance.meta.generation, spec.port, &wire);
                under_lease(self.store.set_node_document(claim, &node, &text(&wire)).await?)?;
                // Limits may have changed with the rest.
                if node.made && !spec.resources.is_empty() {
                    self.ensure(claim, &node, spec).await?;
                }
                Ok(())
            }
            (StepAction::Ensure, Some(node), Some(spec)) => {
                under_lease(self.store.holds_work(claim).await?)?;
                self.ensure(claim, node, spec).await
            }
            (StepAction::MarkSilent, Some(node), _) => {
                let mut node = node.clone();
                node.health = "silent".into();
                node.message = "its agent has not reported for too long".into();
                // It may have reported meanwhile, which woke the instance.
                self.store.set_node_silent(claim, &node).await?;
                Ok(())
            }
            (StepAction::Drain, Some(node), _) => {
                let mut node = node.clone();
                let wire = WireDocument { removing: true, config: Value::Null };
                node.document_generation = node.document_generation.max(instance.meta.generation);
                node.document_digest = digest(node.document_generation, node.port, &wire);
                node.deleting_at = Some(now());
                under_lease(self.store.set_node_document(claim, &node, &text(&wire)).await?)?;
                under_lease(self.store.set_node_deleting(claim, &node).await?)
            }
            (StepAction::Delete, Some(node), _) => {
                // A node that was decided to go never stays, so it does not matter who removes it.
                self.provider(&node.provider)?.delete(&node_ref(node)).await?;
                Ok(self.store.delete_node(node.id).await?)
            }
            _ => Err(Failure::Lost),
        }
    }

    /// The row comes first: whatever is made for it can be found again after a crash.
    async fn create(
        &self,
        claim: &Claim,
        instance: &Resource,
        nodes: &[Node],
        spec: &NodeSpec,
    ) -> Result<(), Failure> {
        let provider = self.provider(&self.provider_of(instance, nodes)?)?;
        let id = Uuid::now_v7();
        let wire = document(spec);
        let node = Node {
            id,
            instance_id: instance.meta.id,
            project_id: instance.meta.project_id,
            slug: instance.ty.slug.into(),
            place: spec.place.clone(),
            provider: provider.name().into(),
            address: provider.address(id),
            port: spec.port,
            location: provider.location(id),
            made: false,
            document_generation: instance.meta.generation,
            document_digest: digest(instance.meta.generation, spec.port, &wire),
            applied_generation: 0,
            health: serde_json::to_value(Health::Starting)
                .ok()
                .and_then(|word| word.as_str().map(str::to_owned))
                .unwrap_or_default(),
            message: String::new(),
            facts: Default::default(),
            errors: Vec::new(),
            removed: false,
            last_seen_at: None,
            created_at: now(),
            deleting_at: None,
        };
        let is_made = self.store.insert_node(claim, &node, &text(&wire)).await?;
        if is_made { Ok(()) } else { Err(Failure::Lost) }
    }

    pub(super) async fn ensure(&self, claim: &Claim, node: &Node, spec: &NodeSpec) -> Result<(), Failure> {
        let request = self.node_request(node, spec.resources.clone());
        let provider = self.provider(&node.provider)?;
        let found = match provider.ensure(&request).await {
            Err(ProviderError::Taken(message)) if !node.made => {
                tracing::info!(node = %node.id, %message, "another node is made in its place");
                provider.delete(&node_ref(node)).await?;
                return Ok(self.store.delete_node(node.id).await?);
            }
            found => found?,
        };
        let mut node = node.clone();
        node.made = true;
        node.address = Some(found.address);
        node.location = Some(found.location);
        if self.store.set_node_made(claim, &node).await? {
            return Ok(());
        }
        // This control plane slept at the wrong moment: what it has just made is no longer wanted, or another's now.
        if self.store.node(node.id).await?.is_none() {
            provider.delete(&node_ref(&node)).await?;
        }
        Err(Failure::LeaseLost)
    }

    /// What the provider is told of a node.
    pub(super) fn node_request(&self, node: &Node, resources: BTreeMap<String, Value>) -> NodeRequest {
        NodeRequest {
            id: node.id,
            tag: self.settings.tag.clone(),
            location: node.location.clone(),
            token: self.settings.tokens.issue(node.id),
            endpoints: self.settings.endpoints.read().unwrap_or_else(PoisonError::into_inner).clone(),
            ca: self.settings.ca.clone(),
            resources,
        }
    }

    /// The one that the instance has chosen, the one of its other nodes, or what its project gets.
    fn provider_of(&self, instance: &Resource, nodes: &[Node]) -> Result<String, ProviderError> {
        let labels: BTreeMap<String, String> =
            serde_json::from_str(instance.meta.labels.get()).unwrap_or_default();
        let chosen = labels.get(PROVIDER_LABEL).or(nodes.first().map(|node| &node.provider)).cloned();
        chosen
            .or_else(|| self.placement.of_project(instance.meta.project_id).next().map(str::to_owned))
            .ok_or_else(|| ProviderError::Terminal("no provider is allowed for this project".to_owned()))
    }

    fn provider(&self, name: &str) -> Result<&Arc<dyn Provider>, ProviderError> {
        self.providers
            .get(name)
            .ok_or_else(|| ProviderError::Terminal(format!("the provider `{name}` is not configured here")))
    }

    /// Children follow their instance: they become active with it, and go when its nodes no longer hold them.
    async fn children(
        &self,
        claim: &Claim,
        instance: &Resource,
        children: &[Vec<Resource>],
        nodes: &[Node],
        planned: &Planned,
    ) -> Result<(), StoreError> {
        let errors: Vec<_> =
            nodes.iter().flat_map(|node| &node.errors).chain(&planned.errors).cloned().collect();
        let observed = instance.meta.observed_generation;
        let mut gone: Vec<&Resource> = Vec::new();
        for row in children.iter().flatten() {
            let waits = planned.waiting.get(&summary::item(row)).map(String::as_str);
            let leaves = row.is_deleting()
                && row.meta.held_generation <= observed
                && waits.is_none()
                // What a node cannot let go of is not gone.
                && summary::refusal(row, &errors).is_none();
            if leaves || gone.iter().any(|above| above.meta.id == row.meta.parent_id) {
                gone.push(row);
                continue;
            }
            let mut after = summary::child(&summary::told(row, nodes), observed, &errors, waits, now());
            let outputs = planned.outputs.get(&summary::item(row)).and_then(Value::as_object);
            summary::set_outputs(&mut after, |name| outputs?.get(name));
            if summary::differs(row, &after) {
                // A row that changed meanwhile is looked at in the pass that its change asked for.
                self.store.write_observed(claim, row, &after).await?;
            }
        }
        self.remove(gone.into_iter().rev().collect()).await
    }

    /// Removes rows. One that another of them refers to waits for that one.
    async fn remove(&self, mut rows: Vec<&Resource>) -> Result<(), StoreError> {
        loop {
            let mut later = Vec::new();
            let mut reason = None;
            for row in &rows {
                match self.store.remove(row).await {
                    Ok(()) => {}
                    Err(error @ StoreError::Reference { .. }) => {
                        later.push(*row);
                        reason = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            match reason {
                None => return Ok(()),
                Some(error) if later.len() == rows.len() => return Err(error),
                Some(_) => rows = later,
            }
        }
    }

    /// The end of a delete: rows below before the row above.
    async fn remove_all(
        &self,
        claim: &Claim,
        instance: &Resource,
        children: &[Vec<Resource>],
    ) -> Result<Passed, StoreError> {
        self.forget_ties(instance).await?;
        self.remove(children.iter().rev().flatten().chain([instance]).collect()).await?;
        self.fail_operations(claim).await?;
        self.store.forget_lines(instance.meta.id).await?;
        self.store.forget_uploads(instance.meta.id).await?;
        self.breaker.forget(instance.meta.id);
        Ok(Passed::Gone)
    }
}

/// The nodes that a plan lets go.
fn drained(plan: &Plan) -> Vec<Uuid> {
    let drains = plan.steps.iter().filter(|step| step.action == StepAction::Drain);
    drains.filter_map(|step| step.id).collect()
}

const fn under_lease(is_held: bool) -> Result<(), Failure> {
    if is_held { Ok(()) } else { Err(Failure::LeaseLost) }
}

fn text(document: &WireDocument) -> String {
    // A struct of a boolean and a JSON value always serialises.
    serde_json::to_string(document).unwrap_or_default()
}

fn node_ref(node: &Node) -> NodeRef {
    NodeRef { id: node.id, location: node.location.clone() }
}
