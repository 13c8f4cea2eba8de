//! A store over types that have no migrations: their tables are made as the descriptors say.

use std::sync::Arc;

use uuid::Uuid;

use super::TestDatabase;
use crate::plugin::Plugin;
use crate::registry::Registry;
use crate::role::PLATFORM_PROJECT;
use crate::secret::KeyRing;
use crate::store::migrate::{PluginMigrations, Schema, apply, create_schema};
use crate::store::{Database, Store};

/// A store over the types of `plugins`, with the framework's tables and the platform project.
///
/// It may be called again with other plugins for the same database.
///
/// # Panics
/// When the plugins conflict or the tables cannot be made.
pub async fn store(database: &TestDatabase, plugins: Vec<Plugin>) -> Arc<Store> {
    let applied = apply(database, &[PluginMigrations::framework()]).await;
    applied.unwrap_or_else(|error| panic!("migrate the framework's tables: {error}: {error:?}"));
    let types: Vec<_> = plugins.iter().flat_map(|plugin| plugin.types.clone()).collect();
    database.run(&create_schema(&Schema::of(&types), database.dialect())).await;
    project(database, PLATFORM_PROJECT, "platform").await;
    open_store(database, plugins)
}

/// A second store over a database that [`store`] has prepared, as another control plane would open it.
///
/// # Panics
/// When the plugins conflict.
pub fn open_store(database: &TestDatabase, plugins: Vec<Plugin>) -> Arc<Store> {
    store_on((**database).clone(), plugins)
}

/// The same over any connection to such a database, from another process too.
///
/// # Panics
/// When the plugins conflict.
pub fn store_on(database: Database, plugins: Vec<Plugin>) -> Arc<Store> {
    let registry = Registry::new(plugins).unwrap_or_else(|conflicts| panic!("{conflicts:#?}"));
    // The same key every time: what one store has sealed the other opens.
    let keys = KeyRing::parse("test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let keys = keys.unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Store::new(database, Arc::new(registry), Arc::new(keys)))
}

/// Adds a project, unless it is there.
///
/// # Panics
/// When it cannot.
pub async fn project(database: &TestDatabase, id: Uuid, name: &str) {
    let time = if database.file().is_some() { "0" } else { "now()" };
    let columns = "id, name, description, created_at, updated_at, revision";
    let sql = format!(
        "INSERT INTO metapaas_projects ({columns}) VALUES ('{id}', '{name}', '', {time}, {time}, 0) \
         ON CONFLICT DO NOTHING"
    );
    database.run(&sql).await;
}
