//! `credentials.json`: the logins of this user, one per server, shared by all its CLI processes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use metapaas_agent::files;
use serde::{Deserialize, Serialize};

use super::error::CliError;

/// Longer than any request takes that another process makes while it holds the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(90);

/// The file and its lock.
#[derive(Clone, Debug)]
pub(crate) struct LoginFile {
    directory: PathBuf,
}

/// What is in the file.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Logins {
    /// The server of the last login.
    pub(crate) current: Option<String>,
    /// By base URL of the server.
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, Login>,
}

/// A login at one server.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Login {
    /// Who logged in.
    pub(crate) user: String,
    /// Good for one renewal.
    pub(crate) refresh_token: String,
    /// For requests.
    pub(crate) access_token: String,
    /// When the access token ends.
    pub(crate) expires_at: DateTime<Utc>,
}

/// Nobody else changes the file while this is held.
pub(crate) struct Locked<'a> {
    file: &'a LoginFile,
    _lock: File,
}

impl LoginFile {
    /// In that directory, which need not exist.
    pub(crate) const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What is in it; nothing when it does not exist.
    pub(crate) fn read(&self) -> Result<Logins, CliError> {
        let path = self.path();
        let bytes = files::read_optional(&path).map_err(|source| CliError::File {
            doing: "cannot read",
            path: path.clone(),
            source,
        })?;
        let Some(bytes) = bytes else { return Ok(Logins::default()) };
        serde_json::from_slice(&bytes).map_err(|source| CliError::Unexpected {
            what: format!("{} is damaged; remove it and log in again", path.display()),
            source: Some(Box::new(source)),
        })
    }

    /// Waits until no other process changes it.
    pub(crate) async fn lock(&self) -> Result<Locked<'_>, CliError> {
        let failed = |source| CliError::File {
            doing: "cannot lock",
            path: self.directory.join("credentials.lock"),
            source,
        };
        files::private_directory(&self.directory).map_err(failed)?;
        let path = self.directory.join("credentials.lock");
        match tokio::time::timeout(LOCK_TIMEOUT, files::lock(&path)).await {
            Ok(locked) => Ok(Locked { file: self, _lock: locked.map_err(failed)? }),
            Err(_) => Err(failed(std::io::Error::other("another process has held it for too long"))),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("credentials.json")
    }
}

impl Locked<'_> {
    /// What is in the file.
    pub(crate) fn read(&self) -> Result<Logins, CliError> {
        self.file.read()
    }

    /// Replaces it in one step, for its owner's eyes only.
    pub(crate) fn write(&self, logins: &Logins) -> Result<(), CliError> {
        let path = self.file.path();
        let bytes = serde_json::to_vec_pretty(logins).map_err(std::io::Error::other);
        bytes.and_then(|bytes| files::write_atomic(&path, &bytes, 0o600)).map_err(|source| CliError::File {
            doing: "cannot write",
            path,
            source,
        })
    }
}
