//! Holds a plugin to its migrations: whatever a database had before, they lead to the schema of the descriptors.

use std::collections::{BTreeMap, BTreeSet};

use super::database::{TestDatabase, postgres, sqlite};
use crate::migration::Migrations;
use crate::plugin::Plugin;
use crate::store::migrate::{self, PluginMigrations, introspect};
use crate::store::{Statement, StoreError};

/// Checks the migrations of `plugins` on SQLite and PostgreSQL: one plugin, and those that its types refer to.
///
/// On an empty database and on each earlier state of each plugin, which stands for an earlier release and has a row in
/// every table, all migrations must keep the rows and give exactly the tables, columns, keys and indexes that the
/// descriptors mean.
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
    add_rows(database, &place).await;
    let rows_before = count_rows(database, &place).await;
    migrate::apply(database, plugins).await.unwrap_or_else(|error| failed(error));
    let rows = count_rows(database, &place).await;
    for (table, count) in rows_before.iter().filter(|(table, _)| table.as_str() != introspect::HISTORY) {
        let now = rows.get(table);
        assert!(
            now.is_none_or(|now| now >= count),
            "{place}: table {table} had {count} rows and has {now:?} after the migrations"
        );
    }

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

/// Puts a row into every table. All ids are the same, so references hold.
async fn add_rows(database: &TestDatabase, place: &str) {
    let columns = introspect::columns(database).await.unwrap_or_else(|error| panic!("{place}: {error:?}"));
    let mut values: BTreeMap<String, Vec<(String, &str)>> = BTreeMap::new();
    for column in columns.into_iter().filter(|column| !column.nullable && column.table != introspect::HISTORY)
    {
        values.entry(column.table).or_default().push((column.name, sample(&column.kind)));
    }
    let insert = |(table, values): (String, Vec<(String, &str)>)| {
        let (names, values): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        format!("INSERT INTO \"{table}\" (\"{}\") VALUES ({})", names.join("\", \""), values.join(", "))
    };
    let mut waiting: Vec<String> = values.into_iter().map(insert).collect();
    // A table that refers to another takes its row after that one.
    while !waiting.is_empty() {
        let mut later = Vec::new();
        let rounds = waiting.len();
        for sql in waiting {
            match database.try_run(&sql).await {
                Ok(()) => {}
                Err(StoreError::Reference { .. }) => later.push(sql),
                Err(error) => panic!("{place}: {sql}: {error:?}"),
            }
        }
        assert!(
            later.len() < rounds,
            "{place}: no order of these rows satisfies their references: {later:#?}"
        );
        waiting = later;
    }
}

/// A value of a database type, as SQL. A UUID does for text, which is what SQLite keeps one as.
fn sample(kind: &str) -> &'static str {
    match kind {
        "boolean" => "false",
        "bigint" | "integer" => "1",
        "double precision" | "double" => "1.5",
        "timestamp with time zone" => "now()",
        "jsonb" => "'{}'",
        _ => "'00000000-0000-4000-8000-000000000001'",
    }
}

async fn count_rows(database: &TestDatabase, place: &str) -> BTreeMap<String, i64> {
    let failed = |error: StoreError| -> ! { panic!("{place}: {error:?}") };
    let columns = introspect::columns(database).await.unwrap_or_else(|error| failed(error));
    let tables: BTreeSet<String> = columns.into_iter().map(|column| column.table).collect();
    let mut counts = BTreeMap::new();
    for table in tables {
        let count = Statement::raw(&format!("SELECT count(*) FROM \"{table}\""));
        let rows = database.fetch("count rows", &count, &[]).await.unwrap_or_else(|error| failed(error));
        counts.insert(table, rows.first().and_then(|row| row.int(0).ok().flatten()).unwrap_or_default());
    }
    counts
}
