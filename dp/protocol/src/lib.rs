//! Messages between the control plane and node agents.
//!
//! Two exchanges, both begun by the agent with `Authorization: Bearer <node token>`:
//!
//! - orchestration: `GET /v1/agents/document?after=<digest>&wait=<seconds>` answers 200 with a [`NodeDocument`]
//!   as soon as its digest differs from `after`, 304 when the wait is over, 404 when the node is no more;
//! - status: `PUT /v1/nodes/{node id}/status` with a [`NodeReport`], answered 204.
//!
//! A third one is for what somebody waits for, see [`calls`]; a fourth for files that clients sent, see [`upload_path`].

pub mod calls;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Raised by a change that an older peer would misread. A peer refuses a higher number than its own.
pub const PROTOCOL_VERSION: u32 = 1;

/// Path of the orchestration API's one call.
pub const DOCUMENT_PATH: &str = "/v1/agents/document";

/// Path of the status API's one call.
pub fn status_path(node_id: Uuid) -> String {
    format!("/v1/nodes/{node_id}/status")
}

/// Path of an upload of the node's instance, by its digest: answered 200 with what it holds, 404 when there is none.
pub fn upload_path(digest: &str) -> String {
    format!("/v1/agents/uploads/{digest}")
}

/// Whether a text is a SHA-256 as uploads go by it: 64 hexadecimal digits in lower case.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What a node should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeDocument {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub protocol: u32,
    /// The node it is for.
    pub node_id: Uuid,
    /// Slug of the instance type; chooses the driver.
    pub type_slug: String,
    /// Name of the node's place in its instance, e.g. `web-0`.
    pub place: String,
    /// The address that services of the node listen on.
    pub address: IpAddr,
    /// The port of the node's main service.
    pub port: u16,
    /// Generation of the instance that this document holds. Only ever grows.
    pub generation: i64,
    /// Hash of all the rest: changes with any of it.
    pub digest: String,
    /// Whether the node is about to go: the driver removes what it made outside the node's directory.
    pub removing: bool,
    /// What the driver makes of the node; its form is the plugin's.
    pub config: Value,
    /// Base URLs of all control planes, for when the one asked is away.
    pub endpoints: Vec<String>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub protocol: u32,
    /// Greatest generation whose document the driver has applied, 0 before the first.
    pub applied_generation: i64,
    /// Digest of the applied document, empty before the first.
    pub applied_digest: String,
    /// Whether the service works.
    pub health: Health,
    /// Why it does not, or what it waits for; empty when healthy.
    pub message: String,
    /// Values for output fields of the instance, by field name.
    pub facts: BTreeMap<String, Value>,
    /// Parts of the document that the driver refused, by item (e.g. `pages/home`).
    pub errors: Vec<ItemError>,
    /// Whether a `removing` document has been carried out.
    pub removed: bool,
    /// Version of the agent program.
    pub agent_version: String,
    /// The last lines of the logs, of a node whose removal has been carried out: they go with it otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<calls::LogLine>,
}

/// Whether a node's service works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It has not answered yet.
    Starting,
    /// It answers.
    Healthy,
    /// It does not answer, or the document could not be applied.
    Unhealthy,
}

/// A part of the document that the driver refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemError {
    /// `<plural>/<key>` of a child, or empty for the instance itself.
    pub item: String,
    /// Stable word, e.g. `INVALID_PATH`.
    pub code: String,
    /// For people.
    pub message: String,
}
