//! Holds a plugin to its migrations: whatever a database had before, they lead to the schema of the descriptors.

use super::database::{TestDatabase, postgres, sqlite};
use crate::migration::Migrations;
use crate::plugin::Plugin;
use crate::store::migrate::{self, PluginMigrations, introspect};

/// Checks the migrations of `plugins` on SQLite and PostgreSQL: one plugin, and those that its types refer to.
///
/// On an empty database and on each earlier state of each plugin, which stands for an earlier release, all
/// migrations must give exactly the tables, columns, keys and indexes that the descriptors mean.
///
/// # Panics
/// When they do not, naming each line that is missing or too many.
pub async fn check_migrations(plugins: &[Plugin]) {
    check(&PluginMigrations::all(plugins)).await;
}

/// The same for the framework's own tables.
///
/// # Panics
/// When its migrations do not give its schema.
pub async fn check_framework_migrations() {
    check(&[PluginMigrations::framework()]).await;
}

async fn check(plugins: &[PluginMigrations]) {
    // The framework is checked by its own test, so its earlier states are not repeated for every plugin.
    let checked = if plugins.len() == 1 { 0 } else { 1 };
    for (index, plugin) in plugins.iter().enumerate().skip(checked) {
        for earlier in 0..=plugin.migrations.list.len() {
            let mut before = plugins.to_vec();
            before[index].migrations =
                Migrations { list: &plugin.migrations.list[..earlier], ..plugin.migrations };
            check_from(&sqlite().await, &before, plugins).await;
            check_from(&postgres().await, &before, plugins).await;
        }
    }
}

async fn check_from(database: &TestDatabase, before: &[PluginMigrations], plugins: &[PluginMigrations]) {
    let state: Vec<String> = before
        .iter()
        .map(|plugin| {
            format!("{} {}", plugin.name, plugin.migrations.list.last().map_or("empty", |last| last.name))
        })
        .collect();
    let place = format!("{} that had [{}]", database.dialect().as_str(), state.join(", "));
    let failed = |error: migrate::MigrateError| -> ! { panic!("{place}: {error}: {error:?}") };
    migrate::apply_unchecked(database, before).await.unwrap_or_else(|error| failed(error));
    migrate::apply(database, plugins).await.unwrap_or_else(|error| failed(error));

    let schemas: Vec<_> = plugins.iter().map(|plugin| &plugin.target.schema).collect();
    let expected = introspect::expected(&schemas, database.dialect());
    let found = introspect::found(database).await.unwrap_or_else(|error| panic!("{place}: {error:?}"));
    let missing: Vec<&String> = expected.difference(&found).collect();
    let too_many: Vec<&String> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && too_many.is_empty(),
        "{place}: the migrations do not give the schema of the types\nmissing: {missing:#?}\ntoo many: {too_many:#?}"
    );
}
