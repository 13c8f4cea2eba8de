//! `node.json`: who a node is and where its control planes are. The provider writes it, the agent keeps it current.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::files;

/// Its name in the node's directory.
pub const NODE_FILE: &str = "node.json";
/// Name of the file that holds the node's token.
pub const TOKEN_FILE: &str = "token";

/// Content of `node.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFile {
    /// The node's id.
    pub node_id: Uuid,
    /// The installation that made it.
    pub tag: String,
    /// The address its services listen on.
    pub address: IpAddr,
    /// Base URLs of the control planes.
    pub endpoints: Vec<String>,
    /// Certificates in PEM that the control planes' are signed by; those of the system when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A folder with Unix sockets of control planes, for a node that cannot reach the loopback addresses of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<PathBuf>,
    /// Limits and whatever else the plan asked of the provider.
    #[serde(default)]
    pub resources: BTreeMap<String, Value>,
}

impl NodeFile {
    /// Reads it from a node's directory.
    ///
    /// # Errors
    /// Whatever the file system answers; [`io::ErrorKind::InvalidData`] when it is not a node file.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(directory.join(NODE_FILE))?;
        serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes it into a node's directory.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        files::write_atomic(&directory.join(NODE_FILE), &serde_json::to_vec_pretty(self)?, 0o600)
    }
}

/// Reads the node's token.
///
/// # Errors
/// Whatever the file system answers.
pub fn read_token(directory: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(directory.join(TOKEN_FILE))?.trim().to_owned())
}
