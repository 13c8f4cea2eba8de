//! [`AuthSettings`]: how long tokens last and how many wrong passwords are free.

use chrono::TimeDelta;

/// What an operator may choose. The defaults are those of the book.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// How long an access token is good.
    pub access_lifetime: TimeDelta,
    /// How long a session lasts that nobody refreshes.
    pub session_lifetime: TimeDelta,
    /// The longest lifetime of a new service token; without one it may be good for ever.
    pub service_token_max: Option<TimeDelta>,
    /// Wrong passwords of one user before further ones have to wait.
    pub failures_per_user: u32,
    /// Failed logins and refreshes from one address before further ones have to wait.
    pub failures_per_address: u32,
    /// How long the audit is kept.
    pub audit_retention: TimeDelta,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            access_lifetime: TimeDelta::minutes(15),
            session_lifetime: TimeDelta::days(30),
            service_token_max: None,
            failures_per_user: 5,
            failures_per_address: 50,
            audit_retention: TimeDelta::days(365),
        }
    }
}
