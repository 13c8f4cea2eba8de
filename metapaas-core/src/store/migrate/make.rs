//! Proposes the next migration of a plugin as files for a person to review and commit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::PluginMigrations;
use super::diff::{Refusal, diff};
use super::history;
use super::snapshot::{SnapshotError, read_snapshot, write_snapshot};
use crate::store::ddl::{Change, script};
use crate::store::statement::Dialect;

/// What became of the request for a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// These files were written or changed.
    Files(Vec<PathBuf>),
    /// The types and the committed migrations agree.
    NothingToDo,
    /// It would lose or spoil data; nothing was written.
    Refused(Vec<Refusal>),
}

/// The migration could not be written.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The given name does not do for a file.
    #[error("`{0}` is no name for a migration; use lower-case letters, digits and underscores, at most 50")]
    Name(String),
    /// The folder cannot be read or written.
    #[error("cannot use {}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// `schema.json` cannot be read.
    #[error("cannot read {}; restore it from version control", .path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: SnapshotError,
    },
    /// `list.rs` has been laid out differently.
    #[error("{} has no line `    ],` that ends its list; lay it out as `metapaas migrate make` does", .0.display())]
    List(PathBuf),
    /// No number is left.
    #[error("{} has 9999 migrations", .0.display())]
    Full(PathBuf),
}

const LIST_START: &str = "\
// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
    ],
    snapshot: include_str!(\"schema.json\"),
}
";
const LIST_END: &str = "\n    ],\n";

/// Writes the migration from the schema in `dir` to the one that the plugin's types need.
///
/// Older migrations are not touched: two SQL files are new, `list.rs` gets an entry, `schema.json` is replaced. When
/// the change concerns no database, only `schema.json` is.
///
/// # Errors
/// See [`MakeError`].
pub fn make(plugin: &PluginMigrations, dir: &Path, name: Option<&str>) -> Result<Made, MakeError> {
    let snapshot_path = dir.join("schema.json");
    let snapshot = read_or_empty(&snapshot_path)?;
    let old = read_snapshot(&snapshot)
        .map_err(|source| MakeError::Snapshot { path: snapshot_path.clone(), source })?;
    let changes = match diff(&old, &plugin.target) {
        Ok(changes) if changes.is_empty() => return Ok(Made::NothingToDo),
        Ok(changes) => changes,
        Err(refusals) => return Ok(Made::Refused(refusals)),
    };
    fs::create_dir_all(dir).map_err(|source| MakeError::File { path: dir.into(), source })?;
    let after = &plugin.target.schema;
    let mut files = Vec::new();
    if changes.iter().any(|change| !matches!(change, Change::AllowValues { .. })) {
        let number = next_number(dir)?;
        let label = match name {
            Some(name) if is_name(name) => name.to_owned(),
            Some(name) => return Err(MakeError::Name(name.into())),
            None if number == 1 => "init".into(),
            None => describe(&changes),
        };
        let name = format!("{number:04}_{label}");
        let list_path = dir.join("list.rs");
        let list = with_entry(&list_path, &name)?;
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let path = dir.join(format!("{name}.{}.sql", dialect.as_str()));
            write_new(&path, &script(&changes, after, dialect))?;
            files.push(path);
        }
        write(&list_path, &list)?;
        files.push(list_path);
    }
    write(&snapshot_path, &write_snapshot(after))?;
    files.push(snapshot_path);
    Ok(Made::Files(files))
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=50).contains(&name.len()) && name.bytes().all(allowed)
}

/// A name for a migration that nobody named: its first change.
fn describe(changes: &[Change]) -> String {
    let first = changes
        .iter()
        .find(|change| !matches!(change, Change::AllowValues { .. } | Change::DropIndex { .. }));
    let mut name = match first {
        Some(Change::CreateTable { table }) => format!("create_{table}"),
        Some(Change::AddColumn { column, .. }) => format!("add_{column}"),
        Some(Change::RenameColumn { to, .. }) => format!("rename_{to}"),
        Some(Change::AllowNull { column, .. }) => format!("optional_{column}"),
        _ => "indexes".into(),
    };
    name.retain(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    name.truncate(50);
    name
}

/// One more than the greatest number of a file in `dir`.
fn next_number(dir: &Path) -> Result<i64, MakeError> {
    let failed = |source| MakeError::File { path: dir.into(), source };
    let mut last = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        last = last.max(name.to_str().and_then(history::number).unwrap_or_default());
    }
    if last < 9999 { Ok(last + 1) } else { Err(MakeError::Full(dir.into())) }
}

/// The text of `list.rs` with one more entry at its end.
fn with_entry(path: &Path, name: &str) -> Result<String, MakeError> {
    let list = read_or_empty(path)?;
    let list = if list.is_empty() { LIST_START.to_owned() } else { list };
    let end = list.rfind(LIST_END).ok_or_else(|| MakeError::List(path.into()))? + 1;
    let id = Uuid::new_v4();
    let entry = format!(
        "        ::metapaas_core::migration::Migration {{
            id: \"{id}\",
            name: \"{name}\",
            postgres: include_str!(\"{name}.postgres.sql\"),
            sqlite: include_str!(\"{name}.sqlite.sql\"),
        }},\n"
    );
    Ok(format!("{}{entry}{}", &list[..end], &list[end..]))
}

fn read_or_empty(path: &Path) -> Result<String, MakeError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|source| MakeError::File { path: path.into(), source }),
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), MakeError> {
    use io::Write as _;

    let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| MakeError::File { path: path.into(), source })
}

/// Replaces a file whole, so that a crash leaves the old or the new one.
fn write(path: &Path, text: &str) -> Result<(), MakeError> {
    let beside = path.with_extension("new");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| MakeError::File { path: path.into(), source })
}
