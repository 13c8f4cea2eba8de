//! What operators set: `[plugins.s3]` in `metapaas.toml`.

use serde::{Deserialize, Serialize};

/// Settings of the s3 type.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What new instances run.
    pub engine: EngineName,
    /// The RustFS program of nodes: a path, or a name to be found in their `PATH`.
    pub rustfs: String,
}

/// The servers that there are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// The server that comes with the platform.
    #[default]
    Builtin,
    /// RustFS, a program of its own.
    Rustfs,
}

impl Default for Settings {
    fn default() -> Self {
        Self { engine: EngineName::default(), rustfs: "rustfs".to_owned() }
    }
}
