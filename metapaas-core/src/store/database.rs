//! [`Database`]: one way to run statements on SQLite and PostgreSQL.
//!
//! SQLite has one writer: a task that runs the writes that wait, each in a savepoint, and commits them together.
//! One `fsync` then serves many clients, as PostgreSQL's own group commit does.

mod schema_change;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, SqliteConnection, SqlitePool, Transaction,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::error::StoreError;
use super::resources::Effect;
use super::statement::{Dialect, Statement};
use super::value::{Arg, Row, bind_postgres, bind_sqlite};

/// How many writes share a commit at the most.
const GROUP_COMMIT_MAX: usize = 128;
/// A pooled connection that has been idle for longer is asked whether it is still there.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long the first connection to PostgreSQL may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A control plane that stops in the middle of a transaction must not keep the others from its rows.
const POSTGRES_SESSION: &str = "SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '10s'";
/// How long a statement waits for others that have the SQLite file.
const SQLITE_BUSY: Duration = Duration::from_secs(10);
/// How many writes may wait for the SQLite writer before callers wait to queue theirs.
const WRITE_QUEUE: usize = 1024;

/// A database, shared by all that use it.
#[derive(Clone, Debug)]
pub enum Database {
    /// Readers, and the queue of the one writer.
    Sqlite {
        /// Read-only connections.
        readers: SqlitePool,
        /// Writes for the writer task.
        writer: mpsc::Sender<Job>,
    },
    /// A pool of connections.
    Postgres(PgPool),
}

/// A transaction, or a connection outside of one where the caller says so.
#[derive(Debug)]
pub struct Tx {
    connection: TxConnection,
}

#[derive(Debug)]
enum TxConnection {
    Sqlite(Box<SqliteConnection>),
    Postgres(Transaction<'static, Postgres>),
}

/// A write on its way to the SQLite writer.
pub struct Job(Work);

type Work = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Finished> + Send>;

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// Opens a SQLite file that others may be making at this moment: while it is switched to a write-ahead log it is "busy" at
/// once, whatever the timeout of a connection (<https://www.sqlite.org/wal.html>, section 11).
async fn while_busy<T, F: Future<Output = Result<T, sqlx::Error>>>(
    open: impl Fn() -> F,
) -> Result<T, sqlx::Error> {
    let until = Instant::now() + SQLITE_BUSY;
    loop {
        let opened = open().await;
        let code = match &opened {
            Err(sqlx::Error::Database(error)) => error.code().and_then(|code| code.parse::<u32>().ok()),
            _ => None,
        };
        // The primary code; what is above says why it is busy.
        if code.is_none_or(|code| code & 0xff != 5) || Instant::now() >= until {
            return opened;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A write that ran and waits for its commit.
struct Finished {
    keep: bool,
    answer: Box<dyn FnOnce(Result<(), sqlx::Error>) + Send>,
}

impl Database {
    /// Opens (and makes, when absent) the SQLite database in `path`. `synchronous=FULL`: what is acknowledged is
    /// on disk.
    ///
    /// # Errors
    /// When the file cannot be opened or written.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        let opening = |source| StoreError::from_sqlx("open the SQLite database", source);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(SQLITE_BUSY)
            .statement_cache_capacity(500);
        let writing = options.clone();
        let writer = while_busy(move || {
            let options = writing.clone();
            async move { SqliteConnection::connect_with(&options).await }
        });
        let writer = writer.await.map_err(opening)?;
        let options = options.read_only(true).create_if_missing(false);
        let readers =
            while_busy(move || SqlitePoolOptions::new().max_connections(4).connect_with(options.clone()));
        let readers = readers.await.map_err(opening)?;
        let (sender, jobs) = mpsc::channel(WRITE_QUEUE);
        tokio::spawn(write_jobs(Tx { connection: TxConnection::Sqlite(Box::new(writer)) }, jobs));
        Ok(Self::Sqlite { readers, writer: sender })
    }

    /// Connects to PostgreSQL; `url` is `postgres://user:password@host:port/database`.
    ///
    /// # Errors
    /// When the URL is wrong, the server cannot be reached or refuses the login.
    pub async fn open_postgres(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let connecting = |source| StoreError::from_sqlx("connect to PostgreSQL", source);
        let options = PgConnectOptions::from_str(url)
            .map_err(connecting)?
            .application_name("metapaas")
            .statement_cache_capacity(500);
        // A pool says only that its time ran out; a connection says why.
        let first = PgConnection::connect_with(&options);
        match tokio::time::timeout(CONNECT_DEADLINE, first).await {
            Ok(connection) => connection.map_err(connecting)?.close().await.map_err(connecting)?,
            Err(_) => return Err(connecting(sqlx::Error::PoolTimedOut)),
        }
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(POSTGRES_SESSION).execute(connection).await.map(|_| ()) })
            })
            // A round trip before each statement would cost as much as the statement; a connection that has just
            // been used is still there.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for < TRUSTED_IDLE {
                        Ok(true)
                    } else {
                        connection.ping().await.map(|()| true)
                    }
                })
            })
            .connect_with(options)
            .await
            .map_err(connecting)?;
        Ok(Self::Postgres(pool))
    }

    /// The SQL it speaks.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a query outside a transaction.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fetch(
        &self,
        action: &'static str,
        statement: &Statement,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        whole(action, statement)?;
        let rows = match self {
            Self::Sqlite { readers, .. } => {
                let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
                let query = statement.arguments(args).fold(query, bind_sqlite);
                query.fetch_all(readers).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
            }
            Self::Postgres(pool) => {
                let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
                let query = statement.arguments(args).fold(query, bind_postgres);
                query.fetch_all(pool).await.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        };
        rows.map_err(|source| StoreError::from_sqlx(action, source))
    }

    /// Runs `work` in a transaction and commits it when it answers `Ok`.
    ///
    /// # Errors
    /// What `work` answered, then nothing is changed; or [`StoreError`] made into `E` when the commit failed.
    pub async fn write<T, E, F>(&self, action: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        match self {
            Self::Sqlite { writer, .. } => {
                let (answer, answered) = oneshot::channel();
                let job = Job(Box::new(move |tx| {
                    async move {
                        let result = work(tx).await;
                        let keep = result.is_ok();
                        let answer = Box::new(move |committed: Result<(), sqlx::Error>| {
                            let committed =
                                committed.map_err(|source| StoreError::from_sqlx(action, source).into());
                            // A caller that went away needs no answer.
                            let _ = answer.send(if keep { committed.and(result) } else { result });
                        });
                        Finished { keep, answer }
                    }
                    .boxed()
                }));
                let crashed = || StoreError::from_sqlx(action, sqlx::Error::WorkerCrashed);
                writer.send(job).await.map_err(|_| crashed())?;
                answered.await.unwrap_or_else(|_| Err(crashed().into()))
            }
            Self::Postgres(pool) => {
                let failed = |source| StoreError::from_sqlx(action, source);
                let mut tx = Tx { connection: TxConnection::Postgres(pool.begin().await.map_err(failed)?) };
                let value = work(&mut tx).await?;
                if let TxConnection::Postgres(transaction) = tx.connection {
                    transaction.commit().await.map_err(failed)?;
                }
                Ok(value)
            }
        }
    }

    /// Runs `work` in a transaction. A dry run undoes it, and answers all the same what it came to.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_with<T, E, F>(&self, effect: Effect, action: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        if effect == Effect::Kept {
            return self.write(action, work).await;
        }
        let undone = self.write(action, move |tx| {
            Box::pin(async move { Err::<(), Undone<T, E>>(Undone(work(tx).await)) })
        });
        match undone.await {
            Err(Undone(result)) => result,
            Ok(()) => Err(StoreError::Corrupt { action, detail: "a dry run was kept".into() }.into()),
        }
    }

    /// Closes all connections after what is under way has ended.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { readers, .. } => readers.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Refuses a statement that would be run with other values than it was written for.
fn whole(action: &'static str, statement: &Statement) -> Result<(), StoreError> {
    if statement.is_whole() {
        return Ok(());
    }
    let text = format!("a value of this statement is no slot; is a list empty? {}", statement.sql);
    Err(StoreError::Statement { action, source: sqlx::Error::InvalidArgument(text) })
}

/// What a transaction came to that is not kept, whatever it is.
struct Undone<T, E>(Result<T, E>);

impl<T, E: From<StoreError>> From<StoreError> for Undone<T, E> {
    fn from(error: StoreError) -> Self {
        Self(Err(error.into()))
    }
}

impl Tx {
    /// The SQL it speaks.
    pub const fn dialect(&self) -> Dialect {
        match self.connection {
            TxConnection::Sqlite(_) => Dialect::Sqlite,
            TxConnection::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement and answers its rows (also those of a RETURNING clause).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fetch(
        &mut self,
        action: &'static str,
        statement: &Statement,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        whole(action, statement)?;
        let rows = match &mut self.connection {
            TxConnection::Sqlite(connection) => {
                let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
                let query = statement.arguments(args).fold(query, bind_sqlite);
                query
                    .fetch_all(&mut **connection)
                    .await
                    .map(|rows| rows.into_iter().map(Row::Sqlite).collect())
            }
            TxConnection::Postgres(transaction) => {
                let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
                let query = statement.arguments(args).fold(query, bind_postgres);
                query
                    .fetch_all(&mut **transaction)
                    .await
                    .map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        };
        rows.map_err(|source| StoreError::from_sqlx(action, source))
    }

    /// Runs a statement and answers how many rows it touched.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn execute(
        &mut self,
        action: &'static str,
        statement: &Statement,
        args: &[Arg],
    ) -> Result<u64, StoreError> {
        whole(action, statement)?;
        let touched = match &mut self.connection {
            TxConnection::Sqlite(connection) => {
                let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
                let query = statement.arguments(args).fold(query, bind_sqlite);
                query.execute(&mut **connection).await.map(|done| done.rows_affected())
            }
            TxConnection::Postgres(transaction) => {
                let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
                let query = statement.arguments(args).fold(query, bind_postgres);
                query.execute(&mut **transaction).await.map(|done| done.rows_affected())
            }
        };
        touched.map_err(|source| StoreError::from_sqlx(action, source))
    }

    /// Runs a text of one or more statements without values, such as a migration's.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn execute_script(&mut self, action: &'static str, sql: &str) -> Result<(), StoreError> {
        let script = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let done = match &mut self.connection {
            TxConnection::Sqlite(connection) => script.execute(&mut **connection).await.map(|_| ()),
            TxConnection::Postgres(transaction) => script.execute(&mut **transaction).await.map(|_| ()),
        };
        done.map_err(|source| StoreError::from_sqlx(action, source))
    }

    async fn sqlite_command(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match &mut self.connection {
            TxConnection::Sqlite(connection) => sqlx::query(sql).execute(&mut **connection).await.map(|_| ()),
            TxConnection::Postgres(_) => Ok(()),
        }
    }
}

/// The SQLite writer: takes what waits, runs it, commits once, answers all.
async fn write_jobs(mut tx: Tx, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.recv().await {
        let mut finished = Vec::new();
        let mut next = Some(first);
        let mut outcome = tx.sqlite_command("BEGIN IMMEDIATE").await;
        while let Some(job) = next.take() {
            if outcome.is_ok() {
                outcome = run_in_savepoint(&mut tx, job, &mut finished).await;
            }
            // A job that is dropped unanswered tells its caller that the writer failed.
            if outcome.is_ok() && finished.len() < GROUP_COMMIT_MAX {
                next = jobs.try_recv().ok();
            }
        }
        if outcome.is_ok() {
            outcome = tx.sqlite_command("COMMIT").await;
        }
        if let Err(error) = &outcome {
            tracing::error!(%error, "writing to SQLite failed; {} changes are undone", finished.len());
            // It fails when SQLite has already rolled back by itself, as it does when the disk is full.
            let _ = tx.sqlite_command("ROLLBACK").await;
        }
        for one in finished {
            (one.answer)(match &outcome {
                Ok(()) => Ok(()),
                Err(_) => Err(sqlx::Error::WorkerCrashed),
            });
        }
    }
}

async fn run_in_savepoint(tx: &mut Tx, job: Job, finished: &mut Vec<Finished>) -> Result<(), sqlx::Error> {
    tx.sqlite_command("SAVEPOINT job").await?;
    let ran = AssertUnwindSafe((job.0)(tx)).catch_unwind().await;
    let keep = ran.as_ref().is_ok_and(|one| one.keep);
    finished.extend(ran.ok());
    if !keep {
        tx.sqlite_command("ROLLBACK TO job").await?;
    }
    tx.sqlite_command("RELEASE job").await
}
