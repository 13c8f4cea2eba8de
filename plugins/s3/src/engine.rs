//! The servers that an instance can run, behind one trait. The operator chooses which one new instances get; an
//! instance keeps its own, which its version names.

mod builtin;
mod rustfs;

use std::io;

use metapaas_core::agent::{Applied, BoxFuture, DriverError, NodeContext};
use metapaas_s3d::document::Usage;
use serde_json::Value;

use crate::plan::Wanted;
use crate::settings::{EngineName, Settings};

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
    fn name(&self) -> EngineName;

    /// Versions that it runs, newest first.
    fn versions(&self) -> &'static [&'static str];

    /// Whether it has what the field of that kind asks for.
    fn can(&self, feature: Feature) -> bool;

    /// Why it takes no bucket of this name.
    fn refuses_bucket(&self, _name: &str) -> Option<String> {
        None
    }

    /// Why it takes no user of this name.
    fn refuses_user(&self, _name: &str) -> Option<String> {
        None
    }

    /// What it does not know of a valid policy: where, and why.
    fn refuses_policy(&self, _document: &Value) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Makes the node's server be what is wanted, also when it is so already.
    fn apply<'a>(
        &'a self,
        node: &'a NodeContext,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Applied, DriverError>>;

    /// Whether all that is wanted is in force.
    fn check<'a>(&'a self, node: &'a NodeContext, wanted: &'a Wanted) -> BoxFuture<'a, io::Result<()>>;

    /// What is there. An engine that does not count requests says none.
    fn usage<'a>(&'a self, node: &'a NodeContext, wanted: &'a Wanted) -> BoxFuture<'a, io::Result<Usage>>;
}

/// All that there are, the default first.
const ALL: [&dyn Engine; 2] = [&builtin::Builtin, &rustfs::RustFs];

/// The version catalogue: those of the engine that the operator has chosen.
pub(crate) fn versions(settings: &Settings) -> &'static [&'static str] {
    ALL.into_iter().find(|engine| engine.name() == settings.engine).unwrap_or(ALL[0]).versions()
}

/// The engine of a version; a version that no engine has any more is the built-in one's.
pub(crate) fn of(version: &str) -> &'static dyn Engine {
    ALL.into_iter().find(|engine| engine.versions().contains(&version)).unwrap_or(ALL[0])
}
