//! Directories of this user: where the login is kept, where `metapaas up` keeps its data.

use std::path::PathBuf;

use crate::config::default_data_dir;

/// Where the files of this user are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// `${XDG_CONFIG_HOME:-~/.config}/metapaas`; `None` when there is neither.
    pub(crate) config: Option<PathBuf>,
    /// `${XDG_DATA_HOME:-~/.local/share}/metapaas`; `None` when there is neither.
    pub(crate) data: Option<PathBuf>,
}

impl Places {
    /// As the environment says.
    pub(crate) fn from_environment() -> Self {
        Self { config: config_directory(), data: default_data_dir().ok() }
    }
}

fn config_directory() -> Option<PathBuf> {
    // The XDG rules: a relative path is as good as none.
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("metapaas"))
}
