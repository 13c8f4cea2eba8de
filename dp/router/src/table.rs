//! What leads where: [`Table`], made from what control planes send, and the choice of a node.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::pool::Backend;

/// The table as it goes over the wire and onto the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireTable {
    /// Raised by every change.
    pub revision: i64,
    /// One entry for each route.
    pub routes: Vec<WireRoute>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireRoute {
    /// The instance it leads to.
    pub instance: Uuid,
    /// Its name in the instance.
    pub name: String,
    /// Its host names.
    pub hosts: Vec<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Where requests go.
    pub backends: Vec<SocketAddr>,
}

/// A route with its nodes.
#[derive(Debug)]
pub struct Route {
    /// The instance, for the access log.
    pub instance: Uuid,
    backends: Vec<Arc<Backend>>,
    next: AtomicUsize,
}

impl Route {
    /// Whether there is any node behind it.
    pub fn is_empty(&self) -> bool {
        self.backends.is_empty()
    }

    /// The node with the fewest requests under way, in turns among equals. Nodes that just refused a connection come
    /// last; those in `tried` not at all.
    pub fn choose(&self, tried: &[SocketAddr]) -> Option<Arc<Backend>> {
        let count = self.backends.len();
        let first = if count > 1 { self.next.fetch_add(1, Ordering::Relaxed) } else { 0 };
        (0..count)
            .map(|step| &self.backends[(first.wrapping_add(step)) % count])
            .filter(|backend| !tried.contains(&backend.address()))
            .min_by_key(|backend| (backend.is_failing(), backend.in_flight()))
            .cloned()
    }
}

/// All routes.
#[derive(Debug, Default)]
pub struct Table {
    /// Of the change that it holds.
    pub revision: i64,
    hosts: HashMap<String, Arc<Route>>,
    ports: HashMap<u16, Arc<Route>>,
    backends: HashMap<SocketAddr, Arc<Backend>>,
}

impl Table {
    /// The table that follows this one. Nodes that are in both keep their connections.
    #[must_use]
    pub fn next(&self, wire: &WireTable) -> Self {
        let mut table = Self { revision: wire.revision, ..Self::default() };
        for route in &wire.routes {
            let mut backends = Vec::with_capacity(route.backends.len());
            for address in &route.backends {
                let known = table.backends.get(address).or_else(|| self.backends.get(address)).cloned();
                let backend = known.unwrap_or_else(|| Arc::new(Backend::new(*address)));
                table.backends.insert(*address, backend.clone());
                backends.push(backend);
            }
            let made = Arc::new(Route { instance: route.instance, backends, next: AtomicUsize::default() });
            for host in &route.hosts {
                table.hosts.insert(host.clone(), made.clone());
            }
            if let Some(port) = route.port {
                table.ports.insert(port, made);
            }
        }
        table
    }

    /// The route of a host name, which is in lower case.
    pub fn by_host(&self, host: &str) -> Option<&Arc<Route>> {
        self.hosts.get(host)
    }

    /// The route of a leased port.
    pub fn by_port(&self, port: u16) -> Option<&Arc<Route>> {
        self.ports.get(&port)
    }

    /// All leased ports.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.keys().copied()
    }

    /// Lets connections go that have been idle for long.
    pub fn sweep(&self) {
        for backend in self.backends.values() {
            backend.sweep();
        }
    }

    /// Host names, leased ports and nodes, for the metrics.
    pub fn sizes(&self) -> [usize; 3] {
        [self.hosts.len(), self.ports.len(), self.backends.len()]
    }
}

/// The table in force. Requests hold the one that they began with.
#[derive(Debug, Default)]
pub struct Current(RwLock<Arc<Table>>);

impl Current {
    /// The table.
    pub fn get(&self) -> Arc<Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts the next one in force.
    pub fn put(&self, wire: &WireTable) {
        let next = self.get().next(wire);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        ([127, 0, 0, last], 80).into()
    }

    fn wire(revision: i64, backends: &[u8]) -> WireTable {
        WireTable {
            revision,
            routes: vec![WireRoute {
                instance: Uuid::nil(),
                name: "web".into(),
                hosts: vec!["a.localhost".into()],
                port: Some(20_000),
                backends: backends.iter().copied().map(at).collect(),
            }],
        }
    }

    #[test]
    fn nodes_take_turns_and_a_busy_one_is_spared() {
        let table = Table::default().next(&wire(1, &[1, 2]));
        let route = table.by_host("a.localhost").unwrap();
        let first = route.choose(&[]).unwrap().address();
        let second = route.choose(&[]).unwrap().address();
        assert_ne!(first, second);
        let busy = table.backends[&at(1)].enter(0);
        assert!((0..4).all(|_| route.choose(&[]).unwrap().address() == at(2)));
        drop(busy);
        assert_eq!(route.choose(&[at(2)]).unwrap().address(), at(1));
        assert!(route.choose(&[at(1), at(2)]).is_none());
    }

    #[test]
    fn a_node_that_stays_keeps_its_connections() {
        let before = Table::default().next(&wire(1, &[1, 2]));
        let after = before.next(&wire(2, &[2, 3]));
        assert!(Arc::ptr_eq(&before.backends[&at(2)], &after.backends[&at(2)]));
        assert!(!after.backends.contains_key(&at(1)));
        assert!(after.by_port(20_000).is_some() && after.by_host("b.localhost").is_none());
    }
}
