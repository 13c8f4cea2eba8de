//! Status, computed from conditions, and the conditions themselves.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where a resource stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Accepted; nothing is done yet.
    Pending,
    /// Its nodes are being made.
    Creating,
    /// Every node has applied this generation and is healthy.
    Active,
    /// It worked once and a newer generation is on its way, or a node is not healthy at the moment.
    Updating,
    /// It goes away.
    Deleting,
    /// It waits for a change by somebody; the Ready condition says which.
    Error,
}

impl Status {
    /// The word in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Error => "ERROR",
        }
    }

    /// All, for schemas.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Creating, Self::Active, Self::Updating, Self::Deleting, Self::Error];

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// One aspect of a resource's state, as in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which aspect, e.g. `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word for programs, e.g. `NodesStarting`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When `status` last changed.
    pub since: DateTime<Utc>,
}

impl Condition {
    /// The `Ready` condition; `since` is that of the same one before when its status has not changed.
    pub fn ready(ready: Ready, before: &[Self], now: DateTime<Utc>) -> Self {
        let (status, reason, message) = match ready {
            Ready::Yes => ("True", "Converged".to_owned(), String::new()),
            Ready::No { reason, message } => ("False", reason, message),
        };
        let same = before.iter().find(|other| other.kind == "Ready" && other.status == status);
        Self {
            kind: "Ready".into(),
            status: status.into(),
            reason,
            message,
            since: same.map_or(now, |other| other.since),
        }
    }
}

/// Whether a resource works, and if not, what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It does.
    Yes,
    /// It does not.
    No {
        /// One word for programs.
        reason: String,
        /// What it waits for, for people.
        message: String,
    },
}

impl Ready {
    /// It does not.
    pub fn no(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::No { reason: reason.into(), message: message.into() }
    }
}
