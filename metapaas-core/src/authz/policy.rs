//! Which role an action on a type takes, read from the descriptors, and who has what it takes.

use uuid::Uuid;

use crate::action::{LOGS, ROTATE};
use crate::descriptor::{Action, FieldDescriptor, TypeDescriptor};
use crate::request::Grants;
use crate::role::Role;

/// The least role that may do `action`: the type's own `iam(...)`, or the default policy.
pub fn least_role(ty: &TypeDescriptor, action: Action) -> Role {
    ty.policy
        .iter()
        .find(|(of, _)| of.as_str() == action.as_str())
        .map_or_else(|| default_role(action), |(_, role)| *role)
}

/// Viewer reads; operator also updates and runs actions; owner does all. New secrets are shown to who asks for them.
fn default_role(action: Action) -> Role {
    match action {
        Action::Custom(ROTATE) => Role::Owner,
        Action::List | Action::Read | Action::Watch | Action::Custom(LOGS) => Role::Viewer,
        Action::Update | Action::Custom(_) => Role::Operator,
        Action::Create | Action::Delete => Role::Owner,
    }
}

/// Whether `grants` let one do `action` to rows of `ty` in `project`: by a built-in role, or by a role of the
/// installation's own.
pub fn allows(grants: &Grants, project: Uuid, ty: &TypeDescriptor, action: Action) -> bool {
    grants.role_in(project) >= Some(least_role(ty, action))
        || grants.patterns_in(project).any(|pattern| pattern.gives(ty.slug, ty.plural, action.as_str()))
}

/// Whether `grants` let one set `field`, beside the action that sets it.
pub fn allows_field(grants: &Grants, project: Uuid, ty: &TypeDescriptor, field: &FieldDescriptor) -> bool {
    field.iam.is_none_or(|least| {
        grants.role_in(project) >= Some(least)
            || grants.patterns_in(project).any(|pattern| pattern.gives_field(ty.slug, ty.plural, field.name))
    })
}

/// The action that sets `field`.
pub const fn setting_action(field: &FieldDescriptor) -> Action {
    if field.is_mutable() { Action::Update } else { Action::Create }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::__private::instance;
    use crate::request::Given;
    use crate::role::{PLATFORM_PROJECT, Pattern};

    static FIELDS: [FieldDescriptor; 2] = [
        crate::__private::of::<String>().field("greeting", "").mutable(),
        crate::__private::of::<String>().field("theme", "").mutable().iam(Role::Owner),
    ];
    static SITE: TypeDescriptor = TypeDescriptor { fields: &FIELDS, ..instance("Site", "site", "") };

    fn patterns(texts: &[&str]) -> Given {
        Given { role: None, patterns: texts.iter().map(|text| Pattern::parse(text).unwrap()).collect() }
    }

    #[test]
    fn a_pattern_gives_what_it_names_where_it_is_bound_and_no_more() {
        let (shop, blog) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let grants = Grants::new([
            (shop, patterns(&["site.instances.update", "site.*.read"])),
            (PLATFORM_PROJECT, patterns(&["*.*.list"])),
        ]);
        for (project, action, expected) in [
            (shop, Action::Update, true),
            (shop, Action::Read, true),
            (shop, Action::List, true),
            (shop, Action::Delete, false),
            (blog, Action::List, true),
            (blog, Action::Read, false),
            (blog, Action::Update, false),
        ] {
            assert_eq!(allows(&grants, project, &SITE, action), expected, "{project} {action:?}");
        }
        assert!(allows_field(&grants, shop, &SITE, &FIELDS[0]), "an unguarded field takes the action alone");
        assert!(!allows_field(&grants, shop, &SITE, &FIELDS[1]));
        let more =
            Grants::new([(shop, patterns(&["site.instances.field:theme"])), (shop, Role::Viewer.into())]);
        assert!(allows_field(&more, shop, &SITE, &FIELDS[1]));
        assert!(!allows_field(&more, blog, &SITE, &FIELDS[1]));
        assert!(allows(&more, shop, &SITE, Action::Read) && !allows(&more, shop, &SITE, Action::Update));
    }
}
