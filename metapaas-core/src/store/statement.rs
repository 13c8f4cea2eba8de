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

/// The slot of a value that is none: a mistake in the code that wrote the statement.
const NO_SLOT: usize = usize::MAX;

/// A statement and the slot that each placeholder of its text takes its value from.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text.
    pub sql: Arc<str>,
    slots: Arc<[usize]>,
    is_whole: bool,
}

impl Statement {
    /// Writes a query whose values are all [`slot`]s.
    pub fn new(dialect: Dialect, query: &impl QueryStatementWriter) -> Self {
        Self::from_parts(match dialect {
            Dialect::Sqlite => query.build(SqliteQueryBuilder),
            Dialect::Postgres => numbered_once(query.build(PostgresQueryBuilder)),
        })
    }

    /// The same for a query that begins with WITH.
    pub(super) fn of_with(dialect: Dialect, query: &WithQuery) -> Self {
        Self::from_parts(match dialect {
            Dialect::Sqlite => query.build(SqliteQueryBuilder),
            Dialect::Postgres => numbered_once(query.build(PostgresQueryBuilder)),
        })
    }

    /// A text without values, for what sea-query cannot say.
    pub fn raw(sql: &str) -> Self {
        Self { sql: sql.into(), slots: [].into(), is_whole: true }
    }

    fn from_parts((sql, Values(values)): (String, Values)) -> Self {
        let slot_of = |value: &Value| match value {
            Value::BigInt(Some(slot)) => usize::try_from(*slot).unwrap_or(NO_SLOT),
            // LIMIT and OFFSET come as unsigned numbers; they are slots like all others.
            Value::BigUnsigned(Some(slot)) => usize::try_from(*slot).unwrap_or(NO_SLOT),
            _ => NO_SLOT,
        };
        let slots: Arc<[usize]> = values.iter().map(slot_of).collect();
        Self { sql: sql.into(), is_whole: !slots.contains(&NO_SLOT), slots }
    }

    /// Whether every value of the text is a slot. An empty `is_in([])` is none: sea-query writes it with values of its
    /// own, in whose place some argument would go.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The values in the order of the placeholders.
    pub(super) fn arguments<'a>(&'a self, args: &'a [Arg]) -> impl Iterator<Item = &'a Arg> {
        self.slots.iter().filter_map(|slot| args.get(*slot))
    }
}

/// Gives placeholders of the same slot the same number, so that each value is sent once.
fn numbered_once((sql, Values(values)): (String, Values)) -> (String, Values) {
    let mut kept: Vec<Value> = Vec::new();
    let mut text = String::with_capacity(sql.len());
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let value = number.parse().ok().and_then(|number: usize| values.get(number.checked_sub(1)?));
        text.push('$');
        match value {
            Some(value) => {
                let place = kept.iter().position(|other| other == value).unwrap_or_else(|| {
                    kept.push(value.clone());
                    kept.len() - 1
                });
                text.push_str(&(place + 1).to_string());
            }
            None => text.push_str(number),
        }
        text.push_str(rest);
    }
    (text, Values(kept))
}

/// Stands for the value number `slot` of the arguments that the statement will be run with.
pub fn slot(slot: usize) -> SimpleExpr {
    Expr::val(i64::try_from(slot).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use sea_query::{ExprTrait, Query};

    use super::*;

    #[test]
    fn a_value_that_is_no_slot_is_refused() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let of = |names: Vec<SimpleExpr>| {
                let query =
                    Query::select().expr(slot(0)).from("t").and_where(Expr::col("a").is_in(names)).to_owned();
                Statement::new(dialect, &query)
            };
            assert!(of(vec![slot(1), slot(2)]).is_whole());
            assert!(!of(Vec::new()).is_whole());
        }
    }

    #[test]
    fn a_value_that_stands_twice_is_sent_once() {
        let query = Query::select()
            .expr(slot(7))
            .from("t")
            .and_where(Expr::col("a").eq(slot(3)).or(Expr::col("b").eq(slot(7))))
            .to_owned();
        let statement = Statement::new(Dialect::Postgres, &query);
        assert_eq!(&*statement.sql, r#"SELECT $1 FROM "t" WHERE "a" = $2 OR "b" = $1"#);
        assert_eq!(&*statement.slots, [7, 3]);
    }
}
