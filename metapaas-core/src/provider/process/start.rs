//! Starting a node's agent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use metapaas_agent::launch::{DEFAULT_PATH, Launch};
use metapaas_agent::process::{NODE_VARIABLE, Process};

use super::place::Place;
use super::record_path;
use super::watchers::Watchers;
use crate::provider::ProviderError;

/// A launch takes milliseconds; after this long something is wrong with the machine.
const DEADLINE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(5);

/// What agents inherit from the control plane. Its other variables may hold secrets.
const INHERITED: &[&str] = &["RUST_LOG", "RUST_BACKTRACE", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Starts the agent and returns when it is on record, so that whoever looks next finds it.
pub(super) async fn start(
    program: &Path,
    place: &Place,
    watchers: &Watchers,
) -> Result<Process, ProviderError> {
    let directory = place.directory();
    let id = directory.file_name().unwrap_or_default();
    let failed = |source| ProviderError::Transient {
        action: format!("start the agent of node {}", id.display()),
        source,
    };
    let mut environment: BTreeMap<OsString, OsString> =
        INHERITED.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect();
    environment.insert("PATH".into(), DEFAULT_PATH.into());
    environment.insert("HOME".into(), directory.into());
    environment.insert(NODE_VARIABLE.into(), id.into());
    let log = directory.join("agent.log");
    let mut child = Launch {
        launcher: program.to_owned(),
        record: record_path(directory),
        wanted: None,
        digest: String::new(),
        program: program.into(),
        arguments: vec!["agent".into(), "--dir".into(), directory.into()],
        environment,
        directory: directory.to_owned(),
        log: log.clone(),
    }
    .spawn()
    .map_err(failed)?;
    let recorded = async {
        loop {
            if let Some(agent) = place.agent()? {
                return Ok(agent);
            }
            tokio::select! {
                status = child.wait() => {
                    let status = status?;
                    // Another launch may have been faster.
                    return match place.agent()? {
                        Some(agent) => Ok(agent),
                        None => Err(io::Error::other(format!("it ended with {status}: {}", last_line(&log)))),
                    };
                }
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    };
    let started = tokio::time::timeout(DEADLINE, recorded).await;
    watchers.reap(child);
    started.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)
}

fn last_line(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next_back().unwrap_or("it has written nothing").to_owned()
}
