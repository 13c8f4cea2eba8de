//! Migrations: from descriptors to reviewed SQL files ([`make`]), from those to the database ([`apply`]).

mod apply;
mod diff;
mod error;
mod history;
#[cfg(feature = "testing")]
pub(crate) mod introspect;
mod make;
mod snapshot;

#[cfg(feature = "testing")]
pub(crate) use self::apply::apply_unchecked;
pub use self::apply::{Applied, MigrationStatus, PluginStatus, apply, status};
pub use self::diff::{Refusal, Target, diff};
pub use self::error::{MigrateError, Problem};
pub use self::make::{Made, MakeError, make};
pub use self::snapshot::{SnapshotError, read_snapshot, write_snapshot};
pub use super::ddl::{Change, create_schema, script};
use super::framework_schema::MIGRATIONS;
pub use super::framework_schema::{FRAMEWORK, framework_schema};
pub use super::schema::{Column, ColumnKind, Index, OnDelete, Reference, Schema, Table, Values, index_name};
use crate::descriptor::TypeDescriptor;
use crate::migration::Migrations;
use crate::plugin::Plugin;

/// One independent list of migrations: a plugin's, or the framework's.
#[derive(Clone, Debug)]
pub struct PluginMigrations {
    /// The plugin, or [`FRAMEWORK`].
    pub name: &'static str,
    /// Its version, kept beside each migration that it applies.
    pub version: &'static str,
    /// The committed list.
    pub migrations: Migrations,
    /// The schema that the code needs.
    pub target: Target,
}

impl PluginMigrations {
    /// Those of the framework's own tables.
    pub fn framework() -> Self {
        Self {
            name: FRAMEWORK,
            version: env!("CARGO_PKG_VERSION"),
            migrations: MIGRATIONS,
            target: Target::from(framework_schema()),
        }
    }

    /// Those of a plugin with these types.
    pub fn new(
        name: &'static str,
        version: &'static str,
        types: &[&'static TypeDescriptor],
        migrations: Migrations,
    ) -> Self {
        Self { name, version, migrations, target: Target::of(types) }
    }

    /// Those of the framework, then those of each plugin: what a control plane applies, in order. A plugin whose types
    /// refer to another's comes after it.
    pub fn all(plugins: &[Plugin]) -> Vec<Self> {
        let mut ordered = vec![Self::framework()];
        let mut waiting: Vec<Self> = plugins.iter().map(Self::from).collect();
        while !waiting.is_empty() {
            let is_ready =
                |one: &Self| !waiting.iter().any(|other| other.name != one.name && one.refers_to(other));
            let next = waiting.iter().position(is_ready).unwrap_or_default();
            ordered.push(waiting.remove(next));
        }
        ordered
    }

    fn refers_to(&self, other: &Self) -> bool {
        let columns = self.target.schema.tables.values().flat_map(|table| &table.columns);
        let mut references = columns.filter_map(|column| column.references.as_ref());
        references.any(|reference| other.target.schema.tables.contains_key(&reference.table))
    }
}

impl From<&Plugin> for PluginMigrations {
    fn from(plugin: &Plugin) -> Self {
        Self::new(plugin.name, plugin.version, &plugin.types, plugin.migrations)
    }
}
