//! Texts that must stay where they are, and the search for them in all that left the process and in all that is on the disk.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use metapaas_tests::harness::{Answer, Installation, recorded_pid};

/// Texts that must stay where they are, with what they are.
pub(super) struct Markers(pub(super) Vec<(&'static str, String)>);

impl Markers {
    /// Fails when one of them is in `text`.
    #[track_caller]
    pub(super) fn absent(&self, place: &str, text: &[u8]) {
        for (what, marker) in &self.0 {
            let found = text.windows(marker.len()).position(|part| part == marker.as_bytes());
            if let Some(at) = found {
                let around = &text[at.saturating_sub(200)..(at + marker.len() + 50).min(text.len())];
                panic!("{what} is in {place}: {}", String::from_utf8_lossy(around));
            }
        }
    }

    /// Fails when one of them is in an answer, its headers among it.
    #[track_caller]
    pub(super) fn absent_in(&self, answers: &[Answer]) {
        for answer in answers {
            self.absent("an answer", format!("{:?} {}", answer.headers, answer.body).as_bytes());
        }
    }

    /// Fails when one of them is in the log, in the database, in a file that is not there to hold secrets, or in what
    /// the system shows of the processes.
    pub(super) fn absent_everywhere(&self, installation: &Installation) {
        for path in files(&installation.data_dir()).into_iter().filter(|path| path.is_file()) {
            if may_hold_secrets(&path) {
                assert!(is_for_its_owner_alone(&path), "{}", path.display());
            } else {
                self.absent(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
        if let Some(url) = installation.database_url() {
            let dump =
                Command::new("pg_dump").arg(&url).output().expect("pg_dump; install postgresql-client");
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            assert!(String::from_utf8_lossy(&dump.stdout).contains("vault_instances"));
            self.absent("pg_dump", &dump.stdout);
            let (login, _) = url.split_once('@').unwrap();
            let login = login.rsplit_once("//").unwrap().1;
            assert!(!installation.read_log().contains(login), "the database's login is in no log");
        }
        let nodes = installation.node_dirs();
        let agents = nodes.iter().filter_map(|dir| recorded_pid(&dir.join("agent.json")));
        // The control plane's environment is its operator's; here it holds no secret.
        for pid in agents.chain([installation.pid()]) {
            for file in ["cmdline", "environ"] {
                self.absent(
                    &format!("{file} of {pid}"),
                    &std::fs::read(format!("/proc/{pid}/{file}")).unwrap(),
                );
            }
        }
        // Everybody on the machine sees the command line of a service; it may have ended.
        let records = nodes.iter().filter_map(|dir| dir.join("run").read_dir().ok()).flatten();
        for pid in records.filter_map(|record| recorded_pid(&record.unwrap().path())) {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            self.absent(&format!("cmdline of the service {pid}"), &line);
        }
        let log = installation.read_log();
        assert!(log.len() > 10_000, "the log is there");
        self.absent("the log", log.as_bytes());
    }
}

/// Everything below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] })
        .collect()
}

/// Whether it is the purpose of a file to hold secrets.
fn may_hold_secrets(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap_or_default();
    let in_node = path.components().any(|part| part.as_os_str() == "nodes");
    ["master.key", "admin.json"].contains(&name)
        || in_node && (["token", "document.json"].contains(&name) || is_in_work(path))
}

/// Whether nobody else can read a file: by itself, or since nobody else may enter a folder that it is in.
fn is_for_its_owner_alone(path: &Path) -> bool {
    let is_closed = |path: &&Path| {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
    };
    let in_node = path.ancestors().take_while(|path| path.file_name().is_some_and(|name| name != "nodes"));
    if is_in_work(path) { in_node.into_iter().any(|path| is_closed(&path)) } else { is_closed(&path) }
}

fn is_in_work(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "work")
}
