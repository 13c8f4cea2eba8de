//! What the platform knows of languages: what an app must bring, how its dependencies are installed, how it is run.
//!
//! A runtime is a file beside this crate, `python.toml` and `node.toml`. Users bring no build files of their own.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// How apps of one language are built and run.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// The port that an app gets where it has an address of its own.
    pub port: u16,
    /// The file that tells an app of this language when nobody says which it is.
    pub recognised_by: String,
    /// Files without which it cannot be built.
    pub requires: Vec<String>,
    /// The file that `command` runs; needed when the app has no command of its own.
    #[serde(default)]
    pub entry: Option<String>,
    /// The script in `package.json` that `command` runs; needed when the app has no command of its own.
    #[serde(default)]
    pub script: Option<String>,
    /// What runs the app when nobody says otherwise.
    pub command: Vec<String>,
    /// Files that decide which dependencies are installed.
    pub keyed_by: Vec<String>,
    /// Says the language's version, which decides too.
    pub version: Vec<String>,
    /// The folder that dependencies are installed into.
    pub installs: String,
    /// Folders of programs that the dependencies bring.
    pub path: Vec<String>,
    /// The commands that install the dependencies.
    pub install: Vec<Vec<String>>,
    /// Files that fix the versions of all dependencies.
    #[serde(default)]
    pub lock_files: Vec<String>,
    /// The commands that install what a lock file says, where there is one.
    #[serde(default)]
    pub install_locked: Vec<Vec<String>>,
    /// Environment of build and app, where the app does not say otherwise.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

const SOURCES: [(&str, &str); 2] =
    [("python", include_str!("../python.toml")), ("node", include_str!("../node.toml"))];

/// The names of all runtimes.
pub fn names() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|(name, _)| *name)
}

/// The runtime of that name.
pub fn runtime(name: &str) -> Option<Runtime> {
    let (_, text) = SOURCES.iter().find(|(of, _)| *of == name)?;
    toml::from_str(text).ok()
}

/// The name of the runtime of the app in `directory`.
///
/// # Errors
/// When its files tell none, or several; the message says which would.
pub fn recognise(directory: &Path) -> Result<&'static str, String> {
    let found: Vec<&str> = names()
        .filter(|name| runtime(name).is_some_and(|one| directory.join(&one.recognised_by).is_file()))
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let all = names().filter_map(|name| Some(format!("{} ({name})", runtime(name)?.recognised_by)));
            Err(format!(
                "no runtime fits: there is none of {} in it; add one, or set subdir when it is deeper down",
                all.collect::<Vec<_>>().join(", ")
            ))
        }
        several => Err(format!("several runtimes fit ({}); set runtime to one of them", several.join(", "))),
    }
}

impl Runtime {
    /// What is missing in `directory`, when something is.
    pub fn problem(&self, directory: &Path, has_command: bool) -> Option<String> {
        let missing = |file: &String| !directory.join(file).is_file();
        if let Some(file) = self.requires.iter().find(|file| missing(file)) {
            return Some(format!("{file} is missing"));
        }
        if has_command {
            return None;
        }
        if let Some(file) = self.entry.as_ref().filter(|file| missing(file)) {
            return Some(format!(
                "{file} is missing; it is what is run unless the app has a command or a Procfile"
            ));
        }
        let script = self.script.as_deref()?;
        let text = std::fs::read_to_string(directory.join(&self.recognised_by)).unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(&text) {
            Err(error) => Some(format!("{} is not JSON: {error}", self.recognised_by)),
            Ok(value) if value["scripts"][script].is_string() => None,
            Ok(_) => Some(format!("{} has no script `{script}`", self.recognised_by)),
        }
    }

    /// The commands that install the dependencies of the app in `directory`.
    pub fn installing(&self, directory: &Path) -> &[Vec<String>] {
        let is_locked = self.lock_files.iter().any(|file| directory.join(file).is_file());
        if is_locked { &self.install_locked } else { &self.install }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_can_be_read() {
        for (name, text) in SOURCES {
            toml::from_str::<Runtime>(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
