//! A node's directory on the host, which its container may fill as it likes: nothing here follows a symbolic link in it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use metapaas_agent::NodeFile;
use metapaas_agent::files;
use metapaas_agent::node_file::{NODE_FILE, TOKEN_FILE};
use rustix::fs::{AtFlags, Mode, OFlags, fchown, fsync, openat, renameat, unlinkat};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use uuid::Uuid;

/// The host reads no more than this of a file that a container wrote.
const LONGEST: u64 = 1 << 20;

/// The directory of one node, and its lock beside it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

/// Whom the files of a node belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Place {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.directory.with_extension("lock")
    }

    /// Makes the directory with all an agent needs, or brings its files up to date. `node.json` comes last: with it,
    /// the node is found by [`list`].
    pub(super) fn furnish(&self, node: &NodeFile, token: &str, owner: Owner) -> io::Result<()> {
        files::private_directory(&self.directory)?;
        let directory = open(&self.directory)?;
        give(&directory, owner)?;
        if read(&directory, TOKEN_FILE)?.is_none_or(|there| there != token.as_bytes()) {
            write(&directory, TOKEN_FILE, token.as_bytes(), owner)?;
        }
        // A damaged file is no reason to give up a node: it is written anew.
        if read_node(&directory).as_ref() != Some(node) {
            write(&directory, NODE_FILE, &serde_json::to_vec_pretty(node)?, owner)?;
        }
        Ok(())
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Directories under `root` of nodes that belong to the installation.
pub(super) fn list(root: &Path, tag: &str) -> io::Result<Vec<(Uuid, PathBuf)>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| Uuid::parse_str(name.to_str()?).ok());
        let Some(id) = id.filter(|_| path.is_dir()) else { continue };
        if read_node(&open(&path)?).is_some_and(|node| node.tag == tag) {
            found.push((id, path));
        }
    }
    Ok(found)
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::empty())?)
}

fn give(file: impl AsFd, owner: Owner) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Ok(fchown(file, Some(Uid::from_raw(owner.user)), Some(Gid::from_raw(owner.group)))?)
}

fn read(directory: &OwnedFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    // A pipe in its place would otherwise hold up whoever opens it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(LONGEST).read_to_end(&mut bytes)?;
    }
    Ok(Some(bytes))
}

fn read_node(directory: &OwnedFd) -> Option<NodeFile> {
    serde_json::from_slice(&read(directory, NODE_FILE).ok()??).ok()
}

fn write(directory: &OwnedFd, name: &str, bytes: &[u8], owner: Owner) -> io::Result<()> {
    let temporary = format!(".{name}.host.tmp");
    match unlinkat(directory, &temporary, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, &temporary, flags, Mode::from_raw_mode(0o600))?);
    file.write_all(bytes)?;
    give(&file, owner)?;
    file.sync_all()?;
    renameat(directory, &temporary, directory, name)?;
    Ok(fsync(directory)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: Uuid) -> NodeFile {
        NodeFile {
            node_id: id,
            tag: "tag".to_owned(),
            address: std::net::Ipv4Addr::new(10, 0, 0, 2).into(),
            endpoints: Vec::new(),
            ca: None,
            sockets: None,
            resources: Default::default(),
        }
    }

    #[test]
    fn links_that_a_container_plants_lead_nowhere() {
        let outer = tempfile::tempdir().unwrap();
        let (root, secret) = (outer.path().join("nodes"), outer.path().join("secret"));
        fs::write(&secret, "s").unwrap();
        let id = Uuid::now_v7();
        let place = Place::new(root.join(id.to_string()));
        let owner =
            Owner { user: rustix::process::getuid().as_raw(), group: rustix::process::getgid().as_raw() };
        place.furnish(&node(id), "token", owner).unwrap();
        assert_eq!(list(&root, "tag").unwrap(), [(id, place.directory().to_owned())]);
        for name in [TOKEN_FILE, NODE_FILE, ".token.host.tmp", ".node.json.host.tmp"] {
            let _ = fs::remove_file(place.directory().join(name));
            std::os::unix::fs::symlink(&secret, place.directory().join(name)).unwrap();
        }
        assert!(list(&root, "tag").unwrap().is_empty());
        place.furnish(&node(id), "token", owner).unwrap();
        assert_eq!(fs::read(&secret).unwrap(), b"s");
        assert_eq!(fs::read(place.directory().join(TOKEN_FILE)).unwrap(), b"token");
        assert_eq!(list(&root, "other").unwrap(), []);
        place.remove().unwrap();
        place.remove().unwrap();
        assert_eq!(fs::read(&secret).unwrap(), b"s");
    }
}
