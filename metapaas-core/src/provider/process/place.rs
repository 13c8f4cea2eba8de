//! A node's directory: how it comes to be in one step, what is in it, how it goes.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use metapaas_agent::NodeFile;
use metapaas_agent::files;
use metapaas_agent::node_file::TOKEN_FILE;
use metapaas_agent::process::{Process, ProcessRecord};
use uuid::Uuid;

use super::{record_path, records_in};
use crate::provider::{NodeRef, NodeRequest, ProviderError};

/// The directory of one node, and the paths beside it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn root(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.directory.with_extension("lock")
    }

    pub(super) fn exists(&self) -> bool {
        self.directory.exists() || self.gone().exists()
    }

    pub(super) fn agent(&self) -> io::Result<Option<Process>> {
        match ProcessRecord::read(&record_path(&self.directory)) {
            Some(record) => record.adopt(),
            None => Ok(None),
        }
    }

    pub(super) fn service_records(&self) -> io::Result<Vec<ProcessRecord>> {
        let mut records = records_in(&self.directory.join("run"))?;
        records.extend(records_in(&self.gone().join("run"))?);
        Ok(records)
    }

    /// Takes the address for this node. Two nodes with one address would answer each other's health checks.
    pub(super) fn claim(&self, address: IpAddr) -> Result<(), ProviderError> {
        let path = self.claim_path(address);
        let claimed = (|| {
            files::private_directory(path.parent().unwrap_or(&path))?;
            match std::os::unix::fs::symlink(self.name(), &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Some(fs::read_link(&path)?)),
                made => made.map(|()| None),
            }
        })();
        match claimed {
            Ok(Some(holder)) if holder != Path::new(&self.name()) => {
                let message = format!("the address {address} is taken by node {}", holder.display());
                Err(ProviderError::Taken(message))
            }
            Ok(_) => Ok(()),
            Err(source) => {
                Err(ProviderError::Transient { action: format!("take the address {address}"), source })
            }
        }
    }

    /// Makes the directory with all an agent needs, or brings its files up to date.
    pub(super) fn furnish(&self, request: &NodeRequest, address: IpAddr) -> io::Result<()> {
        let node = NodeFile {
            node_id: request.id,
            tag: request.tag.clone(),
            address,
            endpoints: request.endpoints.clone(),
            ca: request.ca.clone(),
            sockets: None,
            resources: request.resources.clone(),
        };
        if self.directory.exists() {
            return self.fill(&self.directory, &node, &request.token);
        }
        let new = self.directory.with_extension("new");
        files::private_directory(&new)?;
        self.fill(&new, &node, &request.token)?;
        fs::rename(&new, &self.directory)?;
        fs::File::open(self.root())?.sync_all()
    }

    fn fill(&self, directory: &Path, node: &NodeFile, token: &str) -> io::Result<()> {
        let path = directory.join(TOKEN_FILE);
        if files::read_optional(&path)?.is_none_or(|there| there != token.as_bytes()) {
            files::write_atomic(&path, token.as_bytes(), 0o600)?;
        }
        // A damaged file is no reason to give up a node: it is written anew.
        if NodeFile::read(directory).ok().as_ref() != Some(node) {
            node.write(directory)?;
        }
        Ok(())
    }

    /// Renames the directory so that nothing that knows its path finds it any more.
    pub(super) fn put_away(&self) -> io::Result<()> {
        if !self.directory.exists() {
            return Ok(());
        }
        // What an earlier, interrupted removal left would be in the way.
        remove_tree(&self.gone())?;
        fs::rename(&self.directory, self.gone())
    }

    /// Removes what is left of a node that was put away.
    pub(super) fn remove(&self, address: IpAddr) -> io::Result<()> {
        remove_tree(&self.gone())?;
        remove_tree(&self.directory.with_extension("new"))?;
        let claim = self.claim_path(address);
        match fs::read_link(&claim) {
            Ok(holder) if holder == Path::new(&self.name()) => files::remove_optional(&claim).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn gone(&self) -> PathBuf {
        self.directory.with_extension("gone")
    }

    fn claim_path(&self, address: IpAddr) -> PathBuf {
        self.root().join("addresses").join(address.to_string())
    }

    fn name(&self) -> String {
        self.directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Nodes under `root` that belong to the installation and have anything left, also half made or half removed ones.
pub(super) fn list(root: &Path, tag: &str) -> io::Result<Vec<NodeRef>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut nodes = std::collections::BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let Some(id) = path.file_stem().and_then(|name| Uuid::parse_str(name.to_str()?).ok()) else {
            continue;
        };
        if NodeFile::read(&path).is_ok_and(|node| node.tag == tag) {
            let directory = root.join(id.to_string());
            nodes.insert(id, NodeRef { id, location: Some(serde_json::json!({ "dir": directory })) });
        }
    }
    Ok(nodes.into_values().collect())
}

/// Removes a directory, `node.json` last: as long as anything is left, [`list`] finds it.
fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == metapaas_agent::node_file::NODE_FILE {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir_all(directory)
}
