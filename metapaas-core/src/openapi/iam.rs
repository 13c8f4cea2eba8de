//! Paths of the built-in issuer: logins, users, projects, roles, bindings, service accounts, the audit.

mod schemas;

use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, PathItemBuilder};
use utoipa::openapi::{PathItem, Ref};

use super::build::{
    JSON, OperationExt, answer, body, id, operation, or_stream, path, query, shared_parameter, string, time,
};
use super::{Parts, lists};
use crate::descriptor::{Action, TypeDescriptor};
use crate::iam::{
    AUDIT_LIST, BINDING_LIST, IamList, PROJECT_LIST, ROLE_LIST, SERVICE_ACCOUNT_LIST, TOKEN_LIST, USER_LIST,
};
use crate::query::Fields;

const TAG: &str = "iam";
const MERGE_PATCH: &str = "application/merge-patch+json";
const ETAG: (&str, &str) = ("ETag", "ETag");
const REPLAYED: (&str, &str) = ("Idempotency-Replayed", "IdempotencyReplayed");

/// Adds all of it.
pub(super) fn add(parts: &mut Parts) {
    parts.tag(TAG, "Who is who, and who may do what.");
    for (name, schema) in schemas::all() {
        parts.components.schemas.insert(name, schema.into());
    }
    let mut put = |path: &str, item: PathItem| parts.paths.paths.insert(path.into(), item);
    sessions(&mut put);

    let user = || path("user", string(""), "The user's `id` or `name`.");
    put("/v1/iam/users", Kind::new(&USER_LIST, "User", "a user").collection(&[], Some("IamUserCreated")));
    put("/v1/iam/users/{user}", Kind::new(&USER_LIST, "User", "a user").row(&[user()], true));

    let project = || path("project", string(""), "The project's `id` or `name`.");
    let projects = Kind::new(&PROJECT_LIST, "Project", "a project");
    put("/v1/iam/projects", projects.collection(&[], None));
    put("/v1/iam/projects/{project}", projects.row(&[project()], true));

    let role = || path("role", string(""), "The role's `id` or `name`.");
    let roles = Kind::new(&ROLE_LIST, "Role", "a role");
    put("/v1/iam/roles", roles.collection(&[], None));
    put("/v1/iam/roles/{role}", roles.row(&[role()], true));
    put("/v1/iam/audit", PathItem::new(HttpMethod::Get, audit()));

    let binding = || path("binding", id(""), "The binding's `id`.");
    // A binding has no name, which a project would tell from others.
    let bindings = || Kind::new(&BINDING_LIST, "Binding", "a binding");
    let row = Kind { takes_project: false, ..bindings() };
    put("/v1/iam/bindings/{binding}", row.row(&[binding()], false));
    put("/v1/iam/bindings", bindings().collection(&[], None));

    let account = || path("service_account", string(""), "The service account's `id` or `name`.");
    let accounts = Kind::new(&SERVICE_ACCOUNT_LIST, "ServiceAccount", "a service account");
    put("/v1/iam/service-accounts", accounts.collection(&[], None));
    put("/v1/iam/service-accounts/{service_account}", accounts.row(&[account()], true));

    let tokens = Kind::new(&TOKEN_LIST, "Token", "a token of a service account");
    put(
        "/v1/iam/service-accounts/{service_account}/tokens",
        tokens.collection(&[account()], Some("IamTokenCreated")),
    );
    let token = path("token", id(""), "The token's `id`.");
    let delete = with(&[account(), token]).operation(HttpMethod::Delete, tokens.delete()).build();
    put("/v1/iam/service-accounts/{service_account}/tokens/{token}", delete);
}

/// Logins and questions about oneself.
fn sessions(put: &mut impl FnMut(&str, PathItem) -> Option<PathItem>) {
    let token = operation("iam_token", TAG, "Log in, or go on with a session")
        .request_body(Some(body("IamTokenRequest", &[JSON])))
        .response("200", answer("Tokens to make requests with.", Some("IamTokens"), &[]))
        .errors(&[400, 401, 413, 414, 415, 429, 431, 503]);
    put("/v1/iam/token", PathItem::new(HttpMethod::Post, token));

    let logout = operation("iam_logout", TAG, "End the session")
        .for_users()
        .response("204", answer("The tokens of the session are refused from now on.", None, &[]))
        .errors(&[400]);
    put("/v1/iam/logout", PathItem::new(HttpMethod::Post, logout));

    let whoami = operation("iam_whoami", TAG, "Read who the caller is")
        .for_users()
        .response("200", answer("The caller.", Some("IamWhoami"), &[]));
    put("/v1/iam/whoami", PathItem::new(HttpMethod::Get, whoami));

    let check = operation("iam_check", TAG, "Ask whether the caller may do something")
        .for_users()
        .request_body(Some(body("IamCheckRequest", &[JSON])))
        .response("200", answer("Whether it may.", Some("IamCheck"), &[]))
        .errors(&[400, 413, 415]);
    put("/v1/iam/check", PathItem::new(HttpMethod::Post, check));

    let explain = operation("iam_explain", TAG, "Ask why somebody may do something, or why not")
        .for_users()
        .request_body(Some(body("IamExplainRequest", &[JSON])))
        .response("200", answer("What gives it, or what is missing.", Some("IamExplanation"), &[]))
        .errors(&[400, 403, 404, 413, 415]);
    put("/v1/iam/explain", PathItem::new(HttpMethod::Post, explain));
}

/// Who changed or was denied what.
fn audit() -> OperationBuilder {
    let filter = |name: &str, schema, doc: &str| query(name, schema, doc);
    let list = operation("iam_audit_list", TAG, "List the audit, newest first")
        .permission(&AUDIT_LIST.ty.permission(Action::List))
        .for_users()
        .parameter_ref(shared_parameter("Limit"))
        .parameter_ref(shared_parameter("PageToken"))
        .parameter_ref(shared_parameter("ProjectId"))
        .parameter(filter("actor", string(""), "Only by the one of that name."))
        .parameter(filter("actor_id", id(""), "Only by the one of that id."))
        .parameter(filter("action", string(""), "Only this, e.g. `iam.bindings.create`."))
        .parameter(filter("outcome", schemas::outcome(), "Only what ended so."))
        .parameter(filter("since", time(""), "Not before."))
        .parameter(filter("until", time(""), "Before."))
        .response("200", answer("A page.", Some("IamAuditList"), &[]))
        .errors(&[400, 403, 404, 410]);
    lists::add(list, &Fields::new(AUDIT_LIST.fields), AUDIT_LIST.members)
}

/// A type of the issuer, with the names that its operations go by.
struct Kind {
    ty: &'static TypeDescriptor,
    list: &'static IamList,
    schema: String,
    one: &'static str,
    /// Whether requests may name a project.
    takes_project: bool,
}

impl Kind {
    fn new(list: &'static IamList, schema: &str, one: &'static str) -> Self {
        let takes_project = list.takes_project;
        Self { ty: list.ty, list, schema: format!("Iam{schema}"), one, takes_project }
    }

    /// `created` is the schema of what a create answers, where it is not the usual one.
    fn collection(&self, above: &[Parameter], created: Option<&str>) -> PathItem {
        // A token has no path of its own to read it at.
        let location: &[(&str, &str)] =
            if above.is_empty() { &[("Location", "Location"), ETAG, REPLAYED] } else { &[REPLAYED] };
        let made = answer("It is made.", Some(created.unwrap_or(&self.schema)), location);
        let create = self
            .begin("create", Action::Create, &format!("Create {}", self.one))
            .parameter_ref(shared_parameter("DryRun"))
            .parameter_ref(shared_parameter("IdempotencyKey"))
            .request_body(Some(body(&format!("{}Create", self.schema), &[JSON])))
            .response("201", made)
            .errors(&[400, 403, 404, 409, 413, 415, 422]);
        // A binding or account says its project in the body; a token's account may need one to be found.
        let create = if above.is_empty() { create } else { self.in_project(create) };
        let list = if above.is_empty() { self.list() } else { self.list().errors(&[404, 409]) };
        with(above).operation(HttpMethod::Get, list).operation(HttpMethod::Post, create).build()
    }

    fn list(&self) -> OperationBuilder {
        let list = self
            .begin("list", Action::List, &format!("List {}", self.ty.plural.replace('-', " ")))
            .parameter_ref(shared_parameter("Limit"))
            .parameter_ref(shared_parameter("PageToken"))
            .parameter_ref(shared_parameter("LastEventId"))
            .response(
                "200",
                or_stream(answer("A page, or a stream.", Some(&format!("{}List", self.schema)), &[])),
            )
            .errors(&[400, 403, 410, 429]);
        lists::add(self.in_project(list), &Fields::new(self.list.fields), self.list.members)
    }

    fn row(&self, own: &[Parameter], has_update: bool) -> PathItem {
        let read = self
            .begin("read", Action::Read, &format!("Read {}", self.one))
            .parameter_ref(shared_parameter("IfNoneMatch"))
            .response("200", answer("The resource.", Some(&self.schema), &[ETAG]))
            .response("304", answer("It still has that entity tag.", None, &[ETAG]));
        let read = self.in_project(read).errors(&[400, 403, 404, 409]);
        let mut item =
            with(own).operation(HttpMethod::Get, read).operation(HttpMethod::Delete, self.delete());
        if has_update {
            let update = self
                .begin("update", Action::Update, &format!("Change {}", self.one))
                .parameter_ref(shared_parameter("IfMatch"))
                .parameter_ref(shared_parameter("DryRun"))
                .parameter_ref(shared_parameter("IdempotencyKey"))
                .request_body(Some(body(&format!("{}Patch", self.schema), &[JSON, MERGE_PATCH])))
                .response("200", answer("The resource.", Some(&self.schema), &[ETAG, REPLAYED]))
                .errors(&[400, 403, 404, 409, 412, 413, 415, 422]);
            item = item.operation(HttpMethod::Patch, self.in_project(update));
        }
        item.build()
    }

    fn delete(&self) -> OperationBuilder {
        let delete = self
            .begin("delete", Action::Delete, &format!("Delete {}", self.one))
            .parameter_ref(shared_parameter("IfMatch"))
            .parameter_ref(shared_parameter("DryRun"))
            .response("204", answer("It is gone; a dry run says that it would be.", None, &[]))
            .errors(&[400, 403, 404, 409, 412]);
        self.in_project(delete)
    }

    fn begin(&self, name: &str, action: Action, summary: &str) -> OperationBuilder {
        operation(&format!("{}_{name}", self.ty.table()), TAG, summary)
            .permission(&self.ty.permission(action))
            .for_users()
    }

    fn in_project(&self, operation: OperationBuilder) -> OperationBuilder {
        let project: Ref = shared_parameter("ProjectId");
        if self.takes_project { operation.parameter_ref(project) } else { operation }
    }
}

fn with(parameters: &[Parameter]) -> PathItemBuilder {
    PathItemBuilder::new().parameters((!parameters.is_empty()).then(|| parameters.to_vec()))
}
