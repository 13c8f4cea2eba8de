//! What has been applied, and whether a plugin's list fits it. Judging is a pure function of the two.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_query::{Alias, Query};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::PluginMigrations;
use super::error::Problem;
use crate::migration::Migration;
use crate::store::database::{Database, Tx};
use crate::store::ddl;
use crate::store::error::StoreError;
use crate::store::schema::{Column, ColumnKind, Table};
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::{Arg, Required, Row};

/// The table that keeps the history. It is made by itself: no migration can come before it.
pub(crate) const TABLE: &str = "metapaas_plugin_migrations";
const READ: &str = "read the migration history";
const WRITE: &str = "write the migration history";
const COLUMNS: [&str; 7] = ["plugin", "id", "name", "number", "checksum", "applied_at", "binary_version"];

/// A migration that the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) plugin: String,
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) number: i64,
    pub(crate) checksum: String,
    pub(crate) applied_at: DateTime<Utc>,
    pub(crate) binary_version: String,
}

/// The shape of [`TABLE`].
pub(crate) fn table() -> Table {
    let columns = vec![
        Column::new("plugin", ColumnKind::Text),
        Column::new("id", ColumnKind::Uuid),
        Column::new("name", ColumnKind::Text),
        Column::new("number", ColumnKind::Int),
        Column::new("checksum", ColumnKind::Text),
        Column::new("applied_at", ColumnKind::Timestamp),
        Column::new("binary_version", ColumnKind::Text),
    ];
    Table { primary_key: vec!["plugin".into(), "id".into()], ..Table::new(columns) }
}

/// Asks whether [`TABLE`] is there.
fn exists(dialect: Dialect) -> Statement {
    Statement::raw(match dialect {
        Dialect::Sqlite => "SELECT count(*) FROM sqlite_schema WHERE name = 'metapaas_plugin_migrations'",
        Dialect::Postgres => "SELECT count(to_regclass('metapaas_plugin_migrations'))",
    })
}

fn is_zero(rows: &[Row]) -> Result<bool, StoreError> {
    Ok(rows.first().map(|row| row.int(0)).transpose()?.flatten() == Some(0))
}

fn select(dialect: Dialect) -> Statement {
    let mut query = Query::select();
    query
        .columns(COLUMNS.map(Alias::new))
        .from(Alias::new(TABLE))
        .order_by(Alias::new("number"), sea_query::Order::Asc);
    Statement::new(dialect, &query)
}

fn records(rows: &[Row]) -> Result<Vec<Record>, StoreError> {
    let record = |row: &Row| {
        Ok(Record {
            plugin: row.text(0).required("plugin")?,
            id: row.uuid(1).required("id")?,
            name: row.text(2).required("name")?,
            number: row.int(3).required("number")?,
            checksum: row.text(4).required("checksum")?,
            applied_at: row.time(5).required("applied_at")?,
            binary_version: row.text(6).required("binary_version")?,
        })
    };
    rows.iter().map(record).collect()
}

/// The whole history, oldest first; makes its table.
pub(super) async fn read_in(tx: &mut Tx) -> Result<Vec<Record>, StoreError> {
    if is_zero(&tx.fetch(READ, &exists(tx.dialect()), &[]).await?)? {
        tx.execute_script(WRITE, &ddl::create_table(TABLE, &table(), tx.dialect(), |_| true)).await?;
    }
    records(&tx.fetch(READ, &select(tx.dialect()), &[]).await?)
}

/// The whole history, oldest first; changes nothing.
pub(super) async fn read(database: &Database) -> Result<Vec<Record>, StoreError> {
    if is_zero(&database.fetch(READ, &exists(database.dialect()), &[]).await?)? {
        return Ok(Vec::new());
    }
    records(&database.fetch(READ, &select(database.dialect()), &[]).await?)
}

fn insert(dialect: Dialect) -> Statement {
    let mut query = Query::insert();
    let slots = (0..COLUMNS.len()).map(slot);
    query.into_table(Alias::new(TABLE)).columns(COLUMNS.map(Alias::new)).values_panic(slots);
    Statement::new(dialect, &query)
}

/// Adds a migration to the history.
pub(super) async fn write_in(tx: &mut Tx, record: &Record) -> Result<(), StoreError> {
    let args = [
        Arg::from(record.plugin.as_str()),
        Arg::from(record.id),
        Arg::from(record.name.as_str()),
        Arg::from(record.number),
        Arg::from(record.checksum.as_str()),
        Arg::from(record.applied_at),
        Arg::from(record.binary_version.as_str()),
    ];
    tx.execute(WRITE, &insert(tx.dialect()), &args).await.map(|_| ())
}

/// A migration of the list that the database does not have yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) migration: Migration,
    pub(super) id: Uuid,
    pub(super) number: i64,
}

/// What is left to apply of a plugin's list, or all that speaks against it.
pub(super) fn judge(
    plugin: &PluginMigrations,
    dialect: Dialect,
    history: &[Record],
) -> Result<Vec<Pending>, Vec<Problem>> {
    let list = parse(plugin)?;
    let applied: Vec<&Record> = history.iter().filter(|record| record.plugin == plugin.name).collect();
    let mut problems = Vec::new();
    let last_listed = list.iter().map(|one| one.number).max().unwrap_or_default();
    for record in &applied {
        let (plugin_name, migration) = (plugin.name.to_owned(), record.name.clone());
        match list.iter().find(|one| one.id == record.id) {
            Some(one)
                if checksum(&one.migration, dialect) != record.checksum
                    || one.migration.name != record.name =>
            {
                problems.push(Problem::Altered { plugin: plugin_name, migration });
            }
            Some(_) => {}
            None if record.number > last_listed => problems.push(Problem::Newer {
                plugin: plugin_name,
                migration,
                applied_by: record.binary_version.clone(),
                version: plugin.version.into(),
            }),
            None => problems.push(Problem::Missing { plugin: plugin_name, migration }),
        }
    }
    let pending: Vec<Pending> =
        list.into_iter().filter(|one| !applied.iter().any(|record| record.id == one.id)).collect();
    let known = applied.iter().filter(|record| record.number <= last_listed);
    if let Some(last) = known.max_by_key(|record| record.number) {
        for one in pending.iter().filter(|one| one.number <= last.number) {
            problems.push(Problem::OutOfOrder {
                plugin: plugin.name.into(),
                migration: one.migration.name.into(),
                applied: last.name.clone(),
            });
        }
    }
    if problems.is_empty() { Ok(pending) } else { Err(problems) }
}

/// The list with its numbers and ids read.
fn parse(plugin: &PluginMigrations) -> Result<Vec<Pending>, Vec<Problem>> {
    let mut parsed: Vec<Pending> = Vec::new();
    let mut ids = HashSet::new();
    let mut problems = Vec::new();
    for migration in plugin.migrations.list {
        let mut bad = |detail| {
            problems.push(Problem::BadList {
                plugin: plugin.name.into(),
                migration: migration.name.into(),
                detail,
            });
        };
        let Ok(id) = migration.id.parse::<Uuid>() else {
            bad("its id is not a UUID");
            continue;
        };
        let Some(number) = number(migration.name) else {
            bad("its name is not four digits, an underscore and a name");
            continue;
        };
        if !ids.insert(id) {
            bad("its id is that of another migration");
        }
        if parsed.last().is_some_and(|last| last.number >= number) {
            bad("its number is not greater than that of the one before it");
        }
        parsed.push(Pending { migration: *migration, id, number });
    }
    if problems.is_empty() { Ok(parsed) } else { Err(problems) }
}

/// The number of a migration's name, e.g. 1 for `0001_init`.
pub(super) fn number(name: &str) -> Option<i64> {
    let (digits, rest) = name.split_once('_')?;
    let is_number = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !rest.is_empty()).then(|| digits.parse().ok()).flatten()
}

/// The text of a migration for one database.
pub(super) const fn text(migration: &Migration, dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => migration.sqlite,
        Dialect::Postgres => migration.postgres,
    }
}

/// SHA-256 of a migration's text for one database.
pub(super) fn checksum(migration: &Migration, dialect: Dialect) -> String {
    Sha256::digest(text(migration, dialect)).iter().map(|byte| format!("{byte:02x}")).collect()
}
