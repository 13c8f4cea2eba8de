//! The framework's own tables. They migrate like those of a plugin, under the name `metapaas`.

use super::schema::{Column, ColumnKind, PROJECTS, Schema, Table};
use crate::migration::Migrations;

/// The name that the framework's migrations go by.
pub const FRAMEWORK: &str = "metapaas";

/// The migrations of the framework's tables.
pub(super) const MIGRATIONS: Migrations = crate::migrations!();

/// The framework's tables as this code needs them.
pub fn framework_schema() -> Schema {
    let tables = [
        (PROJECTS, projects()),
        ("metapaas_users", users()),
        ("metapaas_service_accounts", service_accounts()),
        ("metapaas_service_tokens", service_tokens()),
        ("metapaas_roles", roles()),
        ("metapaas_bindings", bindings()),
        ("metapaas_identities", identities()),
        ("metapaas_sessions", sessions()),
        ("metapaas_settings", Table::new(vec![text("name"), text("value")])),
        // SQLite counts revisions here; PostgreSQL has the sequence `metapaas_revision`.
        ("metapaas_counters", Table::new(vec![text("name"), int("value")])),
        ("metapaas_events", events()),
        ("metapaas_work", work()),
        ("metapaas_nodes", nodes()),
        ("metapaas_idempotency", idempotency()),
        ("metapaas_replicas", replicas()),
        ("metapaas_audit", audit()),
        ("metapaas_operations", operations()),
        ("metapaas_quotas", quotas()),
        ("metapaas_reservations", reservations()),
        ("metapaas_routes", routes()),
        ("metapaas_ports", ports()),
        ("metapaas_links", links()),
        ("metapaas_logs", logs()),
        ("metapaas_uploads", uploads()),
        ("metapaas_upload_chunks", upload_chunks()),
    ];
    Schema { tables: tables.into_iter().map(|(name, table)| (name.to_owned(), table)).collect() }
}

fn projects() -> Table {
    Table::new(vec![
        uuid("id"),
        text("name").by_bytes(),
        text("description"),
        time("created_at"),
        time("updated_at"),
        int("revision"),
        time("deleting_at").nullable(),
    ])
    .unique(PROJECTS, &["name"])
    .index(PROJECTS, &["created_at", "id"])
}

fn users() -> Table {
    Table::new(vec![
        uuid("id"),
        text("name").by_bytes(),
        text("password_hash").nullable(),
        text("email").nullable().by_bytes(),
        bool("disabled"),
        bool("must_change_password"),
        time("created_at"),
        time("updated_at"),
        int("revision"),
        // Wrong passwords since the last right one, and until when further ones are refused.
        int("failed_logins").nullable(),
        time("locked_until").nullable(),
    ])
    .unique("metapaas_users", &["name"])
    .index("metapaas_users", &["email", "id"])
    .index("metapaas_users", &["disabled", "id"])
    .index("metapaas_users", &["created_at", "id"])
}

fn service_accounts() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("project_id").restrict(PROJECTS),
        text("name").by_bytes(),
        text("description"),
        bool("disabled"),
        time("created_at"),
        time("updated_at"),
        int("revision"),
    ])
    .unique("metapaas_service_accounts", &["project_id", "name"])
    .index("metapaas_service_accounts", &["name", "id"])
    .index("metapaas_service_accounts", &["disabled", "id"])
    .index("metapaas_service_accounts", &["created_at", "id"])
}

fn service_tokens() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("service_account_id").cascade("metapaas_service_accounts"),
        text("token_hash"),
        text("description"),
        time("created_at"),
        time("expires_at").nullable(),
        time("last_used_at").nullable(),
    ])
    .unique("metapaas_service_tokens", &["token_hash"])
    .index("metapaas_service_tokens", &["service_account_id"])
    .index("metapaas_service_tokens", &["service_account_id", "created_at", "id"])
}

fn bindings() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("project_id").restrict(PROJECTS),
        text("principal_kind"),
        uuid("principal_id"),
        text("role").by_bytes(),
        time("created_at"),
        // The role by that name, unless it is built in.
        uuid("role_id").nullable().restrict("metapaas_roles"),
    ])
    .unique("metapaas_bindings", &["project_id", "principal_kind", "principal_id", "role"])
    .index("metapaas_bindings", &["principal_id"])
    .index("metapaas_bindings", &["role_id"])
    .index("metapaas_bindings", &["principal_kind", "id"])
    .index("metapaas_bindings", &["role", "id", "project_id"])
    .index("metapaas_bindings", &["created_at", "id"])
}

fn sessions() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("user_id").cascade("metapaas_users"),
        text("refresh_hash"),
        time("created_at"),
        time("expires_at"),
        time("revoked_at").nullable(),
    ])
    .unique("metapaas_sessions", &["refresh_hash"])
    .index("metapaas_sessions", &["user_id"])
    .index("metapaas_sessions", &["expires_at"])
}

fn events() -> Table {
    Table::new(vec![
        int("seq"),
        time("at"),
        uuid("project_id"),
        text("type"),
        text("plural"),
        uuid("resource_id"),
        uuid("instance_id").nullable(),
        text("name"),
        text("action"),
        text("actor_kind"),
        uuid("actor_id").nullable(),
        text("actor_name"),
        text("request_id"),
        int("generation"),
        json("detail").nullable(),
        uuid("parent_id").nullable(),
    ])
    .index("metapaas_events", &["instance_id", "seq"])
    .index("metapaas_events", &["project_id", "seq"])
}

fn work() -> Table {
    Table::new(vec![
        uuid("resource_id"),
        text("type"),
        time("due_at").nullable(),
        int("priority"),
        int("attempts"),
        int("wake"),
        int("claimed_wake"),
        text("lease_owner").nullable(),
        int("epoch"),
        time("lease_until").nullable(),
        text("waiting_for").nullable(),
        text("last_error").nullable(),
    ])
    .index("metapaas_work", &["due_at"])
    .index("metapaas_work", &["waiting_for"])
}

fn nodes() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("instance_id"),
        uuid("project_id"),
        text("type"),
        text("place"),
        text("provider"),
        text("address").nullable(),
        int("port"),
        json("location").nullable(),
        text("status"),
        text("phase"),
        // Sealed: the document carries the instance's secrets.
        Column::new("document", ColumnKind::Sealed).nullable(),
        int("document_generation"),
        text("document_digest").nullable(),
        int("applied_generation"),
        text("applied_digest").nullable(),
        text("health"),
        text("message"),
        json("facts"),
        json("errors"),
        bool("removed"),
        time("last_seen_at").nullable(),
        time("created_at"),
        time("updated_at"),
        time("deleting_at").nullable(),
    ])
    .unique("metapaas_nodes", &["provider", "address"])
    .unique("metapaas_nodes", &["instance_id", "place"])
    .index("metapaas_nodes", &["last_seen_at"])
}

fn idempotency() -> Table {
    let columns = vec![
        text("principal"),
        text("key"),
        text("request_hash"),
        int("status").nullable(),
        json("headers").nullable(),
        // Sealed text: the answer to a create may show a secret that is shown once.
        text("body").nullable(),
        time("created_at"),
    ];
    Table { primary_key: vec!["principal".into(), "key".into()], ..Table::new(columns) }
        .index("metapaas_idempotency", &["created_at"])
}

fn replicas() -> Table {
    let columns = vec![uuid("id"), text("url"), time("started_at"), time("seen_at")];
    // Id of the master key that it seals with.
    Table::new([columns, vec![text("sealing_key").nullable()]].concat())
}

fn audit() -> Table {
    Table::new(vec![
        uuid("id"),
        time("at"),
        text("actor_kind"),
        uuid("actor_id").nullable(),
        text("actor_name"),
        text("request_id"),
        text("action"),
        text("resource"),
        uuid("project_id").nullable(),
        text("outcome"),
        json("detail").nullable(),
    ])
    .index("metapaas_audit", &["at"])
    .index("metapaas_audit", &["project_id", "id"])
}

fn roles() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("project_id").restrict(PROJECTS),
        text("name").by_bytes(),
        text("description"),
        json("permissions"),
        time("created_at"),
        time("updated_at"),
        int("revision"),
    ])
    .unique("metapaas_roles", &["project_id", "name"])
    .index("metapaas_roles", &["name", "id"])
    .index("metapaas_roles", &["created_at", "id"])
}

/// Users as OIDC issuers know them.
fn identities() -> Table {
    Table::new(vec![
        uuid("id"),
        text("issuer"),
        text("subject"),
        uuid("user_id").cascade("metapaas_users"),
        time("created_at"),
    ])
    .unique("metapaas_identities", &["issuer", "subject"])
    .index("metapaas_identities", &["user_id"])
}

/// Actions that were asked for, and what became of them.
fn operations() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("project_id"),
        text("type"),
        text("plural"),
        uuid("resource_id"),
        uuid("instance_id"),
        text("name"),
        text("action"),
        text("status"),
        int("generation"),
        json("parameters").nullable(),
        json("error").nullable(),
        text("actor_kind"),
        uuid("actor_id").nullable(),
        text("actor_name"),
        text("request_id"),
        time("created_at"),
        time("updated_at"),
        time("finished_at").nullable(),
    ])
    .index("metapaas_operations", &["instance_id", "finished_at"])
    .index("metapaas_operations", &["project_id", "id"])
    .index("metapaas_operations", &["finished_at"])
    .index("metapaas_operations", &["resource_id", "id"])
    .index("metapaas_operations", &["status", "id"])
}

/// Limits of projects, and what is reserved of each. A project without a limit has no row.
fn quotas() -> Table {
    let columns =
        vec![uuid("project_id").cascade(PROJECTS), text("resource"), int("limit_value"), int("used")];
    Table { primary_key: vec!["project_id".into(), "resource".into()], ..Table::new(columns) }
}

/// What each instance of a project with limits has reserved.
fn reservations() -> Table {
    Table::new(vec![uuid("instance_id"), uuid("project_id"), json("amounts")])
        .index("metapaas_reservations", &["project_id"])
}

/// Host names and the addresses behind them. The first to have a name keeps it.
fn routes() -> Table {
    let columns = vec![text("host"), uuid("instance_id"), text("name"), json("backends"), time("created_at")];
    Table::new(columns).index("metapaas_routes", &["instance_id"])
}

/// Ports of the installation's range that are leased to a route.
fn ports() -> Table {
    let columns = vec![int("port"), uuid("instance_id"), text("name"), json("backends"), time("created_at")];
    Table::new(columns).unique("metapaas_ports", &["instance_id", "name"])
}

/// What bindings lead to. The id is that of the binding's own row.
fn links() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("binder_id"),
        uuid("target_id"),
        text("target_type"),
        text("path"),
        json("parameters"),
        text("secret"),
        int("generation"),
        bool("leaving"),
        time("created_at"),
    ])
    .index("metapaas_links", &["binder_id"])
    .index("metapaas_links", &["target_id"])
}

/// The last lines of nodes that are gone.
fn logs() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("instance_id"),
        text("place"),
        // Logs may hold secrets.
        Column::new("lines", ColumnKind::Sealed),
        time("created_at"),
    ])
    .index("metapaas_logs", &["instance_id"])
    .index("metapaas_logs", &["created_at"])
}

/// Files that clients sent for an instance. NULLs never agree, so that any number of one digest may be on their way.
fn uploads() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("instance_id"),
        // Once all of it has arrived.
        text("digest").nullable(),
        int("size"),
        bool("needed"),
        time("created_at"),
    ])
    .unique("metapaas_uploads", &["instance_id", "digest"])
    .index("metapaas_uploads", &["created_at"])
}

/// What they hold.
fn upload_chunks() -> Table {
    Table::new(vec![
        uuid("id"),
        uuid("upload_id").cascade("metapaas_uploads"),
        int("seq"),
        // Code may hold secrets.
        Column::new("data", ColumnKind::Sealed),
    ])
    .unique("metapaas_upload_chunks", &["upload_id", "seq"])
}

fn uuid(name: &str) -> Column {
    Column::new(name, ColumnKind::Uuid)
}

fn text(name: &str) -> Column {
    Column::new(name, ColumnKind::Text)
}

fn int(name: &str) -> Column {
    Column::new(name, ColumnKind::Int)
}

fn bool(name: &str) -> Column {
    Column::new(name, ColumnKind::Bool)
}

fn time(name: &str) -> Column {
    Column::new(name, ColumnKind::Timestamp)
}

fn json(name: &str) -> Column {
    Column::new(name, ColumnKind::Json)
}
