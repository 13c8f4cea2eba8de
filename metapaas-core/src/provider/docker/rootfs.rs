//! The file systems of images: a program with what it is linked to, and Debian by debootstrap.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use futures::Stream;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::images::Packages;
use crate::provider::ProviderError;

/// Pieces that an archive is handed on in.
const PIECE: usize = 1 << 18;

/// An archive with `program` at `place`, the libraries that it is linked to, and those of `files` that the host has.
pub(super) fn small(program: &Path, place: &Path, files: &[String]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut made = BTreeSet::new();
    let mut add = |from: &Path, to: &Path, mode: u32| -> io::Result<()> {
        for folder in to.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            folder_entry(&mut archive, folder, 0o755, &mut made)?;
        }
        let bytes = fs::read(from)?;
        let mut header = header(tar::EntryType::Regular, mode, bytes.len() as u64);
        archive.append_data(&mut header, relative(to), bytes.as_slice())
    };
    add(program, place, 0o755)?;
    for library in libraries(program)? {
        add(&library, &library, 0o755)?;
    }
    for file in files.iter().map(Path::new).filter(|file| file.is_file()) {
        add(file, file, 0o644)?;
    }
    // What a container mounts over.
    for (folder, mode) in
        [("/tmp", 0o1777), ("/dev", 0o755), ("/proc", 0o555), ("/sys", 0o555), ("/run", 0o755)]
    {
        folder_entry(&mut archive, Path::new(folder), mode, &mut made)?;
    }
    archive.into_inner()
}

/// An archive with a Dockerfile and the program, for a build.
pub(super) fn with_recipe(program: &Path, recipe: &str) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8], mode| {
        archive.append_data(&mut header(tar::EntryType::Regular, mode, bytes.len() as u64), name, bytes)
    };
    add("Dockerfile", recipe.as_bytes(), 0o644)?;
    add("metapaas", &fs::read(program)?, 0o755)?;
    archive.into_inner()
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    // No owner but root and no time: the same files make the same image.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn folder_entry(
    archive: &mut tar::Builder<Vec<u8>>,
    folder: &Path,
    mode: u32,
    made: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    if folder == Path::new("/") || !made.insert(folder.to_owned()) {
        return Ok(());
    }
    archive.append_data(&mut header(tar::EntryType::Directory, mode, 0), relative(folder), io::empty())
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// The loader of a program and the libraries that it finds, as the loader itself says; none for a static program.
fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(loader) = loader(program)? else { return Ok(Vec::new()) };
    let output =
        std::process::Command::new(&loader).arg("--list").arg(program).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{} --list {}: {text}", loader.display(), program.display())));
    }
    let mut found = BTreeSet::from([loader]);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f...)`
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        found.extend(path.map(PathBuf::from));
    }
    Ok(found.into_iter().collect())
}

/// The dynamic loader that a 64-bit ELF program names (program header PT_INTERP).
fn loader(program: &Path) -> io::Result<Option<PathBuf>> {
    const INTERPRETER: u32 = 3;
    let mut start = vec![0; 4096];
    let read = fs::File::open(program)?.read(&mut start)?;
    start.truncate(read);
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = start.get(at..at.checked_add(length)?)?;
        usize::try_from(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))).ok()
    };
    if start.get(..6) != Some(b"\x7fELF\x02\x01") {
        let message = format!("{} is no 64-bit little-endian program of Linux", program.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let found = (|| {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).find_map(|index| {
            let at = table.checked_add(index.checked_mul(size)?)?;
            if number(at, 4)? != INTERPRETER as usize {
                return None;
            }
            let (offset, length) = (number(at + 8, 8)?, number(at + 32, 8)?);
            let text = start.get(offset..offset.checked_add(length)?)?;
            Some(PathBuf::from(String::from_utf8_lossy(text.split(|byte| *byte == 0).next()?).into_owned()))
        })
    })();
    Ok(found)
}

/// A Debian to make with debootstrap.
#[derive(Clone, Debug)]
pub(super) struct Debian {
    suite: String,
    mirror: Option<String>,
    packages: Vec<String>,
}

impl Debian {
    /// The release and the mirror of this host unless others are given.
    pub(super) fn choose(wanted: &Packages, packages: Vec<String>) -> Result<Self, ProviderError> {
        let suite = wanted.suite.clone().or_else(|| host_suite(&fs::read_to_string("/etc/os-release").ok()?));
        let suite = suite.ok_or_else(|| {
            ProviderError::Terminal(
                "this host is no Debian; say which release the image gets with --suite".to_owned(),
            )
        })?;
        let mirror = wanted.mirror.clone().or_else(|| host_mirror(Path::new("/etc/apt"), &suite));
        Ok(Self { suite, mirror, packages })
    }

    /// Makes the file system in a folder of its own below `work`.
    pub(super) async fn bootstrap(&self, work: &Path) -> Result<TempDir, ProviderError> {
        let transient = |action: &str| {
            let action = action.to_owned();
            move |source| ProviderError::Transient { action, source }
        };
        if !rustix::process::geteuid().is_root() {
            return Err(ProviderError::Terminal("debootstrap has to run as root".to_owned()));
        }
        fs::create_dir_all(work).map_err(transient("make a folder for debootstrap"))?;
        let folder = tempfile::Builder::new().prefix("debootstrap-").tempdir_in(work);
        let folder = folder.map_err(transient("make a folder for debootstrap"))?;
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", &self.suite]).arg(folder.path()).args(&self.mirror);
        // It is a program for administrators, which PATH may not have.
        debootstrap.env("PATH", metapaas_agent::launch::DEFAULT_PATH);
        tracing::info!(suite = self.suite, mirror = self.mirror, "debootstrap runs; this takes minutes");
        run(debootstrap).await?;
        // apt knows in which order packages are configured; debootstrap fails on those of Node.js.
        let apt = |arguments: &[&str]| {
            let mut chroot = Command::new("chroot");
            chroot.arg(folder.path()).args(["apt-get", "--quiet", "--yes"]).args(arguments);
            chroot.env("DEBIAN_FRONTEND", "noninteractive").env("PATH", metapaas_agent::launch::DEFAULT_PATH);
            chroot
        };
        run(apt(&["update"])).await?;
        // Hundreds of packages, each waiting for the disk several times: what a crash leaves is thrown away anyhow.
        let hasty = "Dpkg::Options::=--force-unsafe-io";
        let mut install = apt(&["install", "--no-install-recommends", "--option", hasty]);
        install.args(&self.packages);
        tracing::info!(packages = self.packages.join(" "), "the packages are installed");
        run(install).await?;
        for left in ["var/cache/apt/archives", "var/lib/apt/lists"] {
            // What is left over makes the image larger and does no other harm.
            let _ = fs::remove_dir_all(folder.path().join(left));
        }
        Ok(folder)
    }
}

/// Runs a program of the host; what it says last is in the error.
async fn run(mut command: Command) -> Result<(), ProviderError> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| {
        ProviderError::Terminal(format!("{name} cannot run: {error}; install the package that has it"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    let message = format!("{}: {}", output.status, last.into_iter().rev().collect::<Vec<_>>().join("; "));
    Err(ProviderError::Transient { action: format!("run {name}"), source: io::Error::other(message) })
}

fn host_suite(os_release: &str) -> Option<String> {
    let value = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    (value("ID")? == "debian").then(|| value("VERSION_CODENAME")).flatten()
}

/// The first source of the release's packages that apt is told of, in either of its two forms.
fn host_mirror(apt: &Path, suite: &str) -> Option<String> {
    let mut files = vec![apt.join("sources.list")];
    let more = fs::read_dir(apt.join("sources.list.d")).ok().into_iter().flatten().flatten();
    files.extend(more.map(|entry| entry.path()));
    let is_url = |word: &&str| word.starts_with("http://") || word.starts_with("https://");
    files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        let old_form = text.lines().filter(|line| line.starts_with("deb ")).find_map(|line| {
            let mut words = line.split_whitespace().skip_while(|word| !is_url(word));
            words.next().filter(|_| words.next() == Some(suite))
        });
        let new_form = || {
            text.split("\n\n").find_map(|stanza| {
                let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
                let is_wanted = field("Suites:")?.split_whitespace().any(|word| word == suite);
                field("URIs:")?.split_whitespace().find(is_url).filter(|_| is_wanted)
            })
        };
        old_form.or_else(new_form).map(str::to_owned)
    })
}

/// The content of a folder as an archive, made by tar while it is read.
pub(super) fn archive(
    folder: &Path,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, ProviderError> {
    let failed = |source| ProviderError::Transient { action: "run tar".to_owned(), source };
    let mut child = Command::new("tar")
        .args(["--create", "--numeric-owner", "--one-file-system", "--file", "-", "--directory"])
        .arg(folder)
        .arg(".")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let output = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    Ok(futures::stream::try_unfold((child, output), |(mut child, mut output)| async move {
        let mut piece = Vec::with_capacity(PIECE);
        if (&mut output).take(PIECE as u64).read_to_end(&mut piece).await? > 0 {
            return Ok(Some((Bytes::from(piece), (child, output))));
        }
        match child.wait().await? {
            status if status.success() => Ok(None),
            status => Err(io::Error::other(format!("tar ended with {status}"))),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_program_and_what_it_is_linked_to() {
        let program = std::env::current_exe().unwrap();
        let bytes =
            small(&program, Path::new("/usr/bin/metapaas"), &["/etc/passwd".into(), "/no/such".into()])
                .unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap();
        let names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert!(names.iter().any(|name| name.ends_with("libc.so.6")), "{names:?}");
        for name in ["usr/bin/metapaas", "etc/passwd", "tmp", "proc"] {
            assert!(names.contains(&PathBuf::from(name)), "{name} in {names:?}");
        }
        let different: BTreeSet<&PathBuf> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
    }

    #[test]
    fn a_file_that_is_no_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        assert_eq!(loader(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_hosts_debian_is_read() {
        let text = "PRETTY_NAME=\"x\"\nID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(host_suite(text).as_deref(), Some("bookworm"));
        assert_eq!(host_suite("ID=arch\nVERSION_CODENAME=x\n"), None);
        let apt = tempfile::tempdir().unwrap();
        let mirror = |suite| host_mirror(apt.path(), suite);
        assert_eq!(mirror("x"), None);
        let old = "# deb http://no/ x\ndeb http://vendor.example stable main\ndeb [signed-by=/k] http://m.example/debian x main\n";
        fs::write(apt.path().join("sources.list"), old).unwrap();
        assert_eq!(mirror("x").as_deref(), Some("http://m.example/debian"));
        let new = "Types: deb\nURIs: http://vendor.example\nSuites: y-updates\n\nTypes: deb\nURIs: http://n.example\nSuites: y y-updates\n";
        fs::create_dir(apt.path().join("sources.list.d")).unwrap();
        fs::write(apt.path().join("sources.list.d/debian.sources"), new).unwrap();
        assert_eq!(mirror("y").as_deref(), Some("http://n.example"));
    }
}
