//! What permissions there are, which of them somebody may hand on, and the nearest ones to a name that is none.

use crate::authz::policy::{allows, allows_field, least_role, setting_action};
use crate::descriptor::{Action, FieldDescriptor, TypeDescriptor};
use crate::error::{Error, ErrorCode};
use crate::iam::TYPES;
use crate::registry::Registry;
use crate::request::{Given, Grants};
use crate::role::{Pattern, Role};
use uuid::Uuid;

/// How many are proposed for a name that is none.
const PROPOSED: usize = 3;

/// A permission of some type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permission {
    pub(super) ty: &'static TypeDescriptor,
    verb: Verb,
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Action(Action),
    Field(&'static FieldDescriptor),
}

impl Permission {
    /// As it is written.
    pub(super) fn name(&self) -> String {
        match self.verb {
            Verb::Action(action) => self.ty.permission(action),
            Verb::Field(field) => self.ty.field_permission(field.name),
        }
    }

    /// The least built-in role that has it, with what else it takes to use it.
    pub(super) fn least_role(&self) -> Role {
        match self.verb {
            Verb::Action(action) => least_role(self.ty, action),
            Verb::Field(field) => {
                least_role(self.ty, setting_action(field)).max(field.iam.unwrap_or(Role::Viewer))
            }
        }
    }

    /// What it takes to use it: a guarded field takes the action that sets it too, another field only that.
    pub(super) fn needs(self) -> Vec<Self> {
        match self.verb {
            Verb::Action(_) => vec![self],
            Verb::Field(field) => {
                let action = Self { ty: self.ty, verb: Verb::Action(setting_action(field)) };
                if field.iam.is_some() { vec![action, self] } else { vec![action] }
            }
        }
    }

    /// Whether `grants` have it in `project`, apart from what else it takes.
    pub(super) fn is_in(&self, grants: &Grants, project: Uuid) -> bool {
        match self.verb {
            Verb::Action(action) => allows(grants, project, self.ty, action),
            Verb::Field(field) => allows_field(grants, project, self.ty, field),
        }
    }

    /// Whether `pattern` gives it.
    pub(super) fn is_given_by(&self, pattern: &Pattern) -> bool {
        match self.verb {
            Verb::Action(action) => pattern.gives(self.ty.slug, self.ty.plural, action.as_str()),
            Verb::Field(field) => pattern.gives_field(self.ty.slug, self.ty.plural, field.name),
        }
    }

    /// Whether the built-in role has it, apart from what else it takes.
    pub(super) fn is_of(&self, role: Role) -> bool {
        match self.verb {
            Verb::Action(action) => role >= least_role(self.ty, action),
            Verb::Field(field) => role >= field.iam.unwrap_or(Role::Viewer),
        }
    }
}

/// All permissions: of the framework's own types, then of all hosted ones.
pub(super) fn all(registry: &Registry) -> Vec<Permission> {
    let own = TYPES.into_iter().map(|ty| (ty, Vec::new()));
    let hosted =
        registry.types().iter().map(|registered| (registered.ty, registered.custom_actions().collect()));
    let mut all = Vec::new();
    for (ty, declared) in own.chain(hosted) {
        let actions = Action::STANDARD.into_iter().chain(declared);
        all.extend(actions.map(|action| Permission { ty, verb: Verb::Action(action) }));
        let fields = ty.fields.iter().filter(|field| !field.output);
        all.extend(fields.map(|field| Permission { ty, verb: Verb::Field(field) }));
    }
    all
}

/// The names of those nearest to `text`, for an error's text.
pub(super) fn nearest(all: &[Permission], text: &str) -> String {
    let mut names: Vec<(f64, String)> =
        all.iter().map(Permission::name).map(|name| (strsim::jaro_winkler(text, &name), name)).collect();
    names.sort_by(|one, other| other.0.total_cmp(&one.0));
    let names: Vec<String> = names.into_iter().take(PROPOSED).map(|(_, name)| name).collect();
    names.join(", ")
}

/// Whether who has `grants` in `project` may hand `pattern` on: nobody gives what they do not have. A pattern with a
/// `*` also gives what types yet to come will have, so that only owners and those who have as wide a one may give it.
fn covers(all: &[Permission], grants: &Grants, project: Uuid, pattern: &Pattern) -> bool {
    grants.role_in(project) == Some(Role::Owner)
        || grants.patterns_in(project).any(|own| own.covers(pattern))
        || (!pattern.is_open()
            && all
                .iter()
                .filter(|permission| permission.is_given_by(pattern))
                .all(|permission| permission.is_in(grants, project)))
}

/// Holds what somebody hands on in `project` against what they have there.
///
/// # Errors
/// `Forbidden` with the first that they do not have.
pub(super) fn may_give(
    registry: &Registry,
    grants: &Grants,
    project: Uuid,
    given: &Given,
) -> Result<(), Error> {
    let everything = || grants.patterns_in(project).any(|own| own.parts() == ["*", "*", "*"]);
    if let Some(role) = given.role
        && grants.role_in(project) < Some(role)
        && !everything()
    {
        return Err(refused(&format!("the role {}", role.as_str()), project));
    }
    let all = all(registry);
    let missing = given.patterns.iter().find(|pattern| !covers(&all, grants, project, pattern));
    missing.map_or(Ok(()), |pattern| {
        let error = refused(&format!("the permission {}", pattern.as_str()), project);
        Err(error.with("permission", pattern.as_str()))
    })
}

fn refused(what: &str, project: Uuid) -> Error {
    let text = format!("nobody can give what they do not have, and you do not have {what} there");
    Error::new(ErrorCode::Forbidden, text).with("project_id", project.to_string())
}
