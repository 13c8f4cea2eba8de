//! [`StoreError`]: what went wrong with the database, in terms of what we tried.

use crate::secret::SealError;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, full or too busy; nothing was changed. Trying again later may help.
    #[error("{action}: the database is not available")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A unique index has the value already.
    #[error("{action}: the value is taken ({constraint})")]
    Taken {
        /// What was tried.
        action: &'static str,
        /// The index (PostgreSQL) or the columns (SQLite) as the database names them.
        constraint: String,
    },
    /// A row that is referred to does not exist, or a row is still referred to.
    #[error("{action}: a reference does not hold")]
    Reference {
        /// What was tried.
        action: &'static str,
        /// The cause, which names the constraint on PostgreSQL.
        #[source]
        source: sqlx::Error,
    },
    /// A statement failed for a reason that we did not expect.
    #[error("{action}")]
    Statement {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// A secret was sealed under a master key that this control plane does not have (yet). Nothing is lost.
    #[error(
        "{action}: {place} is sealed under the master key `{key}`, which this control plane does not hold"
    )]
    NoMasterKey {
        /// What was tried.
        action: &'static str,
        /// Which value.
        place: String,
        /// Id of the key.
        key: String,
    },
    /// A stored value cannot be read as what it should be.
    #[error("{action}: {detail}")]
    Corrupt {
        /// What was tried.
        action: &'static str,
        /// Which value, and why.
        detail: String,
    },
}

impl StoreError {
    /// Sorts a database error.
    pub(crate) fn from_sqlx(action: &'static str, source: sqlx::Error) -> Self {
        if let sqlx::Error::Database(error) = &source {
            if error.is_unique_violation() {
                let constraint = error.constraint().map_or_else(|| error.message().to_owned(), str::to_owned);
                return Self::Taken { action, constraint };
            }
            // SQLite answers 1811, not 787, where ON DELETE RESTRICT refuses.
            if error.is_foreign_key_violation() || error.code().is_some_and(|code| code == "1811") {
                return Self::Reference { action, source };
            }
            // PostgreSQL: 08 connection, 28 login, as while a password is changed, 40 rollback, 53 resources, 57 operator
            // intervention, 25006 read-only, 25P03 idle in a transaction for too long, 55000 a database that takes no
            // connections at the moment, 55P03 waited for a lock for too long.
            // SQLite (primary codes): 5 busy, 6 locked, 8 read-only, 10 input/output, 13 full.
            let code = error.code().unwrap_or_default().into_owned();
            let postgres_transient = ["08", "28", "40", "53", "57", "25006", "25P03", "55000", "55P03"]
                .iter()
                .any(|class| code.len() == 5 && code.starts_with(class));
            let sqlite_transient = code.len() < 5
                && code.parse::<u32>().is_ok_and(|code| [5, 6, 8, 10, 13].contains(&(code & 0xff)));
            if postgres_transient || sqlite_transient {
                return Self::Unavailable { action, source };
            }
        }
        match source {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable { action, source },
            source => Self::Statement { action, source },
        }
    }

    /// A secret that does not open.
    pub(crate) fn sealed(action: &'static str, place: &str, error: SealError) -> Self {
        match error {
            SealError::UnknownKey { id } => Self::NoMasterKey { action, place: place.to_owned(), key: id },
            error => Self::Corrupt { action, detail: format!("{place}: {error}") },
        }
    }

    /// Whether trying again later may help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NoMasterKey { .. })
    }
}
