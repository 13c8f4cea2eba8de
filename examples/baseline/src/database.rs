//! [`Database`]: the table on SQLite or PostgreSQL, one prepared statement a call, each its own transaction.

use std::str::FromStr;
use std::time::Duration;

use chrono::Utc;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::types::Json;
use sqlx::{PgPool, SqlitePool};
use uuid::Uuid;

use crate::instance::{Instance, InstanceChange, NewInstance, columns};

/// As many as `metapaas` has by default.
const CONNECTIONS: u32 = 16;

/// The database could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("open the database")]
pub(crate) struct OpenError(#[from] pub(crate) sqlx::Error);

/// Where the table is.
#[derive(Clone)]
pub(crate) enum Database {
    /// SQLite has one writer at a time; a pool of one makes the others wait in line instead of polling for the lock.
    Sqlite { readers: SqlitePool, writer: SqlitePool },
    /// PostgreSQL.
    Postgres(PgPool),
}

const SQLITE_TABLE: &str = "
CREATE TABLE IF NOT EXISTS demo_instances (
    id BLOB PRIMARY KEY, project_id BLOB NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
    version TEXT NOT NULL, labels TEXT NOT NULL, status TEXT NOT NULL, conditions TEXT NOT NULL, nodes TEXT NOT NULL,
    generation INTEGER NOT NULL, observed_generation INTEGER NOT NULL, revision INTEGER NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, deleting_at TEXT,
    greeting TEXT NOT NULL, replicas INTEGER NOT NULL, theme TEXT NOT NULL,
    UNIQUE (project_id, name)
)";

const POSTGRES_TABLE: &str = "
CREATE TABLE IF NOT EXISTS demo_instances (
    id uuid PRIMARY KEY, project_id uuid NOT NULL, name text NOT NULL, description text NOT NULL,
    version text NOT NULL, labels jsonb NOT NULL, status text NOT NULL, conditions jsonb NOT NULL,
    nodes jsonb NOT NULL, generation bigint NOT NULL, observed_generation bigint NOT NULL, revision bigint NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleting_at timestamptz,
    greeting text NOT NULL, replicas bigint NOT NULL, theme text NOT NULL,
    UNIQUE (project_id, name)
)";

const GET: &str = concat!("SELECT ", columns!(), " FROM demo_instances WHERE id = $1");
const LIST: &str = concat!("SELECT ", columns!(), " FROM demo_instances WHERE id > $1 ORDER BY id LIMIT $2");
const INSERT: &str = concat!(
    "INSERT INTO demo_instances (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, '0.1.0', $5, 'PENDING', '[]', '[]', 1, 0, 1, $6, $6, NULL, $7, $8, $9) RETURNING ",
    columns!()
);
const UPDATE: &str = concat!(
    "UPDATE demo_instances SET description = COALESCE($2, description), labels = COALESCE($3, labels), \
     greeting = COALESCE($4, greeting), replicas = COALESCE($5, replicas), theme = COALESCE($6, theme), \
     updated_at = $7, generation = generation + 1, revision = revision + 1 WHERE id = $1 RETURNING ",
    columns!()
);

/// Runs the same statement on the pool for reading or writing of either database.
macro_rules! on {
    (read $database:expr, $pool:ident => $run:expr) => {
        match $database {
            Database::Sqlite { readers: $pool, .. } => $run,
            Database::Postgres($pool) => $run,
        }
    };
    (write $database:expr, $pool:ident => $run:expr) => {
        match $database {
            Database::Sqlite { writer: $pool, .. } => $run,
            Database::Postgres($pool) => $run,
        }
    };
}

impl Database {
    /// Connects and makes the table if it is not there.
    pub(crate) async fn open(url: &str) -> Result<Self, OpenError> {
        let database = if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10));
            let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
            let readers = SqlitePoolOptions::new()
                .max_connections(CONNECTIONS)
                .connect_with(options.read_only(true).create_if_missing(false))
                .await?;
            Self::Sqlite { readers, writer }
        } else {
            // As metapaas does it: no round trip before each statement.
            let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
            Self::Postgres(options.connect(url).await?)
        };
        match &database {
            Self::Sqlite { writer, .. } => sqlx::query(SQLITE_TABLE).execute(writer).await.map(|_| ())?,
            Self::Postgres(pool) => sqlx::query(POSTGRES_TABLE).execute(pool).await.map(|_| ())?,
        }
        Ok(database)
    }

    /// Whether it answers.
    pub(crate) async fn ping(&self) -> Result<(), sqlx::Error> {
        on!(read self, pool => sqlx::query("SELECT 1").execute(pool).await.map(|_| ()))
    }

    /// One instance.
    pub(crate) async fn get(&self, id: Uuid) -> Result<Option<Instance>, sqlx::Error> {
        on!(read self, pool => sqlx::query_as(GET).bind(id).fetch_optional(pool).await)
    }

    /// Up to `limit` instances after `after`, in the order of their ids, which is that of their creation.
    pub(crate) async fn list(&self, after: Uuid, limit: i64) -> Result<Vec<Instance>, sqlx::Error> {
        on!(read self, pool => sqlx::query_as(LIST).bind(after).bind(limit).fetch_all(pool).await)
    }

    /// A new instance as it is stored.
    pub(crate) async fn insert(&self, new: NewInstance) -> Result<Instance, sqlx::Error> {
        on!(write self, pool => sqlx::query_as(INSERT)
            .bind(Uuid::now_v7())
            .bind(new.project_id)
            .bind(new.name)
            .bind(new.description)
            .bind(Json(new.labels))
            .bind(Utc::now())
            .bind(new.greeting)
            .bind(new.replicas)
            .bind(new.theme.as_str())
            .fetch_one(pool)
            .await)
    }

    /// The instance after the change, if it is there.
    pub(crate) async fn update(
        &self,
        id: Uuid,
        change: InstanceChange,
    ) -> Result<Option<Instance>, sqlx::Error> {
        on!(write self, pool => sqlx::query_as(UPDATE)
            .bind(id)
            .bind(change.description)
            .bind(change.labels.map(Json))
            .bind(change.greeting)
            .bind(change.replicas)
            .bind(change.theme.map(|theme| theme.as_str()))
            .bind(Utc::now())
            .fetch_optional(pool)
            .await)
    }
}
