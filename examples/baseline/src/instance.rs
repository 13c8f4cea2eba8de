//! [`Instance`]: a row of the table and the JSON it becomes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use uuid::Uuid;

/// The columns in the order in which [`Instance`] reads them.
macro_rules! columns {
    () => {
        "id, project_id, name, description, version, labels, status, conditions, nodes, generation, \
         observed_generation, revision, created_at, updated_at, deleting_at, greeting, replicas, theme"
    };
}
pub(crate) use columns;

/// A demo instance as it is stored and shown.
#[derive(Debug, Serialize)]
pub(crate) struct Instance {
    pub(crate) id: Uuid,
    project_id: Uuid,
    name: String,
    description: String,
    version: String,
    labels: Json<Box<RawValue>>,
    status: String,
    conditions: Json<Box<RawValue>>,
    nodes: Json<Box<RawValue>>,
    generation: i64,
    observed_generation: i64,
    pub(crate) revision: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleting_at: Option<DateTime<Utc>>,
    greeting: String,
    replicas: i64,
    theme: String,
    r#type: &'static str,
}

impl<'r, R> FromRow<'r, R> for Instance
where
    R: Row,
    usize: ColumnIndex<R>,
    Uuid: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    DateTime<Utc>: Decode<'r, R::Database> + Type<R::Database>,
    Option<DateTime<Utc>>: Decode<'r, R::Database> + Type<R::Database>,
    Json<Box<RawValue>>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            project_id: row.try_get(1)?,
            name: row.try_get(2)?,
            description: row.try_get(3)?,
            version: row.try_get(4)?,
            labels: row.try_get(5)?,
            status: row.try_get(6)?,
            conditions: row.try_get(7)?,
            nodes: row.try_get(8)?,
            generation: row.try_get(9)?,
            observed_generation: row.try_get(10)?,
            revision: row.try_get(11)?,
            created_at: row.try_get(12)?,
            updated_at: row.try_get(13)?,
            deleting_at: row.try_get(14)?,
            greeting: row.try_get(15)?,
            replicas: row.try_get(16)?,
            theme: row.try_get(17)?,
            r#type: "demo",
        })
    }
}

/// The look of the pages.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    #[default]
    Light,
    Dark,
}

impl Theme {
    /// As it is stored.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// The body of a create call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInstance {
    pub(crate) name: String,
    pub(crate) project_id: Uuid,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) greeting: String,
    #[serde(default = "one")]
    pub(crate) replicas: i64,
    #[serde(default)]
    pub(crate) theme: Theme,
}

/// The body of an update.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstanceChange {
    pub(crate) description: Option<String>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) greeting: Option<String>,
    pub(crate) replicas: Option<i64>,
    pub(crate) theme: Option<Theme>,
}

const fn one() -> i64 {
    1
}

impl NewInstance {
    /// Why it is refused, if it is.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if is_name(&self.name) { replicas_problem(self.replicas) } else { Some("/name is not a DNS name") }
    }
}

impl InstanceChange {
    /// Why it is refused, if it is.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.replicas.and_then(replicas_problem)
    }
}

fn replicas_problem(replicas: i64) -> Option<&'static str> {
    (!(1..=5).contains(&replicas)).then_some("/replicas must be from 1 to 5")
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= 63
        && name.bytes().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names() {
        for (name, expected) in [
            ("a", true),
            ("a-1", true),
            ("", false),
            ("1a", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
        ] {
            assert_eq!(is_name(name), expected, "{name:?}");
        }
        assert!(is_name(&"a".repeat(63)));
        assert!(!is_name(&"a".repeat(64)));
    }
}
