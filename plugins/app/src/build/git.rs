//! Fetching a commit: git by its arguments, transports that are allowed and no others, nothing of the machine's own
//! configuration, and no program that a repository brings.

use std::path::{Path, PathBuf};

use metapaas_core::agent::launch::DEFAULT_PATH;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::log::Log;
use super::step;
use crate::document::{Builds, Order};
use crate::rules;
use crate::source::{MOST_FILES, leaves};

/// The deploy key, in the builder's folder.
const KEY_FILE: &str = "deploy_key";
/// Every transport that git knows and the platform may allow.
const TRANSPORTS: [&str; 4] = ["https", "ssh", "http", "file"];

/// A repository as far as it was fetched.
pub(super) struct Repository {
    directory: PathBuf,
    options: Vec<String>,
    has_key: bool,
    /// Name of the file of keys of hosts, next to the deploy key.
    known_hosts: String,
}

impl Repository {
    /// The place of a repository below the builder's folder.
    pub(super) async fn open(directory: &Path, order: &Order, builds: &Builds) -> Result<Self, String> {
        let transport = rules::transport(&order.repo)?;
        let allowed = &builds.settings.transports;
        if !allowed.iter().any(|one| one == transport) {
            return Err(format!(
                "{transport}: repositories are not allowed here; the operator allows {}",
                allowed.join(", ")
            ));
        }
        let place = directory.join("repos").join(name_of(&order.repo));
        let mut options = vec!["protocol.allow=never".to_owned()];
        // http is needed for what is allowed only; a redirect from https to it would be followed else.
        let protocols = TRANSPORTS.iter().filter(|one| allowed.iter().any(|other| other == *one));
        options.extend(protocols.map(|one| format!("protocol.{one}.allow=always")));
        options.extend(
            ["core.hooksPath=/dev/null", "core.fsmonitor=false", "credential.helper=", "gc.auto=0"]
                .map(str::to_owned),
        );
        options.extend(["transfer.fsckObjects=true", "fetch.recurseSubmodules=false"].map(str::to_owned));
        let key = builds.deploy_key.as_deref().filter(|_| transport == "ssh");
        keep_key(&directory.join(KEY_FILE), key).map_err(|error| format!("keep the deploy key: {error}"))?;
        // Who sets another key trusts the host anew, so that an app survives a host that has changed its own.
        let known_hosts = format!("known_hosts.{}", name_of(key.unwrap_or_default()));
        let repository = Self { directory: place, options, has_key: key.is_some(), known_hosts };
        if !repository.directory.join("HEAD").is_file() {
            let mut init = repository.command(&["init", "--quiet", "--bare"]);
            init.arg("--").arg(&repository.directory);
            step::output(init).await?;
        }
        Ok(repository)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        for option in &self.options {
            command.arg("-c").arg(option);
        }
        if self.directory.join("HEAD").is_file() {
            command.arg("--git-dir").arg(&self.directory);
        }
        command.args(arguments).env_clear().env("PATH", DEFAULT_PATH).env("HOME", "/nonexistent");
        let plain = [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "true"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("LC_ALL", "C"),
        ];
        command.envs(plain);
        // Both files are the platform's own, and their folder is the working directory. Without a deploy key there is
        // none at all: those in the home of the platform's user are not for tenants.
        let key = if self.has_key { KEY_FILE } else { "none" };
        let ssh = format!(
            "ssh -F /dev/null -o IdentityFile={key} -o IdentitiesOnly=yes -o BatchMode=yes \
             -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={} -o ConnectTimeout=20",
            self.known_hosts
        );
        command.env("GIT_SSH_COMMAND", ssh);
        command
    }

    /// Fetches what is asked for, and answers the commit that it is.
    pub(super) async fn fetch(&self, order: &Order, log: &Log, most_mb: u64) -> Result<String, String> {
        if let Some(commit) = &order.commit
            && self.has(commit).await
        {
            return Ok(commit.clone());
        }
        let wanted = order.commit.as_ref().unwrap_or(&order.git_ref);
        let mut fetch = self.command(&["fetch", "--quiet", "--depth", "1", "--no-tags", "--force", "--"]);
        fetch.arg(&order.repo).arg(format!("{wanted}:refs/metapaas/target"));
        let fetched = step::run(fetch, "git", log, &self.directory, most_mb).await;
        fetched.map_err(|error| self.explain(&error, &order.repo, wanted))?;
        let mut parse = self.command(&["rev-parse", "--verify", "--quiet"]);
        parse.arg("refs/metapaas/target^{commit}");
        let found = step::output(parse).await.map_err(|_| format!("{wanted} is no commit"))?;
        Ok(String::from_utf8_lossy(&found).trim().to_owned())
    }

    async fn has(&self, commit: &str) -> bool {
        let mut command = self.command(&["cat-file", "-e"]);
        command.arg(format!("{commit}^{{tree}}"));
        step::output(command).await.is_ok()
    }

    /// Refuses trees that reach outside of themselves: submodules, and links that leave.
    pub(super) async fn inspect(&self, commit: &str, subdir: &str) -> Result<(), String> {
        let tree = tree(commit, subdir);
        let mut list = self.command(&["ls-tree", "-r", "-z", "--full-tree"]);
        list.arg(&tree);
        let listed =
            step::output(list).await.map_err(|_| format!("there is no folder {subdir:?} in the commit"))?;
        let mut count = 0;
        for entry in listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            count += 1;
            if count > MOST_FILES {
                return Err(format!("the commit has more than {MOST_FILES} files"));
            }
            let entry = String::from_utf8_lossy(entry);
            let Some((about, path)) = entry.split_once('\t') else { continue };
            let mut words = about.split(' ');
            match (words.next(), words.nth(1)) {
                (Some("160000"), _) => {
                    return Err(format!(
                        "{path} is a submodule; submodules are not supported, so put its files in"
                    ));
                }
                (Some("120000"), Some(blob)) => {
                    let mut show = self.command(&["cat-file", "blob"]);
                    show.arg(blob);
                    let target = String::from_utf8_lossy(&step::output(show).await?).into_owned();
                    if leaves(path, &target) {
                        return Err(format!("{path} is a link to {target:?}, which is outside of the app"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the files of a commit to an archive. Unlike a checkout it runs no filters and no hooks.
    pub(super) async fn archive(&self, commit: &str, subdir: &str, file: &Path) -> Result<(), String> {
        let mut archive = self.command(&["archive", "--format", "tar", "--output"]);
        archive.arg(file).arg(tree(commit, subdir));
        step::output(archive).await.map(drop)
    }

    /// What git said, for the tenant.
    fn explain(&self, error: &str, repo: &str, wanted: &str) -> String {
        let has = |parts: &[&str]| parts.iter().any(|part| error.contains(part));
        if has(&["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
            format!(
                "the host of {repo} has another key than when it was first seen; if that is right, set a new deploy_key"
            )
        } else if self.has_key && error.contains("Permission denied") {
            format!("the host of {repo} does not accept deploy_key; is its public half registered there?")
        } else if has(&[
            "couldn't find remote ref",
            "not our ref",
            "no such remote ref",
            "unadvertised object",
        ]) {
            format!("{repo} has no branch, tag or commit {wanted}")
        } else if has(&[
            "could not read Username",
            "Authentication failed",
            "Permission denied",
            "terminal prompts disabled",
        ]) {
            format!("{repo} lets nobody in without credentials; use its ssh: URL and set deploy_key")
        } else if has(&[
            "not found",
            "does not appear to be a git repository",
            "does not exist",
            "Could not resolve host",
        ]) {
            format!("there is no repository at {repo}: {error}")
        } else {
            format!("{repo} cannot be fetched: {error}")
        }
    }
}

fn tree(commit: &str, subdir: &str) -> String {
    format!("{commit}:{subdir}")
}

/// A short name of a text, for a file.
fn name_of(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the key down for ssh, or removes that of a time when there was one.
fn keep_key(file: &Path, key: Option<&str>) -> std::io::Result<()> {
    use std::io::{ErrorKind, Write};
    use std::os::unix::fs::OpenOptionsExt;
    let Some(text) = key else {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    file.write_all(text.trim_end().as_bytes())?;
    file.write_all(b"\n")
}
