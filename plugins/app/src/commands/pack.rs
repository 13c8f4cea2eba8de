//! Packing a directory: what Git would take of it, so that the same files are the same upload whoever packs them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::{DirEntry, WalkBuilder};
use metapaas_core::command::CommandError;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::source::{MOST_FILES, leaves};

/// What a directory may hold, in bytes, before it is packed. The server may take less.
const MOST_BYTES: u64 = 4 << 30;
/// All files are as old as this. Zip archives, which Python packages are, know no times before 1980.
const MADE: u64 = 1_000_000_000;

/// A directory that is packed.
#[derive(Debug)]
pub(super) struct Packed {
    /// Without a name, and gone with its handle.
    pub(super) file: File,
    /// SHA-256 of it, in hexadecimal.
    pub(super) digest: String,
    /// Its size, in bytes.
    pub(super) size: u64,
    /// How many files and links it has.
    pub(super) count: usize,
    /// What the platform installs by itself and was left out.
    pub(super) left_out: Vec<String>,
}

/// Packs a directory with tar and gzip, less what `.gitignore` names, `.git`, and what builds install.
///
/// # Errors
/// What of it cannot be deployed, and what to do.
pub(super) fn pack(directory: &Path) -> Result<Packed, CommandError> {
    let failed =
        |error: io::Error| CommandError::Failed(format!("{} cannot be packed: {error}", directory.display()));
    let hashing = Hashing { file: tempfile::tempfile().map_err(failed)?, hash: Sha256::new(), size: 0 };
    // Its header has no time and no name, so that the same files give the same bytes.
    let mut archive = Builder::new(GzEncoder::new(hashing, Compression::default()));
    let (mut count, mut bytes) = (0, 0);
    for entry in walk(directory) {
        let entry = entry.map_err(|error| failed(io::Error::other(error)))?;
        let Ok(path) = entry.path().strip_prefix(directory).map(Path::to_owned) else { continue };
        let kind = entry.file_type();
        if kind.is_none_or(|kind| kind.is_dir()) {
            continue;
        }
        count += 1;
        if count > MOST_FILES {
            return Err(too_large(directory, &format!("{MOST_FILES} files")));
        }
        bytes += add(&mut archive, &entry, &path, MOST_BYTES - bytes).map_err(|why| match why {
            Unfit::Kind(why) => CommandError::Usage(format!(
                "{} {why}; have it left out with .gitignore, or remove it",
                path.display()
            )),
            Unfit::TooLarge => too_large(directory, &format!("{} GiB", MOST_BYTES >> 30)),
            Unfit::Unread(error) => {
                CommandError::Failed(format!("{} cannot be read: {error}", path.display()))
            }
        })?;
    }
    if count == 0 {
        let text = format!(
            "there is nothing to deploy in {}: it is empty, or .gitignore leaves all of it out",
            directory.display()
        );
        return Err(CommandError::Usage(text));
    }
    let hashing = archive.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
    let digest = hashing.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let left_out = installed().filter(|name| directory.join(name).exists()).collect();
    Ok(Packed { file: hashing.file, digest, size: hashing.size, count, left_out })
}

fn too_large(directory: &Path, most: &str) -> CommandError {
    CommandError::Usage(format!(
        "{} holds more than {most}; is it the right directory? Have left out with .gitignore what the app does not need",
        directory.display()
    ))
}

/// Folders that builds make.
fn installed() -> impl Iterator<Item = String> {
    metapaas_runtimes::names().filter_map(|name| Some(metapaas_runtimes::runtime(name)?.installs))
}

/// All that Git would take, in an order of its own.
fn walk(directory: &Path) -> ignore::Walk {
    let mut left_out: Vec<String> = installed().collect();
    left_out.push(".git".into());
    let whole: PathBuf = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let is_in_repository = whole.ancestors().any(|above| above.join(".git").exists());
    WalkBuilder::new(directory)
        .hidden(false)
        .ignore(false)
        // A directory need not be a repository to have a .gitignore; only in one do those above it count.
        .require_git(false)
        .parents(is_in_repository)
        .follow_links(false)
        .sort_by_file_name(|one, other| one.cmp(other))
        .filter_entry(move |entry| !left_out.iter().any(|name| entry.file_name() == name.as_str()))
        .build()
}

/// Why something cannot be packed.
enum Unfit {
    /// What it is instead.
    Kind(String),
    TooLarge,
    Unread(io::Error),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Unread(error)
    }
}

/// Adds a file or a link, and answers how many bytes that are.
fn add<W: Write>(archive: &mut Builder<W>, entry: &DirEntry, path: &Path, most: u64) -> Result<u64, Unfit> {
    let mut header = Header::new_gnu();
    header.set_mtime(MADE);
    let found = std::fs::symlink_metadata(entry.path())?;
    if found.is_symlink() {
        let target = std::fs::read_link(entry.path())?;
        if leaves(&path.to_string_lossy(), &target.to_string_lossy()) {
            return Err(Unfit::Kind(format!("is a link to {target:?}, which is outside of the directory")));
        }
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        archive.append_link(&mut header, path, target)?;
        return Ok(0);
    }
    if !found.is_file() {
        return Err(Unfit::Kind("is no file: devices, sockets and pipes are not deployed".into()));
    }
    let file = File::open(entry.path())?;
    // What is opened may be something else than what was found.
    let found = file.metadata()?;
    if found.len() > most {
        return Err(Unfit::TooLarge);
    }
    let is_program = std::os::unix::fs::MetadataExt::mode(&found) & 0o100 != 0;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if is_program { 0o755 } else { 0o644 });
    header.set_size(found.len());
    // A file that grows meanwhile is cut off where it ended; one that shrinks does not fit its header.
    let mut exact = Exact { file, left: found.len() };
    archive.append_data(&mut header, path, &mut exact)?;
    Ok(found.len())
}

/// Reads as much of a file as was there when it was opened.
struct Exact {
    file: File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter meanwhile"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Writes to a file and takes its digest on the way.
struct Hashing {
    file: File,
    hash: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
