//! Files that survive a crash: atomic writes, locks that know when their file was replaced, and paths that cannot
//! leave their root.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Replaces a file in one step. After a crash there is the old content or the new, never a part.
///
/// # Errors
/// Whatever the file system answers.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file path has a parent and a name"));
    };
    // Two processes may write the same file at once (provider and agent), so the temporary name has the process id.
    let temporary = directory.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

/// Reads a file, `None` when there is none.
///
/// # Errors
/// Whatever else the file system answers.
pub fn read_optional(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file; answers whether there was one.
///
/// # Errors
/// Whatever else the file system answers.
pub fn remove_optional(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a directory that only its owner may enter, with its parents.
///
/// # Errors
/// Whatever the file system answers.
pub fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes the exclusive lock of a file (made when missing) until the answer is dropped; `None` when another has it.
///
/// # Errors
/// Whatever the file system answers.
pub fn try_lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its owner may have removed the file between open and lock. Such a lock keeps nobody out.
        let held = file.metadata()?;
        match fs::metadata(path) {
            Ok(there) if there.ino() == held.ino() && there.dev() == held.dev() => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// As [`try_lock`], waiting for it.
///
/// # Errors
/// Whatever the file system answers.
pub async fn lock(path: &Path) -> io::Result<File> {
    loop {
        if let Some(file) = try_lock(path)? {
            return Ok(file);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A directory whose files are named by relative paths that cannot leave it, not even by a symbolic link.
#[derive(Clone, Debug)]
pub struct Root {
    directory: PathBuf,
}

impl Root {
    /// The directory must exist by the time it is used.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Content and mode of a file, `None` when there is none.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a path that leaves the directory, else what the file system answers.
    pub fn read(&self, path: &Path) -> io::Result<Option<(Vec<u8>, u32)>> {
        let (names, last) = split(path)?;
        let Some(directory) = self.open(&names, Missing::Leave)? else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = match rustix::fs::openat(&directory, last, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mode = file.metadata()?.mode() & 0o7777;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some((bytes, mode)))
    }

    /// Replaces a file in one step and makes its parent directories.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut part = self.begin(path, mode)?;
        part.file.write_all(bytes)?;
        part.finish()
    }

    /// Whether there is a file at the path.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn has_file(&self, path: &Path) -> io::Result<bool> {
        let (names, last) = split(path)?;
        let Some(directory) = self.open(&names, Missing::Leave)? else { return Ok(false) };
        match rustix::fs::statat(&directory, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(FileType::from_raw_mode(found.st_mode) == FileType::RegularFile),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a file that is too large to be written at once; it is there once it is finished. Makes its parent directories.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn begin(&self, path: &Path, mode: u32) -> io::Result<Part> {
        let (names, last) = split(path)?;
        let Some(directory) = self.open(&names, Missing::Make)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let temporary = format!(".{last}.tmp");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&directory, &temporary, flags, Mode::from_raw_mode(mode))?);
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(Part { directory, temporary, name: last.to_owned(), file })
    }

    /// Removes a file; answers whether there was one.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn remove(&self, path: &Path) -> io::Result<bool> {
        let (names, last) = split(path)?;
        let Some(directory) = self.open(&names, Missing::Leave)? else { return Ok(false) };
        match rustix::fs::unlinkat(&directory, last, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is a directory at the path.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn has_directory(&self, path: &Path) -> io::Result<bool> {
        Ok(self.open(&names(path)?, Missing::Leave)?.is_some())
    }

    /// Makes a directory and its parents, each with mode 0700.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.open(&names(path)?, Missing::Make).map(|_| ())
    }

    fn open(&self, names: &[&str], missing: Missing) -> io::Result<Option<OwnedFd>> {
        // Each step refuses a symbolic link, so the walk cannot leave the directory.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(&self.directory, flags, Mode::empty())?;
        for name in names {
            at = match rustix::fs::openat(&at, *name, flags, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) if missing == Missing::Make => {
                    rustix::fs::mkdirat(&at, *name, Mode::from_raw_mode(0o700))?;
                    rustix::fs::openat(&at, *name, flags, Mode::empty())?
                }
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Some(at))
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Part {
    directory: OwnedFd,
    temporary: String,
    name: String,
    /// What has been written so far.
    pub file: File,
}

impl Part {
    /// Puts it in its place, in one step.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        rustix::fs::renameat(&self.directory, &self.temporary, &self.directory, &self.name)?;
        rustix::fs::fsync(&self.directory)?;
        Ok(())
    }

    /// Removes what has been written.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn give_up(self) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.directory, &self.temporary, AtFlags::empty())?)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Leave,
}

fn split(path: &Path) -> io::Result<(Vec<&str>, &str)> {
    let mut names = names(path)?;
    let last = names.pop().ok_or_else(|| refused(path))?;
    Ok((names, last))
}

fn names(path: &Path) -> io::Result<Vec<&str>> {
    path.components()
        .map(|component| match component {
            Component::Normal(name) => name.to_str().ok_or_else(|| refused(path)),
            _ => Err(refused(path)),
        })
        .collect()
}

fn refused(path: &Path) -> io::Error {
    let message = format!("`{}` is not a plain relative path inside the node's directory", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_root() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("root");
        fs::create_dir(&inner).unwrap();
        fs::write(outer.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(outer.path(), inner.join("link")).unwrap();
        std::os::unix::fs::symlink(outer.path().join("secret"), inner.join("file-link")).unwrap();
        let root = Root::new(inner.clone());
        for path in ["../secret", "a/../../secret", "/etc/passwd", "", ".", "link/secret"] {
            assert!(root.read(Path::new(path)).is_err(), "read {path}");
            assert!(root.write(Path::new(path), b"x", 0o600).is_err(), "write {path}");
            assert!(root.remove(Path::new(path)).is_err(), "remove {path}");
        }
        assert!(root.read(Path::new("file-link")).is_err());
        root.write(Path::new("file-link"), b"x", 0o600).unwrap();
        assert_eq!(fs::read(outer.path().join("secret")).unwrap(), b"s");
        assert_eq!(fs::read(inner.join("file-link")).unwrap(), b"x");
    }

    #[test]
    fn a_written_file_has_its_content_and_mode() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path().to_owned());
        let path = Path::new("a/b/c.conf");
        assert_eq!(root.read(path).unwrap(), None);
        root.write(path, b"one", 0o640).unwrap();
        root.write(path, b"two", 0o600).unwrap();
        assert_eq!(root.read(path).unwrap(), Some((b"two".to_vec(), 0o600)));
        assert!(root.remove(path).unwrap());
        assert!(!root.remove(path).unwrap());
    }

    #[test]
    fn a_lock_is_held_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
