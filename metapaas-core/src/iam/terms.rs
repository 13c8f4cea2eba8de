//! [`Terms`]: what a request asks of a change of IAM besides the change: that it is only tried, made once, made only
//! when the row is as the caller knows it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{Binding, CreatedToken, CreatedUser, Project, RoleEntry, ServiceAccount, User};
use crate::error::Error;
use crate::store::{Answer, Effect, OnceKey};

/// What is asked of a change. The default asks for nothing.
#[derive(Clone, Default)]
pub struct Terms {
    /// What becomes of it.
    pub effect: Effect,
    /// Carry it out once, and keep the answer for whoever sends it again.
    pub once: Option<OnceEntity>,
    /// What must hold of the revision of the row.
    pub precondition: Option<Arc<Precondition>>,
}

/// Whether a row of that revision is as the caller wants it.
pub type Precondition = dyn Fn(i64) -> Result<(), Error> + Send + Sync;

/// A change that is to be made once.
#[derive(Clone)]
pub struct OnceEntity {
    /// The request.
    pub key: OnceKey,
    /// Makes the answer from what the change leaves.
    pub render: RenderEntity,
}

/// Makes an answer from a row of IAM.
pub type RenderEntity = Arc<dyn Fn(&dyn Entity) -> Answer + Send + Sync>;

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("effect", &self.effect).finish_non_exhaustive()
    }
}

impl Terms {
    /// Holds the revision that a row has, inside of the transaction, to what the caller knows.
    pub(super) fn hold(&self, revision: i64) -> Result<(), Error> {
        self.precondition.as_ref().map_or(Ok(()), |holds| holds(revision))
    }

    /// Whether nothing of it is kept, so that there is no use in showing what was generated.
    pub(super) fn is_dry_run(&self) -> bool {
        self.effect == Effect::DryRun
    }
}

/// A row of IAM as an answer shows it.
pub trait Entity: Send + Sync {
    /// Its id.
    fn id(&self) -> Uuid;

    /// What its entity tag is made of. Rows that never change have [`UNCHANGING`]; what is no row, such as a role that is
    /// built in, has 0 and no tag.
    fn revision(&self) -> i64;

    /// Its JSON.
    fn body(&self) -> String;
}

/// The revision of rows that are made and removed, never changed.
pub const UNCHANGING: i64 = 1;

/// Rows are made of values that serialise.
fn json<T: Serialize>(row: &T) -> String {
    serde_json::to_string(row).unwrap_or_default()
}

macro_rules! entity {
    ($type:ty, $id:expr, $revision:expr) => {
        impl Entity for $type {
            fn id(&self) -> Uuid {
                let of: fn(&Self) -> Uuid = $id;
                of(self)
            }

            fn revision(&self) -> i64 {
                let of: fn(&Self) -> i64 = $revision;
                of(self)
            }

            fn body(&self) -> String {
                json(self)
            }
        }
    };
}

entity!(User, |row| row.id, |row| row.revision);
entity!(CreatedUser, |row| row.user.id, |row| row.user.revision);
entity!(Project, |row| row.id, |row| row.revision);
entity!(RoleEntry, |row| row.id, |row| row.revision);
entity!(Binding, |row| row.id, |_| UNCHANGING);
entity!(ServiceAccount, |row| row.id, |row| row.revision);
entity!(CreatedToken, |row| row.info.id, |_| UNCHANGING);
