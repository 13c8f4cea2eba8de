//! Migrations: from descriptors to reviewed SQL files ([`make`]), from those to the database ([`apply`]).

mod apply;
mod diff;
mod error;
mod history;
#[cfg(feature = "testing")]
pub(crate) mod introspect;
mod make;
mod snapshot;

pub use self::apply::{Applied, MigrationStatus, PluginStatus, apply, status};
#[cfg(feature = "testing")]
pub(crate) use self::apply::apply_unchecked;
pub use self::diff::{Refusal, Target, diff};
pub use self::error::{MigrateError, Problem};
pub use self::make::{MakeError, Made, make};
pub use self::snapshot::{SnapshotError, read_snapshot, write_snapshot};
pub use super::ddl::{Change, create_schema, script};
pub use super::framework_schema::{FRAMEWORK, framework_schema};
pub use super::schema::{
    Column, ColumnKind, Index, OnDelete, Reference, Schema, Table, Values, index_name,
};
use super::framework_schema::MIGRATIONS;
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

    /// Those of the framework, then those of each plugin: what a control plane applies, in order.
    pub fn all(plugins: &[Plugin]) -> Vec<Self> {
        std::iter::once(Self::framework()).chain(plugins.iter().map(Self::from)).collect()
    }
}

impl From<&Plugin> for PluginMigrations {
    fn from(plugin: &Plugin) -> Self {
        Self::new(plugin.name, plugin.version, &plugin.types, plugin.migrations)
    }
}
