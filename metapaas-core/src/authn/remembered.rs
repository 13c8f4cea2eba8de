//! [`Remembered`]: whom each credential in use stands for, until anybody's rights change.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::sync::Cache;
use tokio::sync::watch;
use uuid::Uuid;

use crate::request::Actor;

const MOST: u64 = 20_000;
/// Bounds what an installation without a running `follow` gets wrong.
const LONGEST: Duration = Duration::from_secs(60);

/// What a request shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Credential {
    /// By an access token.
    Session(Uuid),
    /// Its digest.
    ServiceToken(String),
    /// The digest of a token of an OIDC issuer.
    Foreign(String),
}

/// Whom it stands for.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) actor: Actor,
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// Somebody else knows the password.
    pub(super) must_change_password: bool,
    /// [`Remembered::age`] before it was read.
    pub(super) age: u64,
}

/// A cache that one call makes worthless as a whole. Changes of rights are rare, requests are not.
#[derive(Debug)]
pub(super) struct Remembered {
    age: watch::Sender<u64>,
    standings: Cache<Credential, Arc<Standing>>,
}

impl Remembered {
    pub(super) fn new() -> Self {
        let standings = Cache::builder().max_capacity(MOST).time_to_live(LONGEST).build();
        Self { age: watch::channel(0).0, standings }
    }

    /// Raised by [`Self::forget`]: a standing that was read in an earlier age is not used, even when it is put in
    /// after the change.
    pub(super) fn age(&self) -> u64 {
        *self.age.borrow()
    }

    /// Changes with [`Self::age`].
    pub(super) fn ages(&self) -> watch::Receiver<u64> {
        self.age.subscribe()
    }

    pub(super) fn get(&self, credential: &Credential) -> Option<Arc<Standing>> {
        self.standings.get(credential).filter(|standing| standing.age == self.age())
    }

    pub(super) fn put(&self, credential: Credential, standing: Arc<Standing>) {
        self.standings.insert(credential, standing);
    }

    pub(super) fn forget(&self) {
        self.age.send_modify(|age| *age += 1);
        self.standings.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RequestContext;

    fn standing(age: u64) -> Arc<Standing> {
        Arc::new(Standing {
            actor: RequestContext::system("test").actor,
            expires_at: None,
            must_change_password: false,
            age,
        })
    }

    #[test]
    fn what_was_read_before_a_change_is_not_used_after_it() {
        let remembered = Remembered::new();
        let credential = Credential::Session(Uuid::nil());
        let age = remembered.age();
        remembered.put(credential.clone(), standing(age));
        assert!(remembered.get(&credential).is_some());
        remembered.forget();
        assert!(remembered.get(&credential).is_none());
        // A reader that began before the change comes late.
        remembered.put(credential.clone(), standing(age));
        assert!(remembered.get(&credential).is_none());
        remembered.put(credential.clone(), standing(remembered.age()));
        assert!(remembered.get(&credential).is_some());
    }
}
