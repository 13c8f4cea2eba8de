//! What a plugin's migrations are, as data. `migrations/list.rs` of a plugin, written by
//! `metapaas migrate make`, holds them; [`migrations!`](crate::migrations) includes it.

/// A plugin's schema changes, oldest first, and the schema they lead to.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Append-only; a released entry never changes.
    pub list: &'static [Migration],
    /// `migrations/schema.json`: the schema after the last one.
    pub snapshot: &'static str,
}

/// One step from a schema to the next, run in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Tells it from every other migration, whatever its number.
    pub id: &'static str,
    /// Four digits and a name, e.g. `0001_init`.
    pub name: &'static str,
    /// The SQL for PostgreSQL.
    pub postgres: &'static str,
    /// The SQL for SQLite.
    pub sqlite: &'static str,
}

impl Migrations {
    /// Of a plugin that keeps nothing.
    pub const NONE: Self = Self { list: &[], snapshot: "" };
}

/// The migrations in the `migrations` folder of the crate that calls it.
#[macro_export]
macro_rules! migrations {
    () => {
        include!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/list.rs"))
    };
}
