//! [`Statement`]: text for one database with numbered slots for values, made once and run many times.

use std::sync::Arc;

use sea_query::{
    Expr, PostgresQueryBuilder, QueryStatementWriter, SimpleExpr, SqliteQueryBuilder, Value, Values,
    WithQuery,
};

use super::value::Arg;

/// Which SQL a statement is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL 13 or newer.
    Postgres,
}

impl Dialect {
    /// `sqlite` or `postgres`, as in file names of migrations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A statement and the slot that each placeholder of its text takes its value from.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text.
    pub sql: Arc<str>,
    slots: Arc<[usize]>,
}

impl Statement {
    /// Writes a query whose values are all [`slot`]s.
    pub fn new(dialect: Dialect, query: &impl QueryStatementWriter) -> Self {
        Self::from_parts(match dialect {
            Dialect::Sqlite => query.build(SqliteQueryBuilder),
            Dialect::Postgres => query.build(PostgresQueryBuilder),
        })
    }

    /// The same for a query that begins with WITH.
    pub(super) fn of_with(dialect: Dialect, query: &WithQuery) -> Self {
        Self::from_parts(match dialect {
            Dialect::Sqlite => query.build(SqliteQueryBuilder),
            Dialect::Postgres => query.build(PostgresQueryBuilder),
        })
    }

    /// A text without values, for what sea-query cannot say.
    pub(crate) fn raw(sql: &str) -> Self {
        Self { sql: sql.into(), slots: [].into() }
    }

    fn from_parts((sql, Values(values)): (String, Values)) -> Self {
        let slot_of = |value: &Value| match value {
            Value::BigInt(Some(slot)) => usize::try_from(*slot).unwrap_or_default(),
            // LIMIT and OFFSET come as unsigned numbers; they are slots like all others.
            Value::BigUnsigned(Some(slot)) => usize::try_from(*slot).unwrap_or_default(),
            _ => 0,
        };
        Self { sql: sql.into(), slots: values.iter().map(slot_of).collect() }
    }

    /// The values in the order of the placeholders.
    pub(super) fn arguments<'a>(&'a self, args: &'a [Arg]) -> impl Iterator<Item = &'a Arg> {
        self.slots.iter().filter_map(|slot| args.get(*slot))
    }
}

/// Stands for the value number `slot` of the arguments that the statement will be run with.
pub fn slot(slot: usize) -> SimpleExpr {
    Expr::val(i64::try_from(slot).unwrap_or(i64::MAX))
}
