//! [`Lifetime`]: a length of time in settings, such as `15m` or `30d`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lifetime(pub Duration);

impl Lifetime {
    /// So many minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes * 60))
    }

    /// So many days.
    pub const fn days(days: u64) -> Self {
        Self::minutes(days * 24 * 60)
    }

    /// For computing with times.
    pub fn delta(self) -> chrono::TimeDelta {
        // Settings are bounded far below what does not fit.
        chrono::TimeDelta::from_std(self.0).unwrap_or(chrono::TimeDelta::MAX)
    }
}

impl TryFrom<String> for Lifetime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|_| format!("expected a length of time such as 15m or 30d, found {text:?}"))
    }
}

impl From<Lifetime> for String {
    fn from(lifetime: Lifetime) -> Self {
        humantime::format_duration(lifetime.0).to_string().replace(' ', "")
    }
}
