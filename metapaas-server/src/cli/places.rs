//! Directories of this user: where the login is kept, where `metapaas up` keeps its data.

use std::path::PathBuf;

/// Where the files of this user are.
#[derive(Clone, Debug)]
pub struct Places {
    /// `${XDG_CONFIG_HOME:-~/.config}/metapaas`; `None` when there is neither.
    pub config: Option<PathBuf>,
    /// `${XDG_DATA_HOME:-~/.local/share}/metapaas`; `None` when there is neither.
    pub data: Option<PathBuf>,
}

impl Places {
    /// As the environment says.
    pub fn from_environment() -> Self {
        Self { config: base("XDG_CONFIG_HOME", ".config"), data: base("XDG_DATA_HOME", ".local/share") }
    }
}

fn base(variable: &str, below_home: &str) -> Option<PathBuf> {
    // The XDG rules: a relative path is as good as none.
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))?;
    Some(base.join("metapaas"))
}
