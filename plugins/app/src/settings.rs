//! What operators set: `[plugins.app]` in `metapaas.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Settings of the app type.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How repositories may be reached: of `https`, `ssh`, `http`, `file`.
    pub transports: Vec<String>,
    /// Environment of builds, e.g. `PIP_INDEX_URL` or `npm_config_registry`.
    pub build_environment: BTreeMap<String, String>,
    /// How long a build may take.
    pub build_seconds: u64,
    /// Memory of one process of a build, in MiB.
    pub build_ram_mb: u64,
    /// What sources and dependencies may take on disk, in MiB.
    pub build_disk_mb: u64,
    /// How much of what a build says is kept, in KiB.
    pub build_log_kb: u64,
    /// How long an app may take until it answers.
    pub start_seconds: u64,
    /// How many builds of an app are kept for rollbacks.
    pub images: usize,
    /// How many releases of an app are kept, the one that serves aside.
    pub releases: usize,
    /// How long nodes of the last release go on after traffic has moved.
    pub drain_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transports: vec!["https".into(), "ssh".into()],
            build_environment: BTreeMap::new(),
            build_seconds: 900,
            build_ram_mb: 4096,
            build_disk_mb: 4096,
            build_log_kb: 1024,
            start_seconds: 60,
            images: 10,
            releases: 50,
            drain_seconds: 10,
        }
    }
}
