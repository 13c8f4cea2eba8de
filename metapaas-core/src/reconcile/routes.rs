//! Routes of an instance, settled at the end of a pass, and before nodes go that requests still reach.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::Reconciler;
use super::summary::Obstacle;
use crate::plan::DesiredTree;
use crate::plugin::RoutesFn;
use crate::registry::RegisteredType;
use crate::resource::{Datum, Resource};
use crate::route::{ObservedNode, Route, host_name};
use crate::store::routes::{RouteSet, Settled};
use crate::store::{Node, StoreError, desired};

/// How instances are reached from outside.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Labels of routes are names under this domain.
    pub base_domain: String,
    /// Ports that routes may lease.
    pub ports: RangeInclusive<u16>,
    /// The port that the router listens on, once it does.
    pub public_port: Arc<RwLock<Option<u16>>>,
    /// What routers have heard of.
    pub in_force: InForce,
    /// The time within which every router that runs hears of a change.
    pub notice: Duration,
}

/// The newest table that a router has in force, as far as this control plane was told: a router that asks for what
/// comes after a revision has put that one in force.
#[derive(Clone, Debug)]
pub struct InForce(watch::Sender<i64>);

impl Default for InForce {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl InForce {
    /// A router has that revision.
    pub(crate) fn tell(&self, revision: i64) {
        self.0.send_if_modified(|newest| {
            let is_news = revision > *newest;
            *newest = revision.max(*newest);
            is_news
        });
    }

    /// Returns once a router has that revision, or `longest` has passed: a router that is down serves nobody, so what
    /// it has not heard of misleads nobody.
    pub(crate) async fn reach(&self, revision: i64, longest: Duration) {
        let mut told = self.0.subscribe();
        // Neither end needs anything done: whoever waits goes on.
        let _ = timeout(longest, told.wait_for(|newest| *newest >= revision)).await;
    }
}

impl Routing {
    /// The URL of a host name.
    pub fn url(&self, host: &str) -> Option<String> {
        let port = *self.public_port.read().unwrap_or_else(PoisonError::into_inner);
        port.map(|port| if port == 80 { format!("http://{host}") } else { format!("http://{host}:{port}") })
    }
}

/// What the routes of an instance came to.
#[derive(Debug, Default)]
pub(super) struct Routed {
    /// Whether it has any.
    pub(super) is_routed: bool,
    /// What is in the way of a route.
    pub(super) obstacle: Option<Obstacle>,
    /// Whether a backend was taken away or added.
    is_changed: bool,
    /// Values for output fields.
    outputs: Vec<(&'static str, Value)>,
}

impl Routed {
    /// Fills in the output fields.
    pub(super) fn show(&self, instance: &mut Resource) {
        for (field, datum) in instance.ty.fields.iter().zip(&mut instance.fields) {
            let shown = self.outputs.iter().find(|(name, _)| *name == field.name && field.output);
            if let Some((_, value)) = shown {
                *datum = Datum::Written(value.clone());
            }
        }
    }
}

impl Reconciler {
    /// Takes nodes that are about to go off the routes, and gives routers the time to hear of it.
    pub(super) async fn unroute(
        &self,
        root: &RegisteredType,
        instance: &Resource,
        children: &[Vec<Resource>],
        nodes: &[Node],
        leaving: &[Uuid],
    ) -> Result<(), StoreError> {
        let Some(routing) = self.settings.routing.as_ref().filter(|_| !leaving.is_empty()) else {
            return Ok(());
        };
        if self.route(root, instance, children, nodes, leaving).await?.is_changed {
            // The whole time: what a router has begun there is to end as well.
            tokio::time::sleep(routing.notice).await;
        }
        Ok(())
    }

    /// Returns once routers have what the routes are now.
    pub(super) async fn routers_hear(&self) -> Result<(), StoreError> {
        let Some(routing) = &self.settings.routing else { return Ok(()) };
        let control_planes = self.settings.endpoints.read().unwrap_or_else(PoisonError::into_inner).len();
        if control_planes > 1 {
            // Their routers ask them, and what they were told is not known here.
            tokio::time::sleep(routing.notice).await;
        } else {
            routing.in_force.reach(self.store.routes_revision().await?, routing.notice).await;
        }
        Ok(())
    }

    /// Settles the routes of an instance; nodes in `leaving` count as gone.
    pub(super) async fn route(
        &self,
        root: &RegisteredType,
        instance: &Resource,
        children: &[Vec<Resource>],
        nodes: &[Node],
        leaving: &[Uuid],
    ) -> Result<Routed, StoreError> {
        let (Some(routing), Some(routes)) =
            (&self.settings.routing, self.store.registry().routes(root.ty.slug))
        else {
            return Ok(Routed::default());
        };
        let nodes: Vec<ObservedNode> = nodes.iter().map(|node| observed(node, leaving)).collect();
        let wanted = if instance.is_deleting() {
            Vec::new()
        } else {
            match self.wanted_routes(routes, root, instance, children, &nodes) {
                Ok(wanted) => wanted,
                Err(obstacle) => return Ok(Routed { obstacle: Some(obstacle), ..Routed::default() }),
            }
        };
        let (before, leased) = self.store.routes_of(instance.meta.id).await?;
        let set = match set(routing, &wanted, &before, &nodes) {
            Ok(set) => set,
            Err(obstacle) => return Ok(Routed { obstacle: Some(obstacle), ..Routed::default() }),
        };
        let settled = if set == before {
            leased
        } else {
            let (id, range) = (instance.meta.id, routing.ports.clone());
            let settled = self.store.settle_routes(id, &before, leased.ports, &set, range).await?;
            if before.hosts.keys().any(|host| !set.hosts.contains_key(host)) {
                self.store.wake_waiting(id).await?;
            }
            settled
        };
        Ok(Routed {
            obstacle: obstacle(routing, &wanted, &settled),
            is_routed: !wanted.is_empty(),
            is_changed: settled.is_changed,
            outputs: outputs(routing, &wanted, &settled),
        })
    }

    fn wanted_routes(
        &self,
        routes: &RoutesFn,
        root: &RegisteredType,
        instance: &Resource,
        children: &[Vec<Resource>],
        nodes: &[ObservedNode],
    ) -> Result<Vec<Route>, Obstacle> {
        let refused = |reason, message| Obstacle::Terminal { reason, message };
        let (registry, keys) = (self.store.registry(), self.store.keys());
        let tree = desired::desired(registry, keys, root, instance, children, &[])
            .map_err(|error| refused("Unreadable", error.to_string()))?;
        let tree = DesiredTree { nodes: nodes.to_vec(), ..tree };
        // A plugin's bug must not take the control plane with it.
        match catch_unwind(AssertUnwindSafe(|| routes(Arc::new(tree), nodes))) {
            Ok(Ok(wanted)) => Ok(wanted),
            Ok(Err(error)) => Err(refused("Unreadable", error.to_string())),
            Err(_) => {
                tracing::error!(instance = %instance.meta.id, slug = root.ty.slug, "the routes function panicked");
                let message = "the routes function of the plugin panicked; the log has the details";
                Err(refused("Bug", message.into()))
            }
        }
    }
}

fn observed(node: &Node, leaving: &[Uuid]) -> ObservedNode {
    let seen = desired::observed(node);
    ObservedNode { is_leaving: seen.is_leaving || leaving.contains(&node.id), ..seen }
}

/// What the routes are in the tables.
fn set(
    routing: &Routing,
    wanted: &[Route],
    before: &RouteSet,
    nodes: &[ObservedNode],
) -> Result<RouteSet, Obstacle> {
    let mut set = RouteSet::default();
    for route in wanted {
        for host in hosts(routing, route)? {
            let had = before.hosts.get(&host).map(|(_, backends)| backends.as_slice());
            let backends = kept(&route.backends, had.unwrap_or_default(), nodes);
            set.hosts.insert(host, (route.name.clone(), backends));
        }
        if route.has_port {
            let had = before.ports.get(&route.name).map(Vec::as_slice);
            set.ports.insert(route.name.clone(), kept(&route.backends, had.unwrap_or_default(), nodes));
        }
    }
    Ok(set)
}

/// The backends, sorted. A route whose backends all look ill keeps those it had while their nodes are there: what a
/// node says of itself is seconds old, and a router finds out for itself whom it can reach.
fn kept(wanted: &[SocketAddr], had: &[SocketAddr], nodes: &[ObservedNode]) -> Vec<SocketAddr> {
    let stays = |backend: &&SocketAddr| {
        nodes.iter().any(|node| !node.is_leaving && node.address == Some(backend.ip()))
    };
    let mut backends: Vec<SocketAddr> =
        if wanted.is_empty() { had.iter().filter(stays).copied().collect() } else { wanted.to_vec() };
    backends.sort_unstable();
    backends.dedup();
    backends
}

/// Whole host names of a route.
fn hosts(routing: &Routing, route: &Route) -> Result<Vec<String>, Obstacle> {
    let labelled = route.label.iter().map(|label| format!("{label}.{}", routing.base_domain));
    labelled
        .chain(route.domains.iter().cloned())
        .map(|host| {
            host_name(&host).ok_or_else(|| Obstacle::Terminal {
                reason: "InvalidHost",
                message: format!("{host:?} cannot be a host name"),
            })
        })
        .collect()
}

fn obstacle(routing: &Routing, wanted: &[Route], settled: &Settled) -> Option<Obstacle> {
    if let Some((host, holder)) = settled.taken.first() {
        let message = format!(
            "the host name {host} is taken by another instance; it is free when that one gives it up"
        );
        return Some(Obstacle::Blocked { on: *holder, message });
    }
    let without = wanted.iter().find(|route| route.has_port && !settled.ports.contains_key(&route.name))?;
    let (first, last) = (routing.ports.start(), routing.ports.end());
    let message = format!("no port from {first} to {last} is free for the route {}", without.name);
    Some(Obstacle::Transient(message))
}

fn outputs(routing: &Routing, wanted: &[Route], settled: &Settled) -> Vec<(&'static str, Value)> {
    let mut outputs = BTreeMap::new();
    for route in wanted {
        let is_taken = |host: &String| settled.taken.iter().any(|(taken, _)| taken == host);
        let hosts = hosts(routing, route).unwrap_or_default();
        let url = hosts.iter().find(|host| !is_taken(host)).and_then(|host| routing.url(host));
        if let (Some(field), Some(url)) = (route.url_field, url) {
            outputs.insert(field, Value::String(url));
        }
        if let (Some(field), Some(port)) = (route.port_field, settled.ports.get(&route.name)) {
            outputs.insert(field, Value::from(*port));
        }
    }
    outputs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(last: u8, is_leaving: bool) -> ObservedNode {
        ObservedNode {
            id: Uuid::nil(),
            place: "web-0".into(),
            address: Some([127, 64, 0, last].into()),
            port: 80,
            health: "unhealthy".into(),
            message: String::new(),
            is_leaving,
            is_current: true,
            applied_generation: 1,
            facts: BTreeMap::new(),
        }
    }

    #[test]
    fn a_route_keeps_its_backends_while_all_of_its_nodes_look_ill() {
        let at = |last: u8| SocketAddr::from(([127, 64, 0, last], 80));
        let nodes = [node(1, false), node(2, true)];
        assert_eq!(kept(&[], &[at(1), at(2), at(3)], &nodes), [at(1)]);
        assert_eq!(kept(&[at(9), at(4), at(9)], &[at(1)], &nodes), [at(4), at(9)]);
    }

    #[test]
    fn a_url_has_the_port_of_the_router() {
        let routing = |port| Routing {
            in_force: InForce::default(),
            base_domain: "localhost".into(),
            ports: 1..=2,
            public_port: Arc::new(RwLock::new(port)),
            notice: Duration::ZERO,
        };
        assert_eq!(routing(Some(7490)).url("a.localhost").as_deref(), Some("http://a.localhost:7490"));
        assert_eq!(routing(Some(80)).url("a.localhost").as_deref(), Some("http://a.localhost"));
        assert_eq!(routing(None).url("a.localhost"), None);
    }

    #[tokio::test]
    async fn a_table_is_waited_for_until_a_router_has_it_and_no_longer_than_said() {
        let in_force = InForce::default();
        let long = Duration::from_secs(600);
        in_force.reach(0, long).await;
        let waits = tokio::spawn({
            let in_force = in_force.clone();
            async move { in_force.reach(3, long).await }
        });
        for revision in [2, 1] {
            tokio::task::yield_now().await;
            in_force.tell(revision);
        }
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        in_force.tell(4);
        waits.await.unwrap();
        // One that went back to a table of before has had the newer one.
        in_force.tell(1);
        in_force.reach(4, long).await;
        in_force.reach(5, Duration::ZERO).await;
    }
}
