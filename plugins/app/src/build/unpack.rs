//! The engine `app-unpack ARCHIVE FOLDER SUBDIR MOST_MB RAM_MB`: unpacks what a tenant uploaded, in a process of its own that
//! ends with the build.
//!
//! Nothing is written outside of the folder: a path has no `..`, the folders on its way are folders and no links, a file is
//! new, and a link stays inside.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use flate2::read::GzDecoder;
use rustix::process::{Resource, Rlimit, setrlimit};
use tar::EntryType;

use crate::source::{MOST_FILES, leaves};

/// The name of the engine.
pub(super) const ENGINE: &str = "app-unpack";

pub(crate) fn engine(arguments: Vec<OsString>) -> ExitCode {
    let Err(message) = run(&arguments) else { return ExitCode::SUCCESS };
    // There is nobody to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::FAILURE
}

fn run(arguments: &[OsString]) -> Result<(), String> {
    let usage = || format!("usage: metapaas engine {ENGINE} ARCHIVE FOLDER SUBDIR MOST_MB RAM_MB");
    let [archive, folder, subdir, most_mb, ram_mb] = arguments else { return Err(usage()) };
    let number = |text: &OsString| text.to_str()?.parse::<u64>().ok();
    let (most_mb, ram_mb) = number(most_mb).zip(number(ram_mb)).ok_or_else(usage)?;
    // Names of files may be as long as the archive says.
    let ram = Rlimit { current: Some(ram_mb << 20), maximum: Some(ram_mb << 20) };
    // A limit that is lower already stays.
    let _ = setrlimit(Resource::Data, ram);
    let file = File::open(archive).map_err(|error| format!("the upload cannot be opened: {error}"))?;
    unpack(file, Path::new(folder), Path::new(subdir), most_mb)
}

/// Unpacks what is below `subdir` in a tar that is packed with gzip.
///
/// # Errors
/// Why it is no app, for the tenant.
pub(crate) fn unpack(archive: impl Read, to: &Path, subdir: &Path, most_mb: u64) -> Result<(), String> {
    let left = most_mb << 20;
    let mut archive = tar::Archive::new(Limited { inner: GzDecoder::new(archive), left });
    let too_large = || format!("the upload holds more than {most_mb} MiB");
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::FileTooLarge => too_large(),
        _ => format!("the upload is no tar packed with gzip: {error}"),
    };
    let mut count = 0;
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let kind = entry.header().entry_type();
        // What `git archive` writes of the commit.
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let whole = entry.path().map_err(unreadable)?.into_owned();
        let Some(path) = plain(&whole)?.strip_prefix(subdir).ok().map(Path::to_owned) else { continue };
        if path.as_os_str().is_empty() {
            continue;
        }
        count += 1;
        if count > MOST_FILES {
            return Err(format!("the upload has more than {MOST_FILES} files"));
        }
        let name = path.display();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("{name} is in the upload twice"),
            io::ErrorKind::FileTooLarge => too_large(),
            _ => format!("{name} cannot be unpacked: {error}"),
        };
        let place = to.join(&path);
        if kind == EntryType::Directory {
            make_folders(to, &path)?;
            continue;
        }
        make_folders(to, path.parent().unwrap_or(Path::new("")))?;
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                let is_program = entry.header().mode().map_err(unreadable)? & 0o100 != 0;
                let mode = if is_program { 0o755 } else { 0o644 };
                let file = File::options().write(true).create_new(true).mode(mode).open(&place);
                let mut file = file.map_err(failed)?;
                io::copy(&mut entry, &mut file).map_err(failed)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(unreadable)?.unwrap_or_default().into_owned();
                if leaves(&path.to_string_lossy(), &target.to_string_lossy()) {
                    return Err(format!("{name} is a link to {target:?}, which is outside of the app"));
                }
                symlink(&target, &place).map_err(failed)?;
            }
            _ => return Err(format!("{name} is neither a file nor a folder nor a symbolic link")),
        }
    }
    match (count, subdir.as_os_str().is_empty()) {
        (0, true) => Err("the upload has no files".into()),
        (0, false) => Err(format!("there is no folder {subdir:?} in the upload")),
        _ => Ok(()),
    }
}

/// A path as names alone.
fn plain(path: &Path) -> Result<PathBuf, String> {
    let mut names = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name),
            _ => return Err(format!("{} leads out of the upload", path.display())),
        }
    }
    Ok(names)
}

/// Makes the folders of a path, none of which may be anything else.
fn make_folders(to: &Path, path: &Path) -> Result<(), String> {
    let mut place = to.to_owned();
    for name in path {
        place.push(name);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(format!("{} is a folder in the upload and something else too", path.display()));
            }
            Err(_) => {
                fs::create_dir(&place)
                    .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// Gives no more than that: a little can be packed that is a lot.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use tar::{Builder, Header};

    use super::*;

    /// An archive of entries that no honest packer makes: kind, path, target or content.
    fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (kind, path, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            // The setters refuse what is tried here.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            let content = if is_link { "" } else { content };
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.append(&header, content.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    /// Unpacks into a folder beside a file that must stay what it is.
    fn check(entries: &[(EntryType, &str, &str)], expected: Result<(), &str>) {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("secret"), "s").unwrap();
        let inner = outer.path().join("app");
        fs::create_dir(&inner).unwrap();
        let unpacked = unpack(archive(entries).as_slice(), &inner, Path::new(""), 1);
        match (&unpacked, expected) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(part)) if message.contains(part) => {}
            _ => panic!("{entries:?}: {unpacked:?}"),
        }
        assert_eq!(fs::read(outer.path().join("secret")).unwrap(), b"s", "{entries:?}");
        let there: Vec<_> = fs::read_dir(outer.path()).unwrap().flatten().collect();
        assert_eq!(there.len(), 2, "{entries:?}: {there:?}");
    }

    #[test]
    fn nothing_is_written_outside() {
        use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink, XGlobalHeader};
        check(&[(Directory, "./", ""), (Directory, "./a/", ""), (Regular, "./a/b", "1")], Ok(()));
        check(&[(XGlobalHeader, "pax_global_header", ""), (Regular, "a", "")], Ok(()));
        check(&[(Symlink, "a/l", "../b"), (Regular, "b", "")], Ok(()));
        check(&[(Regular, "../secret", "x")], Err("leads out"));
        check(&[(Regular, "a/../../secret", "x")], Err("leads out"));
        check(&[(Regular, "/tmp/metapaas-escape", "x")], Err("leads out"));
        check(&[(Symlink, "l", "../secret")], Err("outside of the app"));
        check(&[(Symlink, "l", "/etc/passwd")], Err("outside of the app"));
        check(&[(Symlink, "d/up", ".."), (Symlink, "l", "d/up/../secret")], Err("outside of the app"));
        check(&[(Symlink, "l", "."), (Regular, "l/a", "x")], Err("something else too"));
        check(&[(Regular, "a", "1"), (Regular, "a", "2")], Err("twice"));
        check(&[(Symlink, "a", "b"), (Regular, "a", "2")], Err("twice"));
        check(&[(Regular, "a", "1"), (Regular, "a/b", "2")], Err("something else too"));
        check(&[(Regular, "a", "1"), (Link, "b", "a")], Err("neither a file"));
        for kind in [Char, Block, Fifo] {
            check(&[(kind, "a", "")], Err("neither a file"));
        }
        check(&[], Err("has no files"));
        check(&[(Regular, "a", &"x".repeat(2 << 20))], Err("more than 1 MiB"));
    }

    #[test]
    fn what_is_no_archive_says_so() {
        for bytes in
            [&b""[..], b"hello", &[0x1f, 0x8b, 8, 0], &archive(&[(EntryType::Regular, "a", "1")])[..40]]
        {
            let to = tempfile::tempdir().unwrap();
            let message = unpack(bytes, to.path(), Path::new(""), 1).unwrap_err();
            assert!(message.starts_with("the upload is no tar"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn names_of_any_kind_stay_inside(
            entries in proptest::collection::vec((any::<bool>(), r"(\.|\.\.|a|b|/){1,9}", r"(\.|\.\.|a|b|/){1,9}"), 1..8),
        ) {
            let outer = tempfile::tempdir().unwrap();
            let inner = outer.path().join("x/y/app");
            fs::create_dir_all(&inner).unwrap();
            let kind = |is_link: bool| if is_link { EntryType::Symlink } else { EntryType::Regular };
            let entries: Vec<_> =
                entries.iter().map(|(is_link, path, content)| (kind(*is_link), path.as_str(), content.as_str())).collect();
            // Whether it is refused or not, nothing comes of it elsewhere.
            let _ = unpack(archive(&entries).as_slice(), &inner, Path::new(""), 1);
            for place in ["", "x", "x/y"] {
                prop_assert_eq!(fs::read_dir(outer.path().join(place)).unwrap().count(), 1);
            }
            // And no link that was made leads out.
            let mut open = vec![inner.clone()];
            while let Some(folder) = open.pop() {
                for entry in fs::read_dir(folder).unwrap().flatten() {
                    if entry.file_type().unwrap().is_dir() {
                        open.push(entry.path());
                    } else if let Ok(whole) = entry.path().canonicalize() {
                        prop_assert!(whole.starts_with(inner.canonicalize().unwrap()), "{:?}", whole);
                    }
                }
            }
        }
    }
}
