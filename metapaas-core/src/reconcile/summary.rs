//! Status out of observation, as pure functions: of an instance from its nodes, of a child from its instance.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metapaas_protocol::ItemError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::Policy;
use crate::plan::NodeSpec;
use crate::resource::{Datum, Resource};
use crate::status::{Condition, Ready, Status};
use crate::store::{Node, raw_json};
use crate::validate::canonical;

/// What kept the reconciler from going on, when something did.
#[derive(Clone, Debug)]
pub enum Obstacle {
    /// It is tried again.
    Transient(String),
    /// It is tried again after that long: somebody asked for patience.
    Throttled {
        /// For people.
        message: String,
        /// How long.
        retry_after: Duration,
    },
    /// It waits for a change of another resource.
    Blocked {
        /// Its id.
        on: Uuid,
        /// For people.
        message: String,
    },
    /// It goes on by itself and is not there yet.
    Pending {
        /// One word for programs.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// It waits for a new generation.
    Terminal {
        /// One word for programs.
        reason: &'static str,
        /// For people.
        message: String,
    },
}

/// The instance with status, conditions, nodes, outputs and observed generation as they are now, and when its
/// status may change by time alone.
pub fn instance(
    before: &Resource,
    wanted: &[NodeSpec],
    nodes: &[Node],
    obstacle: Option<&Obstacle>,
    policy: Policy,
    now: DateTime<Utc>,
) -> (Resource, Option<DateTime<Utc>>) {
    let mut after = before.clone();
    let meta = &mut after.meta;
    let live: Vec<&Node> = nodes.iter().filter(|node| node.deleting_at.is_none()).collect();
    let all_there = wanted.iter().all(|spec| live.iter().any(|node| node.place == spec.place));
    let applied = live.iter().map(|node| node.applied_generation).min().unwrap_or(meta.generation);
    if !before.is_deleting() && all_there && obstacle.is_none() {
        meta.observed_generation = meta.observed_generation.max(applied.min(meta.generation));
    }
    let ready = readiness(before, wanted, &live, nodes, obstacle);
    let conditions: Vec<Condition> = serde_json::from_str(meta.conditions.get()).unwrap_or_default();
    let mut condition = Condition::ready(ready.clone(), &conditions, now);
    let mut alarm = None;
    let status = match (&ready, obstacle) {
        _ if before.is_deleting() => Status::Deleting,
        (Ready::Yes, _) => Status::Active,
        (_, Some(Obstacle::Terminal { .. })) => Status::Error,
        _ => {
            // The clock runs from when it was last ready.
            let deadline = condition.since + policy.progress;
            if deadline <= now {
                condition.message = format!(
                    "{} (for more than {})",
                    condition.message,
                    humantime::format_duration(Duration::from_secs(policy.progress.as_secs()))
                );
                Status::Error
            } else {
                alarm = Some(deadline);
                let worked_once = conditions.iter().any(|one| one.kind == "Ready" && one.status == "True")
                    || matches!(before.meta.status.as_str(), "UPDATING" | "ACTIVE")
                    || before.meta.observed_generation > 0;
                if worked_once { Status::Updating } else { Status::Creating }
            }
        }
    };
    meta.status = status.as_str().into();
    meta.conditions = raw_json(&[condition]);
    meta.nodes =
        Some(raw_json(&nodes.iter().map(|node| node_view(node, before.meta.generation)).collect::<Vec<_>>()));
    set_outputs(&mut after, |name| live.iter().find_map(|node| node.facts.get(name)));
    (after, alarm)
}

fn readiness(
    before: &Resource,
    wanted: &[NodeSpec],
    live: &[&Node],
    nodes: &[Node],
    obstacle: Option<&Obstacle>,
) -> Ready {
    if before.is_deleting() {
        return Ready::no("Deleting", format!("{} nodes left", nodes.len()));
    }
    match obstacle {
        Some(Obstacle::Terminal { reason, message }) => return Ready::no(*reason, message.clone()),
        Some(Obstacle::Transient(message)) => return Ready::no("Retrying", message.clone()),
        Some(Obstacle::Throttled { message, .. }) => return Ready::no("Throttled", message.clone()),
        Some(Obstacle::Blocked { message, .. }) => return Ready::no("Blocked", message.clone()),
        // What nodes say of it is nearer to the point.
        Some(Obstacle::Pending { .. }) | None => {}
    }
    let generation = before.meta.generation;
    let works = |node: &&&Node| node.applied_generation >= generation && node.health == "healthy";
    let working = live.iter().filter(works).count();
    let surplus = nodes.len() - live.len() + live.len().saturating_sub(wanted.len());
    if working == wanted.len() && live.len() == wanted.len() && surplus == 0 {
        return match obstacle {
            Some(Obstacle::Pending { reason, message }) => Ready::no(*reason, message.clone()),
            _ => Ready::Yes,
        };
    }
    if let Some(node) = live.iter().find(|node| !matches!(node.health.as_str(), "healthy" | "starting")) {
        let reason = if node.health == "silent" { "NodeSilent" } else { "NodeUnhealthy" };
        return Ready::no(reason, format!("node {}: {}", node.place, node.message));
    }
    if working < wanted.len() {
        let waiting =
            live.iter().find(|node| !works(node)).map(|node| node.message.as_str()).unwrap_or_default();
        let detail = if waiting.is_empty() { String::new() } else { format!("; {waiting}") };
        return Ready::no("NodesStarting", format!("{working} of {} nodes{detail}", wanted.len()));
    }
    Ready::no("NodesStopping", format!("{surplus} nodes have yet to go"))
}

fn node_view(node: &Node, generation: i64) -> Value {
    let status = match node.health.as_str() {
        _ if node.deleting_at.is_some() => "DELETING",
        "healthy" if node.applied_generation >= generation => "ACTIVE",
        "healthy" => "UPDATING",
        "silent" | "unhealthy" => "ERROR",
        _ => "CREATING",
    };
    json!({
        "id": node.id, "place": node.place, "ip": node.address, "port": node.port,
        "provider": node.provider, "status": status,
        "message": node.message,
    })
}

/// Sets output fields to the values of that name. A value that is not of the field's kind changes nothing.
pub fn set_outputs<'a>(row: &mut Resource, value: impl Fn(&str) -> Option<&'a Value>) {
    for (field, datum) in row.ty.fields.iter().zip(&mut row.fields) {
        if !field.output || field.is_secret() {
            continue;
        }
        match value(field.name) {
            None => {}
            Some(Value::Null) => *datum = Datum::Null,
            Some(value) => {
                let mut problems = Vec::new();
                let value = canonical(&field.kind, value, "", &mut problems);
                if problems.is_empty() {
                    *datum = Datum::Written(value);
                }
            }
        }
    }
}

/// How facts, outputs and errors name a child.
pub fn item(row: &Resource) -> String {
    format!("{}/{}", row.ty.plural, row.key())
}

/// A child with the values that nodes report for its output fields: the first node that reports on it wins.
pub fn told(row: &Resource, nodes: &[Node]) -> Resource {
    let mut told = row.clone();
    if row.ty.fields.iter().any(|field| field.output) {
        let item = item(row);
        let live = nodes.iter().filter(|node| node.deleting_at.is_none());
        let facts = live.filter_map(|node| node.facts.get(&item)?.as_object()).next();
        set_outputs(&mut told, |name| facts?.get(name));
    }
    told
}

/// A child as it is now that its instance has `observed` in force and its nodes refused `errors`. With `waits` it waits
/// for something else besides.
pub fn child(
    before: &Resource,
    observed: i64,
    errors: &[ItemError],
    waits: Option<&str>,
    now: DateTime<Utc>,
) -> Resource {
    let mut after = before.clone();
    let is_held = before.meta.held_generation <= observed;
    let in_force = is_held && waits.is_none();
    let refusal = refusal(before, errors).filter(|_| is_held);
    let (status, ready) = match refusal {
        Some(error) if before.is_deleting() => {
            (Status::Deleting, Ready::no(error.code.clone(), error.message.clone()))
        }
        _ if before.is_deleting() => {
            (Status::Deleting, Ready::no("Deleting", waits.unwrap_or("a node still has it")))
        }
        Some(error) => (Status::Error, Ready::no(error.code.clone(), error.message.clone())),
        None if in_force => (Status::Active, Ready::Yes),
        None => {
            let status =
                if before.meta.observed_generation > 0 { Status::Updating } else { Status::Creating };
            let reason = match waits.filter(|_| is_held) {
                Some(why) => Ready::no("Waiting", why),
                None => Ready::no("NotApplied", "not every node has it yet"),
            };
            (status, reason)
        }
    };
    let conditions: Vec<Condition> = serde_json::from_str(before.meta.conditions.get()).unwrap_or_default();
    after.meta.status = status.as_str().into();
    after.meta.conditions = raw_json(&[Condition::ready(ready, &conditions, now)]);
    if in_force {
        after.meta.observed_generation = before.meta.generation;
    }
    after
}

/// What a node says against a row.
pub fn refusal<'a>(row: &Resource, errors: &'a [ItemError]) -> Option<&'a ItemError> {
    let item = item(row);
    errors.iter().find(|error| error.item == item)
}

/// Whether what is shown of the two differs, the times aside.
pub fn differs(before: &Resource, after: &Resource) -> bool {
    let outputs = |row: &Resource| -> Vec<Value> {
        let fields = row.ty.fields.iter().zip(&row.fields);
        fields.filter(|(field, _)| field.output).map(|(_, datum)| datum.to_json()).collect()
    };
    let json =
        |raw: &serde_json::value::RawValue| serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
    before.meta.status != after.meta.status
        || before.meta.observed_generation != after.meta.observed_generation
        || json(&before.meta.conditions) != json(&after.meta.conditions)
        || before.meta.nodes.as_deref().map(json) != after.meta.nodes.as_deref().map(json)
        || outputs(before) != outputs(after)
}
