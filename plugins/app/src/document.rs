//! What nodes are told: the plan writes it, the driver reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// The port of the node that builds.
pub(crate) const BUILD_PORT: u16 = 8080;
/// The folder of a builder that has what was uploaded, by digest.
pub(crate) const UPLOADS: &str = "uploads";
/// The place of the node that builds.
pub(crate) const BUILD_PLACE: &str = "build-0";

/// What a node is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(crate) enum Document {
    /// It builds and keeps what it built.
    Build(Builds),
    /// It serves a release.
    Web(Web),
}

/// What a builder is to have built.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Builds {
    /// What web nodes show to be given layers.
    pub(crate) token: String,
    pub(crate) settings: Settings,
    pub(crate) deploy_key: Option<String>,
    /// The first is the most urgent.
    pub(crate) orders: Vec<Order>,
    /// Images that are kept.
    pub(crate) keep: Vec<String>,
    /// Whether the node is no machine or container of its own, so that what it runs needs walls.
    #[serde(default)]
    pub(crate) is_shared: bool,
    /// Digest of the document, which says in the builder's state which one it has read.
    #[serde(default)]
    pub(crate) digest: String,
}

/// One build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The release that it was first wanted for; results go by it.
    pub(crate) build: u32,
    /// The releases that wait for it.
    pub(crate) releases: Vec<u32>,
    pub(crate) repo: String,
    pub(crate) git_ref: String,
    pub(crate) subdir: String,
    pub(crate) runtime: Option<String>,
    /// The commit, once it is known what `git_ref` was.
    pub(crate) commit: Option<String>,
    /// What it came to, once it is known: it is made again only when it is gone.
    pub(crate) image: Option<String>,
    /// Whether the app has a command of its own.
    pub(crate) has_command: bool,
}

/// What a web node serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Web {
    pub(crate) release: u32,
    pub(crate) image: String,
    pub(crate) language: String,
    /// Where layers are to be had.
    pub(crate) layers: Option<String>,
    pub(crate) token: String,
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) health_path: Option<String>,
    pub(crate) ram_mb: u32,
    pub(crate) restarts: u32,
    /// How long it may take until it answers.
    #[serde(default = "a_minute")]
    pub(crate) start_seconds: u64,
    /// For how long it goes on serving what still comes, once traffic has moved.
    pub(crate) drain_seconds: Option<u64>,
}

const fn a_minute() -> u64 {
    60
}

/// How a builder stands, in `state.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Digest of the document that it has read.
    pub(crate) digest: String,
    /// What it does, while it does something.
    pub(crate) doing: Option<String>,
    /// The build that is under way, and the end of what it has said so far.
    #[serde(default)]
    pub(crate) saying: Option<(u32, String)>,
    /// Results by build.
    pub(crate) results: BTreeMap<u32, Outcome>,
}

/// What a build came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) commit: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) default_command: Option<Vec<String>>,
    /// Why it failed.
    pub(crate) message: Option<String>,
    pub(crate) build_log: Option<String>,
}
