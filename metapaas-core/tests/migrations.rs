//! Migrations: what is proposed, what is refused, what a start does with a database.

mod diff;
mod evolution;
mod framework;
mod start;

use std::fs;
use std::path::Path;

use metapaas_core::__private::{instance, of, output_of};
use metapaas_core::FieldType;
use metapaas_core::descriptor::{FieldDescriptor, Key, TypeDescriptor};
use metapaas_core::field_type::OutputType;
use metapaas_core::migrate::{Made, PluginMigrations, make};
use metapaas_core::migration::{Migration, Migrations};
use metapaas_core::testing::{TestDatabase, postgres, sqlite};

type Types = Vec<&'static TypeDescriptor>;

/// A field without options.
const fn field<T: FieldType>(name: &'static str) -> FieldDescriptor {
    of::<T>().field(name, "")
}

/// A field that only the platform sets.
const fn output_field<T: OutputType>(name: &'static str) -> FieldDescriptor {
    output_of::<T>().field(name, "")
}

/// The canonical JSON of a default.
fn json<T: FieldType>(value: T) -> serde_json::Value {
    value.to_json()
}

/// A type below `parent` without fields.
fn child(name: &'static str, plural: &'static str, parent: &'static TypeDescriptor) -> TypeDescriptor {
    TypeDescriptor { plural, parent: Some(parent), ..instance(name, parent.slug, "") }
}

/// An instance type `site` with these fields.
fn site(fields: Vec<FieldDescriptor>) -> &'static TypeDescriptor {
    leak(TypeDescriptor { fields: fields.leak(), ..instance("Site", "site", "") })
}

/// A type `pages` below `parent`, named by its field `path`.
fn pages(parent: &'static TypeDescriptor, fields: Vec<FieldDescriptor>) -> &'static TypeDescriptor {
    leak(TypeDescriptor { key: Key::Field("path"), fields: fields.leak(), ..child("Page", "pages", parent) })
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

async fn both() -> [TestDatabase; 2] {
    [sqlite().await, postgres().await]
}

/// The plugin `site` whose author ran `make` at each version of its types, the last of which are its own now.
fn evolved(versions: &[Types]) -> PluginMigrations {
    let dir = tempfile::tempdir().unwrap();
    for types in versions {
        let made =
            make(&PluginMigrations::new("site", "1.0.0", types, Migrations::NONE), dir.path(), None).unwrap();
        assert!(matches!(made, Made::Files(_)), "{made:#?}");
    }
    let types = versions.last().cloned().unwrap_or_default();
    PluginMigrations::new("site", "1.0.0", &types, committed(dir.path()))
}

/// What `include!` of `list.rs` would give.
fn committed(dir: &Path) -> Migrations {
    let text = |name: &str| -> &'static str { fs::read_to_string(dir.join(name)).unwrap().leak() };
    let list = text("list.rs");
    let quoted = |line: &'static str, member: &str| line.trim().strip_prefix(member)?.strip_suffix("\",");
    let ids = list.lines().filter_map(|line| quoted(line, "id: \""));
    let names = list.lines().filter_map(|line| quoted(line, "name: \""));
    let migrations: Vec<Migration> = ids
        .zip(names)
        .map(|(id, name)| Migration {
            id,
            name,
            postgres: text(&format!("{name}.postgres.sql")),
            sqlite: text(&format!("{name}.sqlite.sql")),
        })
        .collect();
    Migrations { list: migrations.leak(), snapshot: text("schema.json") }
}
