//! What is packed, and that it is unpacked as it was.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::build::unpack::unpack;

/// A directory with these files; a text that begins with `->` is the target of a link.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => std::fs::write(path, content).unwrap(),
        }
    }
    directory
}

/// What is below a directory: mode and content of files, targets of links.
fn tree(directory: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in WalkBuilder::new(directory).standard_filters(false).build() {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(directory).unwrap().to_string_lossy().into_owned();
        let about = std::fs::symlink_metadata(entry.path()).unwrap();
        if about.is_symlink() {
            let target = std::fs::read_link(entry.path()).unwrap();
            found.insert(name, (0, target.to_string_lossy().into_owned().into_bytes()));
        } else if about.is_file() {
            found.insert(name, (about.permissions().mode() & 0o777, std::fs::read(entry.path()).unwrap()));
        }
    }
    found
}

fn unpacked(packed: &Packed, subdir: &str) -> Result<BTreeMap<String, (u32, Vec<u8>)>, String> {
    use std::io::Seek;
    let to = tempdir().unwrap();
    let mut file = packed.file.try_clone().unwrap();
    file.rewind().unwrap();
    unpack(file, to.path(), Path::new(subdir), 64).map(|()| tree(to.path()))
}

fn names(packed: &Packed) -> Vec<String> {
    unpacked(packed, "").unwrap().into_keys().collect()
}

fn refused(directory: &TempDir, part: &str) {
    let error = pack(directory.path()).unwrap_err().to_string();
    assert!(error.contains(part), "{part}: {error}");
}

#[test]
fn what_git_would_take_is_packed() {
    let app = directory(&[
        ("app.py", "1"),
        (".gitignore", "*.log\n/build/\n!kept.log\n"),
        ("a.log", ""),
        ("kept.log", ""),
        ("build/out", ""),
        ("src/build/in", ""),
        ("src/.gitignore", "secret\n"),
        ("src/secret", ""),
        (".hidden/file", ""),
        (".ignore", "app.py"),
        (".git/config", ""),
        ("deep/.git", "gitdir: elsewhere"),
        ("node_modules/a/index.js", ""),
        ("web/.venv/bin/python", "-> /usr/bin/python3"),
        ("link", "-> src/build/in"),
    ]);
    let packed = pack(app.path()).unwrap();
    let expected = [
        ".gitignore",
        ".hidden/file",
        ".ignore",
        "app.py",
        "kept.log",
        "link",
        "src/.gitignore",
        "src/build/in",
    ];
    assert_eq!(names(&packed), expected);
    assert_eq!((packed.count, packed.left_out.as_slice()), (8, &["node_modules".to_owned()][..]));
}

#[test]
fn rules_of_the_repository_around_count_and_no_others() {
    let outer =
        directory(&[(".gitignore", "*.log\ndist\n"), ("app/a.log", ""), ("app/b", ""), ("dist/c", "")]);
    let app = outer.path().join("app");
    assert_eq!(names(&pack(&app).unwrap()), ["a.log", "b"], "it is no repository");
    std::fs::create_dir(outer.path().join(".git")).unwrap();
    assert_eq!(names(&pack(&app).unwrap()), ["b"]);
    assert_eq!(
        names(&pack(&outer.path().join("dist")).unwrap()),
        ["c"],
        "what is asked for by name is packed"
    );
}

#[test]
fn the_same_files_are_the_same_upload() {
    let files = [("b", "2"), ("a", "1"), ("d/e", "3"), ("l", "-> a")];
    let (one, other) = (directory(&files), directory(&files.map(|file| file)));
    std::fs::File::open(other.path().join("a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    std::fs::set_permissions(other.path().join("b"), PermissionsExt::from_mode(0o600)).unwrap();
    let digest = |directory: &TempDir| pack(directory.path()).unwrap().digest;
    let first = digest(&one);
    assert_eq!(first, digest(&other), "times, owners and the umask are nobody's business");
    std::fs::set_permissions(other.path().join("b"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_ne!(first, digest(&other), "but whether it can be run is");
    std::fs::write(one.path().join("a"), "0").unwrap();
    assert_ne!(first, digest(&one));
}

#[test]
fn what_is_no_file_of_the_directory_is_refused() {
    refused(&directory(&[]), "nothing to deploy");
    refused(&directory(&[(".gitignore", "*")]), ".gitignore leaves all of it out");
    refused(&directory(&[("etc", "-> /etc")]), "outside of the directory");
    refused(&directory(&[("a/up", "-> ../../b")]), "a/up is a link");
    refused(&directory(&[("a/b/up", "-> ../.."), ("c", "-> a/b/up/../x")]), "c is a link");
    let socket = directory(&[]);
    let _listener = std::os::unix::net::UnixListener::bind(socket.path().join("socket")).unwrap();
    refused(&socket, "socket is no file");
    let huge = directory(&[]);
    std::fs::File::create(huge.path().join("huge")).unwrap().set_len(MOST_BYTES + 1).unwrap();
    refused(&huge, "more than 4 GiB");
}

#[test]
fn a_part_of_it_can_be_unpacked() {
    let app = directory(&[("web/app.py", "1"), ("web/x/y", "2"), ("other", "3"), ("web/up", "-> ../other")]);
    let packed = pack(app.path()).unwrap();
    assert_eq!(unpacked(&packed, "web/x").unwrap().into_keys().collect::<Vec<_>>(), ["y"]);
    assert!(unpacked(&packed, "web").unwrap_err().contains("outside of the app"));
    assert!(unpacked(&packed, "we").unwrap_err().contains("no folder \"we\""));
}

fn file_name() -> impl Strategy<Value = String> {
    "[a-zA-Zäß _.-]{1,12}".prop_filter("it is no file's name", |name| name != "." && name != "..")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_packed_is_unpacked(
        files in proptest::collection::btree_map(
            proptest::collection::vec(file_name(), 1..4),
            (proptest::collection::vec(any::<u8>(), 0..3000), any::<bool>()),
            1..12,
        ),
    ) {
        let app = tempdir().unwrap();
        let mut expected = BTreeMap::new();
        for (names, (content, is_program)) in files {
            let path = names.join("/");
            let place = app.path().join(&path);
            // Of two files one may have the name of the other's folder.
            if std::fs::create_dir_all(place.parent().unwrap()).is_err() || place.is_dir() {
                continue;
            }
            if names.iter().any(|name| [".git", ".gitignore", ".venv"].contains(&name.as_str())) {
                continue;
            }
            std::fs::write(&place, &content).unwrap();
            let mode = if is_program { 0o755 } else { 0o644 };
            std::fs::set_permissions(&place, PermissionsExt::from_mode(mode)).unwrap();
            expected.insert(path, (mode, content));
        }
        prop_assume!(!expected.is_empty());
        prop_assert_eq!(unpacked(&pack(app.path()).unwrap(), "").unwrap(), expected);
    }
}
