//! Descriptors of the IAM types, so that permissions and policy are the same machinery as for hosted types.

use crate::descriptor::{Action, Key, Scope, TypeDescriptor};
use crate::role::Role;

/// People. Who may change one could set its password, so that only owners of the platform may.
pub static USERS: TypeDescriptor = TypeDescriptor {
    name: "User",
    plural: "users",
    doc: "A person who can log in.",
    scope: Scope::Platform,
    policy: &[(Action::Update, Role::Owner)],
    ..BASE
};

/// Projects. Making one takes the permission in the platform project, the rest in the project itself.
pub static PROJECTS: TypeDescriptor = TypeDescriptor {
    name: "Project",
    plural: "projects",
    doc: "What resources belong to and roles hold in.",
    policy: &[(Action::Update, Role::Owner)],
    ..BASE
};

/// Roles of a project, or of the platform and then for all projects. Those that are built in, everybody may read.
pub static ROLES: TypeDescriptor = TypeDescriptor {
    name: "Role",
    plural: "roles",
    doc: "What a binding gives.",
    policy: &[(Action::Update, Role::Owner)],
    ..BASE
};

/// Bindings of a project.
pub static BINDINGS: TypeDescriptor = TypeDescriptor {
    name: "Binding",
    plural: "bindings",
    doc: "A role of a user or service account in a project.",
    key: Key::Id,
    policy: &[(Action::Update, Role::Owner)],
    ..BASE
};

/// Service accounts of a project.
pub static SERVICE_ACCOUNTS: TypeDescriptor = TypeDescriptor {
    name: "ServiceAccount",
    plural: "service-accounts",
    doc: "A program that makes requests with tokens of its own.",
    policy: &[(Action::Update, Role::Owner)],
    ..BASE
};

/// Tokens of a service account. Who may make one can do all that the account may.
pub static TOKENS: TypeDescriptor = TypeDescriptor {
    name: "ServiceToken",
    plural: "tokens",
    doc: "A secret that a service account shows.",
    parent: Some(&SERVICE_ACCOUNTS),
    key: Key::Id,
    policy: &[(Action::Update, Role::Owner)],
    ..BASE
};

/// Lines of the audit. Nobody writes them by request, and what others do is for owners to see.
pub static AUDIT: TypeDescriptor = TypeDescriptor {
    name: "AuditRecord",
    plural: "audit",
    doc: "Who changed or was denied what.",
    key: Key::Id,
    policy: &[(Action::List, Role::Owner), (Action::Read, Role::Owner), (Action::Watch, Role::Owner)],
    ..BASE
};

/// All of them.
pub static TYPES: [&TypeDescriptor; 7] =
    [&USERS, &PROJECTS, &ROLES, &BINDINGS, &SERVICE_ACCOUNTS, &TOKENS, &AUDIT];

const BASE: TypeDescriptor = TypeDescriptor {
    name: "",
    slug: "iam",
    plural: "",
    segment: None,
    doc: "",
    parent: None,
    key: Key::Name,
    scope: Scope::Project,
    element: "iam",
    policy: &[],
    retention_seconds: None,
    fields: &[],
    check: None,
};
