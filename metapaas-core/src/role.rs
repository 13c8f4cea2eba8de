//! The three roles that exist everywhere, patterns of permissions, and the identity of the platform project.

mod pattern;

pub use self::pattern::Pattern;
use uuid::{Uuid, uuid};

/// A binding to this project holds in every project.
pub const PLATFORM_PROJECT: Uuid = uuid!("4d657461-0000-0000-0000-000000000002");

/// Built-in roles, least first: each may do all that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees.
    Viewer,
    /// Sees, updates fields that carry no `iam`, runs actions.
    Operator,
    /// Everything.
    Owner,
}

impl Role {
    /// All, least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Owner];

    /// The name used in bindings, e.g. `owner`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }

    /// The id that it goes by where other roles have one.
    pub const fn id(self) -> Uuid {
        match self {
            Self::Viewer => uuid!("4d657461-0000-0000-0000-000000000011"),
            Self::Operator => uuid!("4d657461-0000-0000-0000-000000000012"),
            Self::Owner => uuid!("4d657461-0000-0000-0000-000000000013"),
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}
