//! The files by which control plane and router know of each other.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use metapaas_agent::files;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Name of [`RouterConfig`] in the router's directory.
pub const CONFIG_FILE: &str = "config.json";
/// Name of [`Control`].
pub const CONTROL_FILE: &str = "control.json";
/// Name of [`RouterState`].
pub const STATE_FILE: &str = "state.json";
/// Name of the last routing table.
pub const TABLE_FILE: &str = "table.json";

/// What an operator sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterConfig {
    /// Where requests by host name come in. Leased ports are on the same address.
    pub listen: SocketAddr,
    /// Where `/metrics` and `/healthz` are, for this machine alone.
    pub admin: SocketAddr,
}

/// How control planes are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Their base URLs.
    pub endpoints: Vec<String>,
    /// The router's token.
    pub token: String,
    /// Certificates in PEM to trust; those of the system when absent.
    pub ca: Option<String>,
}

/// Where a running router is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterState {
    /// Its process.
    pub pid: u32,
    /// Where requests by host name come in.
    pub address: SocketAddr,
    /// Where `/metrics` is.
    pub admin: SocketAddr,
}

/// Reads one of the files.
///
/// # Errors
/// When it is not there, or is not what it should be.
pub fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> io::Result<T> {
    let bytes = std::fs::read(directory.join(name))?;
    serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes one of the files in one step, unless it says the same already.
///
/// # Errors
/// Whatever the file system answers.
pub fn write<T: Serialize>(directory: &Path, name: &str, content: &T) -> io::Result<()> {
    let (path, bytes): (PathBuf, Vec<u8>) = (directory.join(name), serde_json::to_vec(content)?);
    if files::read_optional(&path)?.is_some_and(|there| there == bytes) {
        return Ok(());
    }
    files::write_atomic(&path, &bytes, 0o600)
}
