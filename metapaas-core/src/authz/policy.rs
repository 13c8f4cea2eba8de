//! Which role an action on a type takes, read from the descriptors.

use crate::descriptor::{Action, TypeDescriptor};
use crate::role::Role;

/// The least role that may do `action`: the type's own `iam(...)`, or the default policy.
pub fn least_role(ty: &TypeDescriptor, action: Action) -> Role {
    ty.policy
        .iter()
        .find(|(of, _)| of.as_str() == action.as_str())
        .map_or_else(|| default_role(action), |(_, role)| *role)
}

/// Viewer reads; operator also updates and runs actions; owner does all.
const fn default_role(action: Action) -> Role {
    match action {
        Action::List | Action::Read | Action::Watch => Role::Viewer,
        Action::Update | Action::Custom(_) => Role::Operator,
        Action::Create | Action::Delete => Role::Owner,
    }
}

/// Whether `permission` is one that `pattern` gives: each part is equal or `*`.
pub fn permission_matches(pattern: &str, permission: &str) -> bool {
    let mut wanted = permission.split('.');
    let mut given = pattern.split('.');
    loop {
        match (given.next(), wanted.next()) {
            (None, None) => return true,
            (Some(given), Some(wanted)) if given == "*" || given == wanted => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_matches_part_by_part() {
        for (pattern, permission, expected) in [
            ("s3.instances.create", "s3.instances.create", true),
            ("s3.instances.*", "s3.instances.create", true),
            ("s3.*.read", "s3.buckets.read", true),
            ("*.*.*", "s3.buckets.field:quota", true),
            ("s3.instances.read", "s3.instances.create", false),
            ("s3.*", "s3.instances.create", false),
            ("*", "s3.instances.create", false),
            ("s3.inst*.read", "s3.instances.read", false),
        ] {
            assert_eq!(permission_matches(pattern, permission), expected, "{pattern} {permission}");
        }
    }
}
