//! Table `metapaas_identities`: which subject of which OIDC issuer is which user.

use chrono::{DateTime, Utc};
use sea_query::{Expr, ExprTrait, Query};
use uuid::Uuid;

use super::users::{self, UserRow};
use super::{IamStore, IamTx, insert};
use crate::store::error::StoreError;
use crate::store::statement::{Dialect, Statement, slot};

const TABLE: &str = "metapaas_identities";
const USERS: &str = users::TABLE;

#[derive(Debug)]
pub(super) struct IdentitySql {
    user: Statement,
    insert: Statement,
}

impl IdentitySql {
    pub(super) fn new(dialect: Dialect) -> Self {
        let user = Query::select()
            .columns(users::COLUMNS.map(|column| (USERS, column)))
            .from(TABLE)
            .inner_join(USERS, Expr::col((USERS, "id")).equals((TABLE, "user_id")))
            .and_where(Expr::col((TABLE, "issuer")).eq(slot(0)))
            .and_where(Expr::col((TABLE, "subject")).eq(slot(1)))
            .to_owned();
        let columns = ["id", "issuer", "subject", "user_id", "created_at"];
        Self {
            user: Statement::new(dialect, &user),
            insert: Statement::new(dialect, &insert(TABLE, &columns)),
        }
    }
}

impl IamStore {
    /// The user that a subject of an issuer is.
    pub(crate) async fn user_of_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<UserRow>, StoreError> {
        let args = [issuer.into(), subject.into()];
        Ok(self.read("read an identity", &self.sql.identities.user, &args, users::read).await?.pop())
    }
}

impl IamTx<'_> {
    pub(crate) async fn user_of_identity(
        &mut self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<UserRow>, StoreError> {
        let sql = self.sql.clone();
        let args = [issuer.into(), subject.into()];
        Ok(self.read("read an identity", &sql.identities.user, &args, users::read).await?.pop())
    }

    pub(crate) async fn insert_identity(
        &mut self,
        issuer: &str,
        subject: &str,
        user: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let args = [Uuid::now_v7().into(), issuer.into(), subject.into(), user.into(), now.into()];
        self.tx.execute("make an identity", &self.sql.identities.insert, &args).await.map(drop)
    }
}
