//! Who asks: [`Actor`] with its grants, and [`RequestContext`], which goes with a change into event and audit.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::role::{PLATFORM_PROJECT, Pattern, Role};

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

/// What is given in one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The greatest of the built-in roles.
    pub role: Option<Role>,
    /// What roles of the installation's own give.
    pub patterns: Vec<Pattern>,
}

impl From<Role> for Given {
    fn from(role: Role) -> Self {
        Self { role: Some(role), patterns: Vec::new() }
    }
}

/// Roles by project. A role in the platform project holds in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    given: BTreeMap<Uuid, Given>,
    /// Those of `given` but for the platform project, sorted; made once, since every request needs it.
    projects: Arc<[Uuid]>,
}

impl Default for Grants {
    fn default() -> Self {
        Self::new::<Role>([])
    }
}

impl Grants {
    /// In each project the greatest role wins, and patterns add up.
    pub fn new<G: Into<Given>>(bindings: impl IntoIterator<Item = (Uuid, G)>) -> Self {
        let mut given: BTreeMap<Uuid, Given> = BTreeMap::new();
        for (project, more) in bindings {
            let more: Given = more.into();
            let entry = given.entry(project).or_default();
            entry.role = entry.role.max(more.role);
            for pattern in more.patterns {
                if !entry.patterns.contains(&pattern) {
                    entry.patterns.push(pattern);
                }
            }
        }
        let projects = given.keys().copied().filter(|project| *project != PLATFORM_PROJECT).collect();
        Self { given, projects }
    }

    /// The built-in role that holds in `project`.
    pub fn role_in(&self, project: Uuid) -> Option<Role> {
        self.given.get(&project).and_then(|given| given.role).max(self.platform_role())
    }

    /// The built-in role that holds everywhere.
    pub fn platform_role(&self) -> Option<Role> {
        self.given.get(&PLATFORM_PROJECT).and_then(|given| given.role)
    }

    /// The patterns that hold in `project`.
    pub fn patterns_in(&self, project: Uuid) -> impl Iterator<Item = &Pattern> {
        let elsewhere = (project != PLATFORM_PROJECT).then_some(PLATFORM_PROJECT);
        [Some(project), elsewhere]
            .into_iter()
            .flatten()
            .filter_map(|project| self.given.get(&project))
            .flat_map(|given| &given.patterns)
    }

    /// Projects with a binding of their own, sorted.
    pub const fn projects(&self) -> &Arc<[Uuid]> {
        &self.projects
    }

    /// What is given where, the platform project included.
    pub fn given(&self) -> impl Iterator<Item = (Uuid, &Given)> {
        self.given.iter().map(|(project, given)| (*project, given))
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
