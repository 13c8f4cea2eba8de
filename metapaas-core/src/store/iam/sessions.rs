//! Table `metapaas_sessions`: logins that can be refreshed.

use chrono::{DateTime, Utc};
use sea_query::{Expr, ExprTrait, Query};
use uuid::Uuid;

use super::{IamStore, IamTx, insert};
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement, slot};
use crate::store::value::{Required, Row};

const TABLE: &str = "metapaas_sessions";
const USERS: &str = "metapaas_users";

/// A session about to begin.
#[derive(Clone, Debug)]
pub(crate) struct NewSession {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) refresh_hash: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// A session with the user whose it is.
#[derive(Clone, Debug)]
pub(crate) struct SessionRow {
    pub(crate) user_id: Uuid,
    pub(crate) user_name: String,
    pub(crate) user_disabled: bool,
    pub(crate) must_change_password: bool,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

impl SessionRow {
    /// Whether it may go on at `now`.
    pub(crate) fn is_good(&self, now: DateTime<Utc>) -> bool {
        !self.user_disabled && self.revoked_at.is_none() && self.expires_at > now
    }
}

#[derive(Debug)]
pub(super) struct SessionSql {
    by_id: Statement,
    insert: Statement,
    rotate: Statement,
    revoke: Statement,
    revoke_of_user: Statement,
    revoke_others: Statement,
    sweep: Statement,
}

impl SessionSql {
    pub(super) fn new(dialect: Dialect) -> Self {
        let by_id = Query::select()
            .columns([
                (USERS, "id"),
                (USERS, "name"),
                (USERS, "disabled"),
                (USERS, "must_change_password"),
                (TABLE, "expires_at"),
                (TABLE, "revoked_at"),
            ])
            .from(TABLE)
            .inner_join(USERS, Expr::col((USERS, "id")).equals((TABLE, "user_id")))
            .and_where(Expr::col((TABLE, "id")).eq(slot(0)))
            .to_owned();
        let rotate = Query::update()
            .table(TABLE)
            .value("refresh_hash", slot(2))
            .value("expires_at", slot(3))
            .and_where(Expr::col("id").eq(slot(0)))
            .and_where(Expr::col("refresh_hash").eq(slot(1)))
            .and_where(Expr::col("expires_at").gt(slot(4)))
            .and_where(Expr::col("revoked_at").is_null())
            .to_owned();
        let revoke = |by: &'static str| {
            Query::update()
                .table(TABLE)
                .value("revoked_at", slot(1))
                .and_where(Expr::col(by).eq(slot(0)))
                .and_where(Expr::col("revoked_at").is_null())
                .to_owned()
        };
        let columns = ["id", "user_id", "refresh_hash", "created_at", "expires_at"];
        let over = Expr::col("expires_at").lt(slot(0)).or(Expr::col("revoked_at").lt(slot(0)));
        Self {
            by_id: Statement::new(dialect, &by_id),
            insert: Statement::new(dialect, &insert(TABLE, &columns)),
            rotate: Statement::new(dialect, &rotate),
            revoke: Statement::new(dialect, &revoke("id")),
            revoke_of_user: Statement::new(dialect, &revoke("user_id")),
            revoke_others: Statement::new(dialect, revoke("user_id").and_where(Expr::col("id").ne(slot(2)))),
            sweep: Statement::new(dialect, Query::delete().from_table(TABLE).and_where(over)),
        }
    }
}

fn read(row: &Row) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        user_id: row.uuid(0).required("user_id")?,
        user_name: row.text(1).required("name")?,
        user_disabled: row.bool(2).required("disabled")?,
        must_change_password: row.bool(3).required("must_change_password")?,
        expires_at: row.time(4).required("expires_at")?,
        revoked_at: row.time(5)?,
    })
}

impl IamStore {
    pub(crate) async fn session(&self, id: Uuid) -> Result<Option<SessionRow>, StoreError> {
        Ok(self.read("read a session", &self.sql.sessions.by_id, &[id.into()], read).await?.pop())
    }
}

impl IamTx<'_> {
    pub(crate) async fn session(&mut self, id: Uuid) -> Result<Option<SessionRow>, StoreError> {
        let sql = self.sql.clone();
        Ok(self.read("read a session", &sql.sessions.by_id, &[id.into()], read).await?.pop())
    }

    pub(crate) async fn insert_session(&mut self, session: &NewSession) -> Result<(), StoreError> {
        let args = [
            session.id.into(),
            session.user_id.into(),
            session.refresh_hash.as_str().into(),
            session.created_at.into(),
            session.expires_at.into(),
        ];
        self.tx.execute("begin a session", &self.sql.sessions.insert, &args).await.map(drop)
    }

    /// Puts one refresh token in the place of another. Whether the old one was current and the session good.
    pub(crate) async fn rotate_session(
        &mut self,
        id: Uuid,
        old_hash: &str,
        new_hash: &str,
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let args = [id.into(), old_hash.into(), new_hash.into(), expires_at.into(), now.into()];
        Ok(self.tx.execute("refresh a session", &self.sql.sessions.rotate, &args).await? > 0)
    }

    pub(crate) async fn revoke_session(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.tx
            .execute("revoke a session", &self.sql.sessions.revoke, &[id.into(), now.into()])
            .await
            .map(drop)
    }

    /// Ends the sessions of a user, but for the one to keep.
    pub(crate) async fn revoke_sessions_of(
        &mut self,
        user: Uuid,
        keep: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = &self.sql.sessions;
        let revoke = if keep.is_some() { &sql.revoke_others } else { &sql.revoke_of_user };
        let args = [user.into(), now.into(), keep.into()];
        self.tx.execute("revoke sessions", revoke, &args).await.map(drop)
    }

    /// Removes what ended before `before`.
    pub(crate) async fn sweep_sessions(&mut self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        self.tx.execute("remove old sessions", &self.sql.sessions.sweep, &[before.into()]).await
    }
}
