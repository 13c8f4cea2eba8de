//! Brings a database to the schema of this binary, or says why not, having changed nothing.

use chrono::{DateTime, SubsecRound, Utc};

use super::PluginMigrations;
use super::diff::diff;
use super::error::{MigrateError, Problem};
use super::history::{self, Pending, Record};
use super::snapshot::read_snapshot;
use crate::store::database::{Database, Tx};
use crate::store::statement::Dialect;

const ACTION: &str = "migrate the database";

/// A migration that was applied just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The plugin.
    pub plugin: String,
    /// Its name, e.g. `0001_init`.
    pub migration: String,
}

/// Where a plugin's list stands on a database.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    /// The plugin.
    pub plugin: String,
    /// Each of its migrations, oldest first.
    pub migrations: Vec<MigrationStatus>,
    /// What would stop a start.
    pub problems: Vec<Problem>,
}

/// Where one migration stands on a database.
#[derive(Clone, Debug)]
pub struct MigrationStatus {
    /// Its name, e.g. `0001_init`.
    pub name: String,
    /// When it was applied; `None` while it waits.
    pub applied_at: Option<DateTime<Utc>>,
    /// The version that applied it.
    pub applied_by: Option<String>,
}

/// Applies all that waits, in one transaction: every plugin's list is checked before the first statement runs, and
/// when one fails, none has happened. Control planes that start together take turns.
///
/// # Errors
/// See [`MigrateError`]; nothing was changed.
pub async fn apply(database: &Database, plugins: &[PluginMigrations]) -> Result<Vec<Applied>, MigrateError> {
    let problems: Vec<Problem> = plugins.iter().filter_map(schema_problem).collect();
    if !problems.is_empty() {
        return Err(MigrateError::Refused(problems));
    }
    apply_unchecked(database, plugins).await
}

/// The same without comparing the types with the snapshots, so that it can stop at an earlier schema.
pub(crate) async fn apply_unchecked(
    database: &Database,
    plugins: &[PluginMigrations],
) -> Result<Vec<Applied>, MigrateError> {
    let mut tx = database.begin_schema_change(ACTION).await.map_err(MigrateError::Database)?;
    match apply_in(&mut tx, plugins).await {
        Ok(applied) => {
            tx.commit_schema_change(ACTION).await.map_err(MigrateError::Database)?;
            for one in &applied {
                tracing::info!(plugin = one.plugin, migration = one.migration, "migration applied");
            }
            Ok(applied)
        }
        Err(error) => {
            tx.undo_schema_change().await;
            Err(error)
        }
    }
}

async fn apply_in(tx: &mut Tx, plugins: &[PluginMigrations]) -> Result<Vec<Applied>, MigrateError> {
    let history = history::read_in(tx).await.map_err(MigrateError::Database)?;
    let dialect = tx.dialect();
    let mut waiting = Vec::new();
    let mut problems = Vec::new();
    for plugin in plugins {
        match history::judge(plugin, dialect, &history) {
            Ok(pending) => waiting.extend(pending.into_iter().map(|one| (plugin, one))),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(MigrateError::Refused(problems));
    }
    let mut applied = Vec::new();
    for (plugin, pending) in &waiting {
        apply_one(tx, dialect, plugin, pending).await?;
        applied.push(Applied { plugin: plugin.name.into(), migration: pending.migration.name.into() });
    }
    Ok(applied)
}

async fn apply_one(
    tx: &mut Tx,
    dialect: Dialect,
    plugin: &PluginMigrations,
    pending: &Pending,
) -> Result<(), MigrateError> {
    let failed = |source| MigrateError::Failed {
        plugin: plugin.name.into(),
        migration: pending.migration.name.into(),
        source,
    };
    tx.execute_script(ACTION, "SAVEPOINT migration").await.map_err(failed)?;
    tx.execute_script(ACTION, history::text(&pending.migration, dialect)).await.map_err(failed)?;
    // The savepoint is gone only when its transaction is.
    tx.execute_script(ACTION, "RELEASE SAVEPOINT migration").await.map_err(|_| {
        MigrateError::EndsTransaction { plugin: plugin.name.into(), migration: pending.migration.name.into() }
    })?;
    let broken = tx.broken_references(ACTION).await.map_err(failed)?;
    if !broken.is_empty() {
        return Err(MigrateError::BrokenReferences {
            plugin: plugin.name.into(),
            migration: pending.migration.name.into(),
            tables: broken.join(", "),
        });
    }
    let record = Record {
        plugin: plugin.name.into(),
        id: pending.id,
        name: pending.migration.name.into(),
        number: pending.number,
        checksum: history::checksum(&pending.migration, dialect),
        applied_at: Utc::now().trunc_subsecs(6),
        binary_version: plugin.version.into(),
    };
    history::write_in(tx, &record).await.map_err(failed)
}

/// Where each list stands. Changes nothing.
///
/// # Errors
/// When the history cannot be read.
pub async fn status(
    database: &Database,
    plugins: &[PluginMigrations],
) -> Result<Vec<PluginStatus>, MigrateError> {
    let history = history::read(database).await.map_err(MigrateError::Database)?;
    let of_plugin = |plugin: &PluginMigrations| {
        let mut problems: Vec<Problem> = schema_problem(plugin).into_iter().collect();
        problems.extend(history::judge(plugin, database.dialect(), &history).err().into_iter().flatten());
        let migrations = plugin.migrations.list.iter().map(|migration| {
            let id = migration.id.parse().ok();
            let record = history.iter().find(|record| record.plugin == plugin.name && Some(record.id) == id);
            MigrationStatus {
                name: migration.name.into(),
                applied_at: record.map(|record| record.applied_at),
                applied_by: record.map(|record| record.binary_version.clone()),
            }
        });
        PluginStatus { plugin: plugin.name.into(), migrations: migrations.collect(), problems }
    };
    Ok(plugins.iter().map(of_plugin).collect())
}

/// Whether the types need another schema than the committed one.
fn schema_problem(plugin: &PluginMigrations) -> Option<Problem> {
    if plugin.migrations.list.is_empty() && !plugin.target.schema.tables.is_empty() {
        return Some(Problem::NoMigrations { plugin: plugin.name.into() });
    }
    let snapshot = match read_snapshot(plugin.migrations.snapshot) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let detail = error.0.to_string();
            return Some(Problem::BadSnapshot { plugin: plugin.name.into(), detail });
        }
    };
    let differences: Vec<String> = match diff(&snapshot, &plugin.target) {
        Ok(changes) => changes.iter().map(ToString::to_string).collect(),
        Err(refusals) => refusals.iter().map(|refusal| refusal.what()).collect(),
    };
    (!differences.is_empty()).then(|| Problem::SchemaDiffers { plugin: plugin.name.into(), differences })
}
