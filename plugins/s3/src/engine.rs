//! The servers that an instance can run, behind one trait. An instance chooses by its version.

mod builtin;

use std::io;

use metapaas_core::agent::{Applied, BoxFuture, DriverError, NodeContext};
use metapaas_s3d::document::Usage;

use crate::plan::Wanted;

/// What an engine may be asked for and not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    Encryption,
    MfaDelete,
    ObjectLock,
    Public,
    Quota,
}

impl Feature {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Encryption => "encryption",
            Self::MfaDelete => "MFA delete",
            Self::ObjectLock => "object lock",
            Self::Public => "public buckets",
            Self::Quota => "quotas of buckets",
        }
    }
}

/// An S3 server: how it is made to be what is wanted, and how it is looked at.
pub(crate) trait Engine: Send + Sync {
    /// What operators call it.
    fn name(&self) -> &'static str;

    /// Versions that it runs, newest first.
    fn versions(&self) -> &'static [&'static str];

    /// Whether it has what the field of that kind asks for.
    fn can(&self, feature: Feature) -> bool;

    /// Makes the node's server be what is wanted, also when it is so already.
    fn apply<'a>(
        &'a self,
        node: &'a NodeContext,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Applied, DriverError>>;

    /// Whether all that is wanted is in force.
    fn check<'a>(&'a self, node: &'a NodeContext, wanted: &'a Wanted) -> BoxFuture<'a, io::Result<()>>;

    /// What is there.
    fn usage<'a>(&'a self, node: &'a NodeContext, wanted: &'a Wanted) -> BoxFuture<'a, io::Result<Usage>>;
}

/// All that there are, the default first.
const ALL: [&dyn Engine; 1] = [&builtin::Builtin];

/// The version catalogue.
pub(crate) fn versions() -> &'static [&'static str] {
    ALL[0].versions()
}

/// The engine of a version; a version that no engine has any more is the built-in one's.
pub(crate) fn of(version: &str) -> &'static dyn Engine {
    ALL.into_iter().find(|engine| engine.versions().contains(&version)).unwrap_or(ALL[0])
}
