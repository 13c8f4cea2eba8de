//! The one transaction that may change tables: one control plane at a time, all or nothing.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Row as _, SqliteConnection};

use super::{Database, Tx, TxConnection};
use crate::store::error::StoreError;

/// How long a control plane waits for another one to finish its migrations on SQLite.
const SQLITE_PATIENCE: Duration = Duration::from_secs(120);

/// The key of the advisory lock: the first eight bytes of "metapaas".
const POSTGRES_LOCK: i64 = i64::from_be_bytes(*b"metapaas");

impl Database {
    /// Begins a transaction that no other one like it runs beside, in this process or another.
    ///
    /// SQLite makes a table anew to change a column, and that needs foreign keys that are not enforced; they cannot
    /// be switched in a transaction, so this one has a connection of its own.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(in crate::store) async fn begin_schema_change(&self, action: &'static str) -> Result<Tx, StoreError> {
        let failed = |source| StoreError::from_sqlx(action, source);
        match self {
            Self::Sqlite { readers, .. } => {
                let options = (*readers.connect_options()).clone().read_only(false).foreign_keys(false);
                let options = options.busy_timeout(SQLITE_PATIENCE);
                let connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
                let mut tx = Tx { connection: TxConnection::Sqlite(Box::new(connection)) };
                tx.sqlite_command("BEGIN IMMEDIATE").await.map_err(failed)?;
                Ok(tx)
            }
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await.map_err(failed)?;
                // Migrations of another control plane may take long.
                let patience = sqlx::query("SET LOCAL lock_timeout = 0");
                patience.execute(&mut *transaction).await.map_err(failed)?;
                let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(POSTGRES_LOCK);
                lock.execute(&mut *transaction).await.map_err(failed)?;
                Ok(Tx { connection: TxConnection::Postgres(transaction) })
            }
        }
    }
}

impl Tx {
    /// Rows that refer to rows that do not exist, as `table -> table`. PostgreSQL never lets it come to that.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(in crate::store) async fn broken_references(
        &mut self,
        action: &'static str,
    ) -> Result<Vec<String>, StoreError> {
        let TxConnection::Sqlite(connection) = &mut self.connection else { return Ok(Vec::new()) };
        let check = "SELECT DISTINCT \"table\", \"parent\" FROM pragma_foreign_key_check";
        let rows = sqlx::query(AssertSqlSafe(check)).fetch_all(&mut **connection).await;
        let rows = rows.map_err(|source| StoreError::from_sqlx(action, source))?;
        Ok(rows.iter().map(|row| format!("{} -> {}", row.get::<&str, _>(0), row.get::<&str, _>(1))).collect())
    }

    /// Ends a schema change and keeps it.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing was changed then.
    pub(in crate::store) async fn commit_schema_change(self, action: &'static str) -> Result<(), StoreError> {
        let committed = match self.connection {
            TxConnection::Sqlite(mut connection) => {
                match sqlx::query("COMMIT").execute(&mut *connection).await {
                    Ok(_) => connection.close().await,
                    Err(error) => Err(error),
                }
            }
            TxConnection::Postgres(transaction) => transaction.commit().await,
        };
        committed.map_err(|source| StoreError::from_sqlx(action, source))
    }

    /// Ends a schema change and undoes it. Dropping it does the same, a little later.
    pub(in crate::store) async fn undo_schema_change(self) {
        // What fails here is a connection that is gone, and its transaction with it.
        match self.connection {
            TxConnection::Sqlite(connection) => drop(connection.close().await),
            TxConnection::Postgres(transaction) => drop(transaction.rollback().await),
        }
    }
}
