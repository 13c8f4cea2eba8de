//! [`Passwords`]: Argon2id on threads of its own, so many at a time and no more.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorCode};

/// Least length of a password, in characters.
pub(crate) const PASSWORD_MIN: usize = 12;
/// Greatest length of a password, in characters.
pub(crate) const PASSWORD_MAX: usize = 256;
/// Each takes 19 MiB and a processor.
const AT_ONCE: usize = 2;
/// How many may wait; more are sent away.
const WAITING: usize = 100;
/// OWASP's first choice among those of little memory: 19 MiB, two passes, one lane.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Has the cost of every other hash, and fits no password: checked when there is no user, so that this takes as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and checks passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        }
    }

    /// The hash to store, with a salt of its own.
    pub(super) async fn hash(&self, password: &str) -> Result<String, Error> {
        let password = password.to_owned();
        self.run(move || hash(&password)).await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        self.turn().await?.run(work).await.map(|(result, _)| result)
    }

    /// Waits for a turn to compute.
    pub(super) async fn turn(&self) -> Result<Turn, Error> {
        let busy =
            || Error::new(ErrorCode::TooManyRequests, "too many logins at once; try again in a few seconds");
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| busy())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| busy())?;
        Ok(Turn { _running: running, _waiting: waiting })
    }
}

/// A place among those that compute. Whoever holds it after a wrong password, until that is written down, keeps
/// others from trying in the meantime.
#[derive(Debug)]
pub(super) struct Turn {
    _running: OwnedSemaphorePermit,
    _waiting: OwnedSemaphorePermit,
}

impl Turn {
    /// Whether the password is that of `hash`. Takes as long without a hash, and answers no.
    pub(super) async fn fits(self, password: &str, hash: Option<String>) -> Result<(bool, Self), Error> {
        let password = password.to_owned();
        let (fits, turn) = self.run(move || fits(&password, hash.as_deref())).await?;
        Ok((fits?, turn))
    }

    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Self), Error> {
        // A client that goes away does not stop the thread, so the thread holds the turn.
        let ran = tokio::task::spawn_blocking(move || (work(), self));
        ran.await.map_err(Error::internal)
    }
}

fn fits(password: &str, hash: Option<&str>) -> Result<bool, Error> {
    let parsed =
        PasswordHash::new(hash.unwrap_or(NOBODY)).map_err(|error| Error::internal(error.to_string()))?;
    Ok(argon2()?.verify_password(password.as_bytes(), &parsed).is_ok() && hash.is_some())
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let params =
        Params::new(COST.0, COST.1, COST.2, None).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash to store, on this thread.
pub(super) fn hash(password: &str) -> Result<String, Error> {
    let hash = argon2()?.hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(error.to_string()))
}

/// What is wrong with a new password.
pub(super) fn weakness(password: &str, user_name: &str) -> Option<(&'static str, String)> {
    let length = password.chars().count();
    if length < PASSWORD_MIN {
        return Some(("TOO_SHORT", format!("at least {PASSWORD_MIN} characters")));
    }
    if length > PASSWORD_MAX {
        return Some(("TOO_LONG", format!("at most {PASSWORD_MAX} characters")));
    }
    (password.eq_ignore_ascii_case(user_name)).then(|| ("INVALID_VALUE", "may not be the user's name".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits_and_nobody_has_one() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse battery").await.unwrap();
        // The dummy must cost what a real hash costs.
        assert!(hash.starts_with(&NOBODY[..NOBODY.len() - 66]), "{hash}");
        for (password, hash, expected) in [
            ("correct horse battery", Some(hash.clone()), true),
            ("correct horse batterz", Some(hash.clone()), false),
            ("", None, false),
        ] {
            let turn = passwords.turn().await.unwrap();
            assert_eq!(turn.fits(password, hash).await.unwrap().0, expected, "{password}");
        }
        assert_ne!(passwords.hash("correct horse battery").await.unwrap(), hash);
    }

    #[tokio::test]
    async fn more_than_a_queue_of_logins_is_sent_away() {
        let passwords = Passwords::new();
        let running = Arc::clone(&passwords.running).acquire_many_owned(2).await.unwrap();
        let waiting = Arc::clone(&passwords.waiting).acquire_many_owned(102).await.unwrap();
        assert_eq!(passwords.hash("x").await.unwrap_err().code, ErrorCode::TooManyRequests);
        drop((running, waiting));
        assert!(passwords.hash("x").await.is_ok());
    }

    #[test]
    fn weak_passwords() {
        for (password, expected) in [
            ("elevenchars", Some("TOO_SHORT")),
            ("twelve chars", None),
            ("éééééééééééé", None),
            ("averylongusername", Some("INVALID_VALUE")),
        ] {
            assert_eq!(weakness(password, "averylongusername").map(|(code, _)| code), expected, "{password}");
        }
        assert_eq!(weakness(&"x".repeat(257), "a").map(|(code, _)| code), Some("TOO_LONG"));
    }
}
