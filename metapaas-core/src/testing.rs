//! Helpers for tests of the framework and of plugins (feature `testing`). They panic where a test should fail.
#![expect(clippy::panic, reason = "a helper that cannot do its work fails the test that called it")]

mod database;
mod migrations;
mod nodes;
mod store;

pub use self::database::{POSTGRES_URL, TestDatabase, postgres, query, sqlite};
pub use self::migrations::{check_framework_migrations, check_migrations};
pub use self::nodes::MemoryProvider;
pub use self::store::{open_store, project, store, store_on};
