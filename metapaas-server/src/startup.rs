//! From settings to a control plane that can serve: data folder, lock, keys, database, migrations, first admin.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metapaas_core::authn::load_or_create_signing_key;
use metapaas_core::error::{Error, chain};
use metapaas_core::iam::{self, Bootstrap};
use metapaas_core::migrate::{self, PluginMigrations};
use metapaas_core::registry::Registry;
use metapaas_core::secret::KeyRing;
use metapaas_core::store::{Database, Store};
use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::keys::Source;

/// Why a control plane cannot start: one line that says what and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

impl From<String> for StartError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A control plane before it listens.
pub struct Started {
    /// Its settings.
    pub config: Config,
    /// All hosted types.
    pub registry: Arc<Registry>,
    /// Their rows.
    pub store: Arc<Store>,
    /// Where the master keys are.
    pub(crate) key_source: Source,
    /// Signs access tokens; other keys are derived from it.
    pub signing_key: Zeroizing<Vec<u8>>,
    /// Held while the process lives.
    pub lock: File,
}

/// Makes the data folder, 0700.
///
/// # Errors
/// When it cannot be made or written.
pub fn data_dir(config: &Config) -> Result<(), StartError> {
    let dir = &config.data_dir;
    let failed = |error: &io::Error| {
        StartError(format!(
            "the data folder {} cannot be used: {error}; choose another with --data-dir",
            dir.display()
        ))
    };
    let existed = dir.is_dir();
    fs::create_dir_all(dir).map_err(|error| failed(&error))?;
    if !existed {
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Takes the data folder for this process.
///
/// # Errors
/// When another process has it, or it cannot be written.
pub fn lock(config: &Config) -> Result<File, StartError> {
    let path = config.file("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| {
        let dir = config.data_dir.display();
        StartError(format!(
            "the data folder {dir} cannot be written: {error}; choose another with --data-dir"
        ))
    })?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let dir = config.data_dir.display();
        StartError(format!(
            "another metapaas runs on the data folder {dir}; stop it, or choose another folder with --data-dir"
        ))
    })?;
    Ok(file)
}

/// Opens the database that the settings name.
///
/// # Errors
/// When it cannot be reached, refuses the login or cannot be written.
pub async fn database(config: &Config) -> Result<Database, StartError> {
    match &config.database {
        Some(url) => Database::open_postgres(url, config.database_connections).await.map_err(|error| {
            StartError(format!(
                "{}; check `database` (or METAPAAS_DATABASE) and that the server runs",
                chain(&error)
            ))
        }),
        None => {
            let path = config.file("metapaas.db");
            let opened = Database::open_sqlite(&path)
                .await
                .map_err(|error| StartError(format!("{}; the file is {}", chain(&error), path.display())))?;
            let _ = fs::set_permissions(&path, Permissions::from_mode(0o600));
            Ok(opened)
        }
    }
}

/// Everything up to the point where requests can be served.
///
/// # Errors
/// The first step that fails.
pub async fn start(config: Config, registry: Arc<Registry>) -> Result<Started, StartError> {
    data_dir(&config)?;
    let lock = lock(&config)?;
    let database = database(&config).await?;
    migrate::apply(&database, &PluginMigrations::all(registry.plugins()))
        .await
        .map_err(|error| StartError(chain(&error)))?;
    let (keys, key_source, signing_key) = keys(&config, &database).await?;
    first_admin(&config, &database).await?;
    let store = Arc::new(Store::new(database, registry.clone(), Arc::new(keys)));
    Ok(Started { config, registry, store, key_source, signing_key, lock })
}

/// The master keys, made at the first start of an installation, and the signing key that they seal.
async fn keys(
    config: &Config,
    database: &Database,
) -> Result<(KeyRing, Source, Zeroizing<Vec<u8>>), StartError> {
    let (source, text) = Source::choose(config)?;
    // A new key gets its name only once the database has taken it: a key file that opens nothing is never left.
    let new_path = config.file("master.key.new");
    let (text, is_new) = match text {
        Some(text) => (text, false),
        None => match read_secret(&new_path)? {
            Some(text) => (text, true),
            None => {
                let text = KeyRing::generate();
                write_secret(&new_path, text.as_bytes())?;
                (text, true)
            }
        },
    };
    let ring = source.parse(&text)?;
    match load_or_create_signing_key(database, &ring).await {
        Ok(signing_key) => {
            if is_new {
                rename(&new_path, &config.file("master.key"))?;
            }
            Ok((ring, source, signing_key))
        }
        Err(error) => {
            if is_new {
                let _ = fs::remove_file(&new_path);
            }
            let cause = error.source.as_deref().map_or_else(|| error.detail.clone(), |source| chain(source));
            Err(StartError(format!(
                "{cause}; take over the master keys of a control plane that runs on this database into {source}"
            )))
        }
    }
}

/// At the first start, makes an admin. Its credentials are in a file that only the operator can read before the
/// database has them, and shown once.
async fn first_admin(config: &Config, database: &Database) -> Result<(), StartError> {
    let path = config.file("admin.json");
    let kept = path.clone();
    let made = iam::bootstrap(database, move |made: &Bootstrap| {
        let text = json!({ "user": made.user, "password": made.password, "token": made.token });
        write_secret(&kept, format!("{text:#}\n").as_bytes()).map_err(Error::internal)
    });
    if let Some(made) = made.await.map_err(|error| StartError(chain(&error)))? {
        crate::say(&format!(
            "First start: made the user `{}` with the password {}\n(kept in {}, which only you can read)",
            made.user,
            made.password,
            path.display()
        ));
    }
    Ok(())
}

pub(crate) fn read_secret(path: &Path) -> Result<Option<Zeroizing<String>>, StartError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StartError(format!("{} cannot be read: {error}", path.display()))),
    }
}

/// Writes a file 0600 so that a crash leaves all of it or nothing.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), StartError> {
    let temporary = temporary(path);
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| StartError(format!("{} cannot be written: {error}", path.display())))?;
    rename(&temporary, path)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

fn rename(from: &Path, to: &Path) -> Result<(), StartError> {
    fs::rename(from, to)
        .and_then(|()| match to.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        })
        .map_err(|error| StartError(format!("{} cannot be written: {error}", to.display())))
}
