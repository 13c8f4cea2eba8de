//! Who asks: [`Actor`] with its grants, and [`RequestContext`], which goes with a change into event and audit.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::role::{PLATFORM_PROJECT, Role};

/// Somebody or something that makes requests.
#[derive(Clone, Debug)]
pub struct Actor {
    /// What it is.
    pub kind: ActorKind,
    /// Its id; nil for the system.
    pub id: Uuid,
    /// Its name at the time.
    pub name: Arc<str>,
    /// What it may do where.
    pub grants: Arc<Grants>,
}

/// Kinds of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorKind {
    /// A person.
    User,
    /// A program with a service token.
    ServiceAccount,
    /// The control plane itself.
    System,
}

impl ActorKind {
    /// The word in bindings and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service_account",
            Self::System => "system",
        }
    }
}

/// Roles by project. A role in the platform project holds in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    roles: BTreeMap<Uuid, Role>,
}

impl Grants {
    /// The greatest role in each project wins.
    pub fn new(bindings: impl IntoIterator<Item = (Uuid, Role)>) -> Self {
        let mut roles = BTreeMap::new();
        for (project, role) in bindings {
            let entry = roles.entry(project).or_insert(role);
            *entry = role.max(*entry);
        }
        Self { roles }
    }

    /// The role that holds in `project`.
    pub fn role_in(&self, project: Uuid) -> Option<Role> {
        self.roles.get(&project).copied().max(self.platform_role())
    }

    /// The role that holds everywhere.
    pub fn platform_role(&self) -> Option<Role> {
        self.roles.get(&PLATFORM_PROJECT).copied()
    }

    /// Projects with a binding of their own, and the role of that binding.
    pub fn projects(&self) -> impl Iterator<Item = (Uuid, Role)> {
        self.roles
            .iter()
            .map(|(project, role)| (*project, *role))
            .filter(|(project, _)| *project != PLATFORM_PROJECT)
    }
}

/// A request on its way through the stages.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Who asks.
    pub actor: Actor,
    /// Finds the request in logs, events and audit.
    pub request_id: Arc<str>,
}

impl RequestContext {
    /// The control plane acting on its own.
    pub fn system(task: &'static str) -> Self {
        let grants = Grants::new([(PLATFORM_PROJECT, Role::Owner)]);
        let actor = Actor {
            kind: ActorKind::System,
            id: Uuid::nil(),
            name: "system".into(),
            grants: Arc::new(grants),
        };
        Self { actor, request_id: task.into() }
    }
}
