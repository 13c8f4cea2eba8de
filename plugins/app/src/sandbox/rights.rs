//! The last wall around what tenants wrote, put up by its own process: Landlock, by which the kernel lets it and all that
//! it starts touch the files that are named and no others, and neither look into nor signal a process outside.
//!
//! In a container it is what parts the app from its node's agent, which is the same user there.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};

/// The newest rights that this knows of. An older kernel holds those that it knows.
const RIGHTS: ABI = ABI::V6;

/// What may be touched; a path that is not there counts for nothing.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// To be read and run.
    pub(super) read: Vec<PathBuf>,
    /// To be written as well.
    pub(super) write: Vec<PathBuf>,
}

impl Rights {
    /// Holds this thread, and what it becomes, to them. Answers whether the kernel does.
    ///
    /// # Errors
    /// When the kernel knows of Landlock and refuses.
    pub(super) fn hold(&self) -> io::Result<bool> {
        let status = (|| {
            Ruleset::default()
                .handle_access(AccessFs::from_all(RIGHTS))?
                .scope(Scope::from_all(RIGHTS))?
                .create()?
                .add_rules(path_beneath_rules(&self.read, AccessFs::from_read(RIGHTS)))?
                .add_rules(path_beneath_rules(&self.write, AccessFs::from_all(RIGHTS)))?
                .restrict_self()
        })()
        .map_err(|error: landlock::RulesetError| {
            io::Error::other(format!("limit what it may touch: {error}"))
        })?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}
