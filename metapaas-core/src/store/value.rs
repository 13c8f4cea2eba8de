//! Values on their way into a statement ([`Arg`]) and out of a row ([`Row`]), the same on both databases.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::types::Json;
use sqlx::{Postgres, Row as _, Sqlite};
use uuid::Uuid;

use super::error::StoreError;

/// A value for a placeholder. `None` is NULL of that type: PostgreSQL wants nulls to have one.
#[derive(Clone, Debug)]
pub enum Arg {
    /// boolean; INTEGER 0 or 1 on SQLite.
    Bool(Option<bool>),
    /// bigint.
    Int(Option<i64>),
    /// double precision; REAL.
    Float(Option<f64>),
    /// text.
    Text(Option<String>),
    /// uuid; TEXT in hyphenated form.
    Uuid(Option<Uuid>),
    /// timestamptz; INTEGER microseconds since 1970.
    Time(Option<DateTime<Utc>>),
    /// jsonb; TEXT.
    Json(Option<Box<RawValue>>),
}

impl From<bool> for Arg {
    fn from(value: bool) -> Self {
        Self::Bool(Some(value))
    }
}
impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}
impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.into()))
    }
}
impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}
impl From<Uuid> for Arg {
    fn from(value: Uuid) -> Self {
        Self::Uuid(Some(value))
    }
}
impl From<Option<Uuid>> for Arg {
    fn from(value: Option<Uuid>) -> Self {
        Self::Uuid(value)
    }
}
impl From<DateTime<Utc>> for Arg {
    fn from(value: DateTime<Utc>) -> Self {
        Self::Time(Some(value))
    }
}
impl From<Option<DateTime<Utc>>> for Arg {
    fn from(value: Option<DateTime<Utc>>) -> Self {
        Self::Time(value)
    }
}
impl From<Box<RawValue>> for Arg {
    fn from(value: Box<RawValue>) -> Self {
        Self::Json(Some(value))
    }
}

/// JSON text of anything that serialises.
pub fn raw_json<T: serde::Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

pub(super) fn bind_postgres<'q>(
    query: Query<'q, Postgres, PgArguments>,
    arg: &'q Arg,
) -> Query<'q, Postgres, PgArguments> {
    match arg {
        Arg::Bool(value) => query.bind(*value),
        Arg::Int(value) => query.bind(*value),
        Arg::Float(value) => query.bind(*value),
        Arg::Text(value) => query.bind(value.as_deref()),
        Arg::Uuid(value) => query.bind(*value),
        Arg::Time(value) => query.bind(*value),
        Arg::Json(value) => query.bind(value.as_deref().map(Json)),
    }
}

pub(super) fn bind_sqlite<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    arg: &'q Arg,
) -> Query<'q, Sqlite, SqliteArguments> {
    match arg {
        Arg::Bool(value) => query.bind(*value),
        Arg::Int(value) => query.bind(*value),
        Arg::Float(value) => query.bind(*value),
        Arg::Text(value) => query.bind(value.clone()),
        Arg::Uuid(value) => query.bind(value.map(|id| id.to_string())),
        Arg::Time(value) => query.bind(value.map(|time| time.timestamp_micros())),
        Arg::Json(value) => query.bind(value.as_ref().map(|json| json.get().to_owned())),
    }
}

/// A row of an answer. Columns are read by position; the reader knows their types.
#[derive(Debug)]
pub enum Row {
    /// From PostgreSQL.
    Postgres(PgRow),
    /// From SQLite.
    Sqlite(SqliteRow),
}

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident, $type:ty, $postgres:ty, $from_postgres:expr, $sqlite:ty, $from_sqlite:expr) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// When the column is not of that type.
        pub fn $name(&self, column: usize) -> Result<Option<$type>, StoreError> {
            match self {
                Self::Postgres(row) => row
                    .try_get::<Option<$postgres>, _>(column)
                    .map_err(|error| unreadable(column, &error))?
                    .map($from_postgres)
                    .transpose(),
                Self::Sqlite(row) => row
                    .try_get::<Option<$sqlite>, _>(column)
                    .map_err(|error| unreadable(column, &error))?
                    .map($from_sqlite)
                    .transpose(),
            }
        }
    };
}

fn unreadable(column: usize, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt { action: "read a row", detail: format!("column {column}: {error}") }
}

impl Row {
    getter!(/// A boolean.
        bool, bool, bool, Ok, bool, Ok);
    getter!(/// A whole number.
        int, i64, i64, Ok, i64, Ok);
    getter!(/// A floating-point number.
        float, f64, f64, Ok, f64, Ok);
    getter!(/// A text.
        text, String, String, Ok, String, Ok);
    getter!(/// A UUID.
        uuid, Uuid, Uuid, Ok, &str, |text: &str| text.parse().map_err(|error| unreadable(0, &error)));
    getter!(/// A time.
        time, DateTime<Utc>, DateTime<Utc>, Ok, i64,
        |micros| DateTime::from_timestamp_micros(micros).ok_or_else(|| unreadable(0, &"time out of range")));
    getter!(/// JSON, unparsed.
        json, Box<RawValue>, Json<Box<RawValue>>, |json: Json<Box<RawValue>>| Ok(json.0), String,
        |text| RawValue::from_string(text).map_err(|error| unreadable(0, &error)));
}

/// Takes a column that is never NULL.
pub trait Required<T> {
    /// The value.
    ///
    /// # Errors
    /// When it is NULL after all.
    fn required(self, column: &'static str) -> Result<T, StoreError>;
}

impl<T> Required<T> for Result<Option<T>, StoreError> {
    fn required(self, column: &'static str) -> Result<T, StoreError> {
        self?.ok_or_else(|| StoreError::Corrupt { action: "read a row", detail: format!("{column} is NULL") })
    }
}
