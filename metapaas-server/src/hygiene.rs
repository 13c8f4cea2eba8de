//! What the process does so that its memory does not get into files and other processes.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Open files that are no connections of clients.
const OTHER_FILES: u64 = 512;

/// Whether the system may write the memory of this process to a file when it crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CoreDumps {
    /// As the system is set up.
    AsSet,
    /// Never: the memory holds secrets in the open.
    Never,
}

/// Sets the process up, for so many connections.
pub(crate) fn apply(core_dumps: CoreDumps, connections: u64) {
    if core_dumps == CoreDumps::Never {
        // The limit is inherited by agents and services, whose memory holds secrets as well; they may raise it again.
        let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
        if let Err(error) = setrlimit(Resource::Core, limit) {
            tracing::warn!(%error, "core dumps cannot be turned off by their limit");
        }
        // A program that takes core dumps from a pipe is not held to the limit. This also keeps other processes of
        // the same user from reading the memory.
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "core dumps cannot be turned off");
        }
    }
    // Each connection is an open file, and the usual limit of 1024 is that of another time. Not more than is needed:
    // agents and services inherit it, and some programs do work for each file that they might have open.
    let files = getrlimit(Resource::Nofile);
    let wanted = connections + OTHER_FILES;
    let possible = files.maximum.map_or(wanted, |most| wanted.min(most));
    if files.current.is_some_and(|current| current < possible) {
        let raised = Rlimit { current: Some(possible), ..files };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}
