//! The store: the only part that knows SQL. sea-query writes the statements, sqlx runs them.

pub mod database;
pub mod error;
pub mod statement;
pub mod value;

pub use self::database::{Database, Tx};
pub use self::error::StoreError;
pub use self::statement::{Dialect, Statement, slot};
pub use self::value::{Arg, Required, Row, raw_json};
