//! The master keys: where they come from, how they are taken anew while the process runs, `metapaas keys`.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metapaas_core::error::chain;
use metapaas_core::secret::KeyRing;
use metapaas_core::store::Store;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::startup::{StartError, read_secret, write_secret};

mod command;

pub(crate) use self::command::{KeysCommand, run};

/// Holds the keys themselves, where files are no good.
pub(crate) const VARIABLE: &str = "METAPAAS_MASTER_KEY";
/// How often the key file is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often values are looked for that another control plane has sealed under an older key.
const AGAIN: Duration = Duration::from_secs(600);

/// Where the master keys are.
#[derive(Clone)]
pub(crate) enum Source {
    /// In the environment of the process.
    Environment,
    /// In a file.
    File {
        /// Which one.
        path: PathBuf,
    },
}

impl Source {
    /// The source that the settings choose, and its keys; none before the first start.
    ///
    /// # Errors
    /// When there are two sources with different keys, or one that cannot be read.
    pub(crate) fn choose(config: &Config) -> Result<(Self, Option<Zeroizing<String>>), StartError> {
        let is_named = config.master_key_file.is_some();
        let path = config.master_key_file.clone().unwrap_or_else(|| config.file("master.key"));
        let in_file = read_secret(&path)?;
        if in_file.is_none() && is_named {
            return Err(StartError(format!("the master key file {} does not exist", path.display())));
        }
        let in_environment = match std::env::var(VARIABLE) {
            Ok(text) if text.trim().is_empty() => None,
            Ok(text) => Some(Zeroizing::new(text)),
            Err(std::env::VarError::NotPresent) => None,
            // The error itself would show what is in the variable.
            Err(_) => return Err(StartError(format!("{VARIABLE} is not text"))),
        };
        let Some(in_environment) = in_environment else {
            return Ok((Self::File { path }, in_file));
        };
        if let Some(in_file) = in_file {
            let source = Self::File { path: path.clone() };
            if !Self::Environment.parse(&in_environment)?.is_same(&source.parse(&in_file)?) {
                return Err(StartError(format!(
                    "{VARIABLE} and {} hold different master keys; take one of them away",
                    path.display()
                )));
            }
        }
        Ok((Self::Environment, Some(in_environment)))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// With the number of the line that is wrong, and never with what is in it.
    pub(crate) fn parse(&self, text: &str) -> Result<KeyRing, StartError> {
        KeyRing::parse(text).map_err(|error| StartError(format!("{self} is wrong: {error}")))
    }

    fn stamp(&self) -> Option<(SystemTime, u64, u64)> {
        let Self::File { path } = self else { return None };
        let file = fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len(), file.ino()))
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Environment => f.write_str(VARIABLE),
            Self::File { path } => write!(f, "the master key file {}", path.display()),
        }
    }
}

/// Takes changed keys from the file, and seals anew what an older key has sealed. Never ends; run it as a task.
pub(crate) async fn follow(source: Source, store: Arc<Store>) {
    // The file may have changed since the start read it, so the first look counts as a change.
    let mut seen = None;
    let mut next = Instant::now();
    loop {
        let stamp = source.stamp();
        if stamp != seen {
            seen = stamp;
            if take(&source, store.keys()) {
                next = Instant::now();
            }
        }
        if Instant::now() >= next {
            next = Instant::now() + AGAIN;
            // With one key there is nothing that could be sealed anew.
            if store.keys().ids().len() > 1 {
                reseal(&store).await;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Answers whether there are other keys than before.
fn take(source: &Source, ring: &KeyRing) -> bool {
    let Source::File { path } = source else { return false };
    let read = read_secret(path).and_then(|text| {
        let text = text.ok_or_else(|| StartError(format!("{source} is gone")))?;
        source.parse(&text)
    });
    match read {
        Ok(new) => {
            let changed = ring.replace(&new);
            if changed {
                tracing::info!(keys = ?ring, "the master keys have changed");
            }
            changed
        }
        Err(error) => {
            tracing::warn!(%error, "the master keys stay as they are");
            false
        }
    }
}

async fn reseal(store: &Store) {
    match store.reseal().await {
        Ok(done) => {
            if done.resealed > 0 {
                tracing::info!(values = done.resealed, "sealed anew under the newest master key");
            }
            for (reason, values) in done.unopened {
                tracing::warn!(values, reason, "some values cannot be sealed anew");
            }
        }
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "sealing anew was broken off; it goes on in a while");
        }
    }
}

/// Replaces a key file. Whoever runs this, its owner stays who it was: the control plane must be able to read it.
fn replace(path: &Path, text: &str) -> Result<(), StartError> {
    let failed = |error| StartError(format!("{} cannot be written: {error}", path.display()));
    let before = fs::metadata(path).map_err(failed)?;
    write_secret(path, text.as_bytes())?;
    let after = fs::metadata(path).map_err(failed)?;
    if (before.uid(), before.gid()) != (after.uid(), after.gid()) {
        chown(path, Some(before.uid()), Some(before.gid())).map_err(failed)?;
    }
    Ok(())
}
