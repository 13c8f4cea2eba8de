//! [`Route`]: how the outside reaches an instance. A plugin's routes function answers them, the framework keeps them.
//!
//! A routes function is pure, like a plan function: it gets what the tenant wants and what the nodes are, and answers
//! under which names and to which addresses requests go. Host names and ports are unique in the installation; whoever
//! has one first keeps it for as long as its routes function asks for it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use uuid::Uuid;

/// One way in: host names and perhaps a port, and the addresses behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Tells it from the other routes of the instance, e.g. `web`. A port lease goes by it.
    pub name: String,
    /// A label under the base domain of the installation: `blog` is `blog.localhost`.
    pub label: Option<String>,
    /// Whole host names of the tenant's own.
    pub domains: Vec<String>,
    /// Whether it has a port of its own, on which every host name leads to it.
    pub has_port: bool,
    /// Where requests go: addresses that serve now.
    pub backends: Vec<SocketAddr>,
    /// The output field of the instance that takes its URL.
    pub url_field: Option<&'static str>,
    /// The output field of the instance that takes its port.
    pub port_field: Option<&'static str>,
}

impl Route {
    /// A route without names, ports and backends.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            label: None,
            domains: Vec::new(),
            has_port: false,
            backends: Vec::new(),
            url_field: None,
            port_field: None,
        }
    }

    /// Sets the label under the base domain.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds host names of the tenant's own.
    #[must_use]
    pub fn domains(mut self, domains: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.domains.extend(domains.into_iter().map(Into::into));
        self
    }

    /// Asks for a port of its own.
    #[must_use]
    pub const fn with_port(mut self) -> Self {
        self.has_port = true;
        self
    }

    /// Adds addresses that serve.
    #[must_use]
    pub fn backends(mut self, backends: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.backends.extend(backends);
        self
    }

    /// Shows its URL in that output field, which is text.
    #[must_use]
    pub const fn url_in(mut self, field: &'static str) -> Self {
        self.url_field = Some(field);
        self
    }

    /// Shows its port in that output field, which is a whole number.
    #[must_use]
    pub const fn port_in(mut self, field: &'static str) -> Self {
        self.port_field = Some(field);
        self
    }
}

/// A node that an instance has, as plans and routes functions see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedNode {
    /// Its id.
    pub id: Uuid,
    /// Its place in the instance, e.g. `web-0`.
    pub place: String,
    /// Where its services listen, once known.
    pub address: Option<IpAddr>,
    /// Port of its main service.
    pub port: u16,
    /// `starting`, `healthy` or `unhealthy` as it reported; `silent` when its agent has not reported for too long,
    /// which says nothing of its services.
    pub health: String,
    /// Why it is not healthy.
    pub message: String,
    /// Whether it is on its way out.
    pub is_leaving: bool,
    /// Whether its last report is about the document that it should have.
    pub is_current: bool,
    /// The instance's generation that it has applied.
    pub applied_generation: i64,
    /// What its driver observed.
    pub facts: BTreeMap<String, Value>,
}

impl ObservedNode {
    /// Whether its service works and its agent says so.
    pub fn is_healthy(&self) -> bool {
        !self.is_leaving && self.health == "healthy"
    }

    /// Whether requests may go to it.
    pub fn serves(&self) -> bool {
        !self.is_leaving && matches!(self.health.as_str(), "healthy" | "silent")
    }

    /// Where its main service listens.
    pub fn main_address(&self) -> Option<SocketAddr> {
        self.address.map(|address| SocketAddr::new(address, self.port))
    }
}

/// The main services of the nodes that serve: what most routes functions answer as backends.
pub fn serving(nodes: &[ObservedNode]) -> impl Iterator<Item = SocketAddr> + '_ {
    nodes.iter().filter(|node| node.serves()).filter_map(ObservedNode::main_address)
}

/// The host name in its one form, when it is one: lower-case labels of letters, digits and hyphens.
pub fn host_name(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (text.len() <= 253 && text.split('.').all(is_label)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_have_one_form() {
        for (given, expected) in [
            ("Blog.Example.COM.", Some("blog.example.com")),
            ("a", Some("a")),
            ("-a.b", None),
            ("a..b", None),
            ("a_b", None),
            ("", None),
            ("a:80", None),
            ("*.b", None),
        ] {
            assert_eq!(host_name(given).as_deref(), expected, "{given}");
        }
        assert_eq!(host_name(&"a".repeat(64)), None);
    }

    #[test]
    fn a_node_serves_while_it_is_well_or_silent_and_stays() {
        let node = |health: &str, is_leaving| ObservedNode {
            id: Uuid::nil(),
            place: "web-0".into(),
            address: Some([127, 64, 0, 1].into()),
            port: 80,
            health: health.into(),
            message: String::new(),
            is_leaving,
            is_current: true,
            applied_generation: 1,
            facts: BTreeMap::new(),
        };
        let nodes =
            [node("healthy", false), node("silent", false), node("starting", false), node("healthy", true)];
        assert_eq!(serving(&nodes).count(), 2);
    }
}
