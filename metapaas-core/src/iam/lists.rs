//! [`IamList`]: what each list of IAM can be filtered and sorted by, and which members its rows have, as data.

use super::types::{AUDIT, BINDINGS, PROJECTS, ROLES, SERVICE_ACCOUNTS, TOKENS, USERS};
use crate::descriptor::{EnumVariant, TypeDescriptor};
use crate::query::{Field, Kind, Place};

/// A list of IAM. What it can be sorted by has an index that ends in the id.
#[derive(Debug)]
pub struct IamList {
    /// Of what.
    pub ty: &'static TypeDescriptor,
    /// What it can be filtered by.
    pub fields: &'static [Field],
    /// Members of its rows.
    pub members: &'static [&'static str],
    /// Whether requests may name a project.
    pub takes_project: bool,
}

/// [`USERS`].
pub static USER_LIST: IamList = IamList {
    ty: &USERS,
    fields: &[ID, NAME, only("email", "/email", Kind::Text).or_null(), DISABLED, CREATED_AT],
    members: &["id", "name", "email", "disabled", "must_change_password", "created_at", "updated_at"],
    takes_project: false,
};

/// [`PROJECTS`].
pub static PROJECT_LIST: IamList = IamList {
    ty: &PROJECTS,
    fields: &[ID, NAME, CREATED_AT],
    members: &["id", "name", "description", "created_at", "updated_at"],
    takes_project: false,
};

/// [`ROLES`].
pub static ROLE_LIST: IamList = IamList {
    ty: &ROLES,
    // Roles that are built in were never made.
    fields: &[ID, NAME, PROJECT, CREATED_AT.or_null()],
    members: &[
        "id",
        "name",
        "project_id",
        "description",
        "permissions",
        "built_in",
        "created_at",
        "updated_at",
    ],
    takes_project: true,
};

/// [`BINDINGS`].
pub static BINDING_LIST: IamList = IamList {
    ty: &BINDINGS,
    fields: &[
        ID,
        PROJECT,
        only("principal_kind", "/principal/kind", Kind::Enum(KINDS)),
        only("principal_id", "/principal/id", Kind::Uuid),
        sorted("role", "/role", Kind::Text),
        only("role_id", "/role_id", Kind::Uuid).or_null(),
        CREATED_AT,
    ],
    members: &["id", "project_id", "principal", "role", "role_id", "created_at"],
    takes_project: true,
};

/// [`SERVICE_ACCOUNTS`].
pub static SERVICE_ACCOUNT_LIST: IamList = IamList {
    ty: &SERVICE_ACCOUNTS,
    fields: &[ID, NAME, PROJECT, DISABLED, CREATED_AT],
    members: &["id", "project_id", "name", "description", "disabled", "created_at"],
    takes_project: true,
};

/// [`TOKENS`] of one service account.
pub static TOKEN_LIST: IamList = IamList {
    ty: &TOKENS,
    fields: &[ID, CREATED_AT],
    members: &["id", "description", "created_at", "expires_at", "last_used_at"],
    takes_project: true,
};

/// [`AUDIT`].
pub static AUDIT_LIST: IamList = IamList {
    ty: &AUDIT,
    fields: &[ID, sorted("at", "/at", Kind::Time), only("project_id", "/project_id", Kind::Uuid).or_null()],
    members: &["id", "at", "actor", "request_id", "action", "resource", "project_id", "outcome", "detail"],
    takes_project: true,
};

const ID: Field = Field { name: "id", place: Place::Id, kind: Kind::Uuid, nullable: false, sortable: true };
const NAME: Field = sorted("name", "/name", Kind::Text);
const PROJECT: Field = only("project_id", "/project_id", Kind::Uuid);
const DISABLED: Field = only("disabled", "/disabled", Kind::Bool);
/// Unlike that of resources, it is not what the id says: some ids are fixed.
const CREATED_AT: Field = sorted("created_at", "/created_at", Kind::Time);
const KINDS: &[EnumVariant] = &[
    EnumVariant { name: "user", doc: "A person." },
    EnumVariant { name: "service_account", doc: "A program." },
];

/// A field that lists can be filtered by alone.
const fn only(name: &'static str, pointer: &'static str, kind: Kind) -> Field {
    Field { name, place: Place::Column(pointer), kind, nullable: false, sortable: false }
}

const fn sorted(name: &'static str, pointer: &'static str, kind: Kind) -> Field {
    Field { sortable: true, ..only(name, pointer, kind) }
}

impl Field {
    /// The same, and it may be null.
    const fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }
}
