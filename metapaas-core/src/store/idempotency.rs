//! Changes that are made once: the answer is kept in the same transaction as the change, under the caller's own key.
//!
//! A crash leaves both or neither. Two requests with the same key at the same time: the second is told that the first
//! is under way, by this process from a set in memory, by another control plane from a lock of the transaction.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use sea_query::{Alias, Expr, ExprTrait, Order, Query};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::StoreError;
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required, Row, raw_json};
use super::{Store, Tx, now};
use crate::error::{Error, ErrorCode};
use crate::resource::Resource;
use crate::secret::KeyRing;

/// Answers that are removed in one go at the most.
const SWEEP: u64 = 1000;

/// What stands in place of the hash of a request that is sealed together with its answer. A hash in the open would let
/// whoever reads the database try passwords and secrets that requests may hold.
const SEALED_HASH: &str = "sealed";

/// Names a request that is to be carried out once.
#[derive(Clone, Debug)]
pub struct OnceKey {
    /// Who asks. Keys of one caller mean nothing to another.
    pub principal: Arc<str>,
    /// The caller's key.
    pub key: Arc<str>,
    /// Tells the request from others under the same key.
    pub request_hash: RequestHash,
}

/// Tells requests apart. It never goes into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHash(pub Arc<str>);

impl fmt::Debug for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestHash")
    }
}

/// A change of a row that is to be made once.
#[derive(Clone)]
pub struct Once {
    /// The request.
    pub key: OnceKey,
    /// Makes the answer from the row as the change leaves it.
    pub render: Render,
}

/// Makes an answer from a row.
pub type Render = Arc<dyn Fn(&Resource) -> Answer + Send + Sync>;

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("key", &self.key).finish_non_exhaustive()
    }
}

/// An answer as it went out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names and values of the headers that belong to the answer.
    pub headers: Vec<(String, String)>,
    /// The body; it may show a secret that is shown once.
    pub body: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Keys of the requests that this process carries out now.
pub(super) type InFlightKeys = Arc<Mutex<HashSet<(Arc<str>, Arc<str>)>>>;

/// Holds a key as long as its request is carried out.
#[derive(Debug)]
pub struct InFlight {
    keys: InFlightKeys,
    own: (Arc<str>, Arc<str>),
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.own);
    }
}

mod own {
    pub(super) const PRINCIPAL: usize = 0;
    pub(super) const KEY: usize = 1;
    pub(super) const HASH: usize = 2;
    pub(super) const STATUS: usize = 3;
    pub(super) const HEADERS: usize = 4;
    pub(super) const BODY: usize = 5;
    pub(super) const CREATED: usize = 6;
    pub(super) const LIMIT: usize = 7;
    /// What the lock of the key is taken on.
    pub(super) const LOCK: usize = 8;
    pub(super) const COUNT: usize = 9;
}

/// The answers that are kept, for those who make changes in a transaction.
#[derive(Debug)]
pub struct KeptAnswers {
    keys: Arc<KeyRing>,
    lock: Option<Statement>,
    find: Statement,
    insert: Statement,
    sweep: Statement,
}

impl KeptAnswers {
    pub(super) fn new(dialect: Dialect, keys: Arc<KeyRing>) -> Self {
        let table = || Alias::new("metapaas_idempotency");
        let col = |name: &str| Expr::col(Alias::new(name));
        let lock = Query::select()
            .expr(Expr::cust_with_exprs(
                "pg_try_advisory_xact_lock(hashtextextended($1, 0))",
                [slot(own::LOCK)],
            ))
            .to_owned();
        let find = Query::select()
            .columns(["request_hash", "status", "headers", "body"].map(Alias::new))
            .from(table())
            .and_where(col("principal").eq(slot(own::PRINCIPAL)))
            .and_where(col("key").eq(slot(own::KEY)))
            .to_owned();
        let columns = ["principal", "key", "request_hash", "status", "headers", "body", "created_at"];
        let mut insert = Query::insert();
        insert.into_table(table()).columns(columns.map(Alias::new));
        // It fails only when columns and values differ in number.
        let _ = insert.values((own::PRINCIPAL..=own::CREATED).map(slot));
        let oldest = Query::select()
            .columns(["principal", "key"].map(Alias::new))
            .from(table())
            .and_where(col("created_at").lt(slot(own::CREATED)))
            .order_by(Alias::new("created_at"), Order::Asc)
            .limit(own::LIMIT as u64)
            .to_owned();
        let sweep = Query::delete()
            .from_table(table())
            .and_where(Expr::tuple([col("principal"), col("key")]).in_subquery(oldest))
            .returning_col(Alias::new("key"))
            .to_owned();
        Self {
            keys,
            // SQLite has one writer: what ran before has left its answer.
            lock: (dialect == Dialect::Postgres).then(|| Statement::new(dialect, &lock)),
            find: Statement::new(dialect, &find),
            insert: Statement::new(dialect, &insert),
            sweep: Statement::new(dialect, &sweep),
        }
    }

    /// Takes the key for the transaction, or answers what was answered under it before.
    pub(crate) async fn reserve(&self, tx: &mut Tx, once: &OnceKey) -> Result<Option<Answer>, Error> {
        let args = arguments(once);
        if let Some(lock) = &self.lock {
            let rows = tx.fetch("lock an idempotency key", lock, &args).await?;
            if !rows.first().map(|row| row.bool(0)).transpose()?.flatten().unwrap_or_default() {
                return Err(in_progress(&once.key));
            }
        }
        let rows = tx.fetch("look for an idempotency key", &self.find, &args).await?;
        rows.first().map(|row| self.replay(row, once)).transpose()
    }

    /// Keeps the answer to a change that this transaction has made.
    pub(crate) async fn keep(&self, tx: &mut Tx, once: &OnceKey, answer: &Answer) -> Result<(), Error> {
        let plain = Zeroizing::new(format!("{}\n{}", once.request_hash.0, answer.body));
        let mut args = arguments(once);
        args[own::HASH] = Arg::from(SEALED_HASH);
        args[own::STATUS] = Arg::from(i64::from(answer.status));
        args[own::HEADERS] = Arg::from(raw_json(&answer.headers));
        args[own::BODY] = Arg::from(self.keys.seal(&place(once), plain.as_bytes()));
        args[own::CREATED] = Arg::from(now());
        match tx.fetch("keep an answer", &self.insert, &args).await {
            Ok(_) => Ok(()),
            Err(StoreError::Taken { .. }) => Err(in_progress(&once.key)),
            Err(error) => Err(error.into()),
        }
    }

    fn replay(&self, row: &Row, once: &OnceKey) -> Result<Answer, Error> {
        let corrupt = |detail: String| StoreError::Corrupt { action: "read a kept answer", detail };
        let sealed = row.text(3).required("body")?;
        let opened = self.keys.open(&place(once), &sealed);
        let opened = opened.map_err(|error| StoreError::sealed("read a kept answer", &place(once), error))?;
        let opened = std::str::from_utf8(&opened).map_err(|error| corrupt(error.to_string()))?;
        let in_the_open = row.text(0).required("request_hash")?;
        let (hash, body) = match in_the_open.as_str() {
            SEALED_HASH => opened.split_once('\n').ok_or_else(|| corrupt("there is no hash".into()))?,
            // Kept by an earlier version.
            hash => (hash, opened),
        };
        if *hash != *once.request_hash.0 {
            let detail = format!(
                "the Idempotency-Key {:?} was used for another request (method, path, parameters or body differ); \
                 send a new key with a new request",
                once.key
            );
            return Err(Error::new(ErrorCode::IdempotencyKeyReused, detail));
        }
        let headers = row.json(2).required("headers")?;
        Ok(Answer {
            status: u16::try_from(row.int(1).required("status")?)
                .map_err(|error| corrupt(error.to_string()))?,
            headers: serde_json::from_str(headers.get()).map_err(|error| corrupt(error.to_string()))?,
            body: body.to_owned(),
        })
    }
}

/// Where a kept answer stands, for sealing; `key` is the caller's and the request's, with a colon between.
pub(super) fn answer_place(key: impl fmt::Display) -> String {
    format!("metapaas_idempotency.body:{key}")
}

fn place(once: &OnceKey) -> String {
    answer_place(format_args!("{}:{}", once.principal, once.key))
}

fn arguments(once: &OnceKey) -> Vec<Arg> {
    let mut args = vec![Arg::Text(None); own::COUNT];
    args[own::PRINCIPAL] = Arg::from(&*once.principal);
    args[own::KEY] = Arg::from(&*once.key);
    args[own::LOCK] = Arg::from(place(once));
    args
}

pub(crate) fn in_progress(key: &str) -> Error {
    let detail =
        format!("a request with the Idempotency-Key {key:?} is under way; send it again in a moment");
    Error::new(ErrorCode::IdempotencyInProgress, detail)
}

impl Store {
    /// The answers that are kept.
    pub fn kept_answers(&self) -> Arc<KeptAnswers> {
        self.idempotency.clone()
    }

    /// Holds the key of a request while it is carried out.
    ///
    /// # Errors
    /// `IdempotencyInProgress` when this process carries out a request with the same key already.
    pub fn begin_once(&self, once: &OnceKey) -> Result<InFlight, Error> {
        let own = (once.principal.clone(), once.key.clone());
        let mut keys = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.insert(own.clone()) {
            return Err(in_progress(&once.key));
        }
        Ok(InFlight { keys: self.in_flight.clone(), own })
    }

    /// The answer that was given to the same request before.
    ///
    /// # Errors
    /// `IdempotencyKeyReused` when the key belongs to another request, `Unavailable`.
    pub async fn recall(&self, once: &OnceKey) -> Result<Option<Answer>, Error> {
        let statements = &self.idempotency;
        let find = &statements.find;
        let rows = self.database.fetch("look for an idempotency key", find, &arguments(once)).await?;
        rows.first().map(|row| statements.replay(row, once)).transpose()
    }

    /// Removes answers that were kept before `cutoff`, some at a time. Answers how many went.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn forget_answers(&self, cutoff: DateTime<Utc>) -> Result<usize, StoreError> {
        let mut args = vec![Arg::Text(None); own::COUNT];
        args[own::CREATED] = Arg::from(cutoff);
        args[own::LIMIT] = Arg::from(SWEEP.cast_signed());
        self.run_write("remove old answers", &self.idempotency.sweep, args).await.map(|rows| rows.len())
    }
}
