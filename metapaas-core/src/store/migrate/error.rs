//! [`MigrateError`] and the [`Problem`]s that stop a start before anything is changed.

use std::fmt;

use crate::store::error::StoreError;

/// Why the database was not migrated. But for [`MigrateError::EndsTransaction`], nothing was changed, for no plugin.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Code, committed migrations and database do not fit together.
    #[error("{}", lines(.0))]
    Refused(Vec<Problem>),
    /// A migration's SQL failed.
    #[error(
        "migration {migration} of plugin `{plugin}` failed and nothing was changed; mend its SQL or the rows it stumbles over"
    )]
    Failed {
        /// The plugin.
        plugin: String,
        /// The migration.
        migration: String,
        /// The database's answer.
        #[source]
        source: StoreError,
    },
    /// A migration left rows that refer to rows that do not exist.
    #[error(
        "migration {migration} of plugin `{plugin}` breaks references ({tables}) and nothing was changed; mend its SQL"
    )]
    BrokenReferences {
        /// The plugin.
        plugin: String,
        /// The migration.
        migration: String,
        /// `table -> table` of each broken reference.
        tables: String,
    },
    /// A migration has a COMMIT or ROLLBACK, and so cannot be all or nothing.
    #[error(
        "migration {migration} of plugin `{plugin}` ends the transaction it runs in; take BEGIN, COMMIT and ROLLBACK out of its SQL"
    )]
    EndsTransaction {
        /// The plugin.
        plugin: String,
        /// The migration.
        migration: String,
    },
    /// The database cannot be reached or locked, or its history cannot be read or written.
    #[error("the database cannot be migrated")]
    Database(#[source] StoreError),
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The types need another schema than the committed migrations give.
    #[error(
        "the types of plugin `{plugin}` differ from its migrations: {differences}; run `metapaas migrate make {plugin}`, review the SQL, commit it and build again",
        differences = differences.join("; ")
    )]
    SchemaDiffers {
        /// The plugin.
        plugin: String,
        /// Each difference, naming table and column.
        differences: Vec<String>,
    },
    /// The plugin's types have no tables yet.
    #[error(
        "plugin `{plugin}` has types and no migrations; run `metapaas migrate make {plugin}`, review the SQL, commit it, add `.migrations(migrations!())` to the plugin and build again"
    )]
    NoMigrations {
        /// The plugin.
        plugin: String,
    },
    /// `schema.json` cannot be read.
    #[error(
        "migrations/schema.json of plugin `{plugin}` cannot be read ({detail}); restore it from version control"
    )]
    BadSnapshot {
        /// The plugin.
        plugin: String,
        /// What is wrong with it.
        detail: String,
    },
    /// `list.rs` breaks a rule.
    #[error("migration {migration} of plugin `{plugin}`: {detail}; mend its entry in migrations/list.rs")]
    BadList {
        /// The plugin.
        plugin: String,
        /// The migration.
        migration: String,
        /// Which rule.
        detail: &'static str,
    },
    /// An applied migration's text is not what it was.
    #[error(
        "migration {migration} of plugin `{plugin}` was altered after it was applied; restore its SQL and put the change into a new migration"
    )]
    Altered {
        /// The plugin.
        plugin: String,
        /// The migration.
        migration: String,
    },
    /// An applied migration is not in the list, and later ones are.
    #[error(
        "migration {migration} of plugin `{plugin}` is applied and missing from migrations/list.rs; restore it"
    )]
    Missing {
        /// The plugin.
        plugin: String,
        /// The migration.
        migration: String,
    },
    /// A new migration stands before an applied one.
    #[error(
        "migration {migration} of plugin `{plugin}` comes before {applied}, which is applied already; give it a number after that"
    )]
    OutOfOrder {
        /// The plugin.
        plugin: String,
        /// The new migration.
        migration: String,
        /// The last applied one.
        applied: String,
    },
    /// The database has a migration from after this binary was built.
    #[error(
        "the database is newer than this program: migration {migration} of plugin `{plugin}` was applied by version {applied_by}, and this is {version}; start version {applied_by} or a newer one"
    )]
    Newer {
        /// The plugin.
        plugin: String,
        /// The migration that this binary does not know.
        migration: String,
        /// The version that applied it.
        applied_by: String,
        /// The plugin's version in this binary.
        version: String,
    },
}

/// One problem stands alone; several stand on lines of their own.
fn lines(problems: &[Problem]) -> String {
    use fmt::Write as _;

    match problems {
        [only] => only.to_string(),
        many => many.iter().fold("the database was not migrated:".to_owned(), |mut text, problem| {
            // Writing into a String does not fail.
            let _ = write!(text, "\n- {problem}");
            text
        }),
    }
}
