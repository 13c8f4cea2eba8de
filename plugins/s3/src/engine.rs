//! The servers that an instance can run, behind one trait. An instance chooses by its version.

mod builtin;

use std::io;
use std::sync::LazyLock;

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

/// All that there are.
const ALL: [&dyn Engine; 1] = [&builtin::Builtin];

/// What this control plane offers, the default first: `METAPAAS_PLUGIN_S3_ENGINES`, names with commas between.
static OFFERED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let names = std::env::var("METAPAAS_PLUGIN_S3_ENGINES").unwrap_or_default();
    let chosen = names.split(',').filter_map(|name| ALL.iter().find(|engine| engine.name() == name.trim()));
    let versions: Vec<_> = chosen.flat_map(|engine| engine.versions()).copied().collect();
    if versions.is_empty() { ALL[0].versions().to_vec() } else { versions }
});

/// The version catalogue.
pub(crate) fn versions() -> &'static [&'static str] {
    &OFFERED
}

/// The engine of a version; a version that no engine has any more is the built-in one's.
pub(crate) fn of(version: &str) -> &'static dyn Engine {
    ALL.into_iter().find(|engine| engine.versions().contains(&version)).unwrap_or(ALL[0])
}
