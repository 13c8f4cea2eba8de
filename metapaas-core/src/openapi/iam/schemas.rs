//! Bodies of the built-in issuer, as `crate::iam` reads and writes them.

use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder};
use utoipa::openapi::{Schema, Type};

use crate::iam::{PASSWORD_MAX, PASSWORD_MIN};
use crate::openapi::build::{
    ObjectExt, WITHOUT_NUL, array, boolean, closed, formatted, id, integer, nullable, open, page_of, schema,
    string, time,
};
use crate::openapi::shared::NAME_PATTERN;
use crate::role::Role;
use crate::validate::DESCRIPTION_MAX;

/// The form of the names of users.
const USER_NAME_PATTERN: &str = "^[a-z][a-z0-9._@-]{0,62}$";

/// All of them by name.
pub(super) fn all() -> Vec<(String, Schema)> {
    let mut all = sessions();
    all.extend(users());
    all.extend(projects());
    all.extend(accounts());
    all.extend(roles());
    all.extend(questions());
    all.extend(audit());
    all.into_iter().map(|(name, schema)| (format!("Iam{name}"), schema)).collect()
}

type Schemas = Vec<(&'static str, Schema)>;

fn sessions() -> Schemas {
    let by_password = closed("A login.")
        .must("grant_type", string("").enum_values(Some(["password"])))
        .must("username", string("The user's name.").min_length(Some(1)))
        .must("password", secret("The user's password.").min_length(Some(1)));
    let by_refresh = closed("The next tokens of a session.")
        .must("grant_type", string("").enum_values(Some(["refresh_token"])))
        .must("refresh_token", secret("The newest one of the session. It works once.").min_length(Some(1)));
    let tokens = open("Tokens to make requests with.")
        .must("access_token", string("Goes into `Authorization: Bearer`."))
        .must("refresh_token", string("Gets the next tokens. It works once."))
        .must("token_type", string("").enum_values(Some(["Bearer"])))
        .must("expires_in", integer("How long the access token is good, in seconds."))
        .property("must_change_password", boolean("Somebody else chose the password."));
    let membership = open("A role of the caller.")
        .must("project_id", id("Where it holds."))
        .must("project", string("The project's name."))
        .must("role", role());
    let whoami = open("The caller.")
        .must("kind", principal_kind())
        .must("id", id(""))
        .must("name", string(""))
        .property("platform_role", role_or_null("The built-in role that holds in every project."))
        .must("must_change_password", boolean("Nothing else may be done before the password is changed."))
        .must("bindings", array(schema("IamMembership"), "Roles by project."));
    vec![
        (
            "TokenRequest",
            OneOfBuilder::new().item(by_password).item(by_refresh).schema_type(Type::Object).into(),
        ),
        ("Tokens", tokens.into()),
        ("Membership", membership.into()),
        ("Whoami", whoami.into()),
    ]
}

/// What answers to dry runs have besides.
fn tried(object: ObjectBuilder) -> ObjectBuilder {
    let plan = array(schema("PlanStep"), "In answers to dry runs; no node has to do anything.");
    object.property("plan", plan)
}

fn users() -> Schemas {
    let email = || optional(formatted("email", "Where to reach the user.").max_length(Some(254)));
    let disabled = || optional_flag("A disabled user can neither log in nor go on with a session.");
    let shown = |object: ObjectBuilder| {
        object
            .must("id", id(""))
            .must("name", string("What the user logs in with."))
            .must("email", email())
            .must("disabled", boolean("A disabled user can neither log in nor go on with a session."))
            .must("must_change_password", boolean("Nothing else may be done before the password is changed."))
            .must("created_at", time("When it was made."))
            .must("updated_at", time("When it last changed."))
    };
    let created =
        shown(open("A new user.")).property("password", string("The generated password; shown this once."));
    let must_change = || optional_flag("Whether the password must be changed before anything else.");
    let identity = closed("Who the user is at an OIDC issuer; then it needs no password.")
        .schema_type(nullable(Type::Object))
        .must("issuer", formatted("uri", "The issuer's URL."))
        .must("subject", string("The claim `sub`.").min_length(Some(1)).pattern(Some(WITHOUT_NUL)));
    let create = closed("A new user.")
        .must("name", user_name("Unique in the installation."))
        .property("password", optional(new_secret("Generated and shown once when not given.")))
        .property("email", email())
        .property("disabled", disabled())
        .property("must_change_password", must_change())
        .property("identity", identity);
    let patch = closed("Changes of a user.")
        .property("name", user_name("Cannot change; may be repeated."))
        .property("password", optional(new_secret("A new password; ends all sessions.")))
        .property("old_password", optional(secret("Needed to change one's own password.")))
        .property("email", email())
        .property("disabled", disabled())
        .property("must_change_password", must_change());
    vec![
        ("User", tried(shown(open("A person who can log in."))).into()),
        ("UserList", page_of("IamUser").into()),
        ("UserCreated", tried(created).into()),
        ("UserCreate", ignoring(create).into()),
        ("UserPatch", ignoring(patch).into()),
    ]
}

fn projects() -> Schemas {
    let project = open("What resources belong to and roles hold in.")
        .must("id", id(""))
        .must("name", string("Unique in the installation."))
        .must("description", string("Free text."))
        .must("created_at", time("When it was made."))
        .must("updated_at", time("When it last changed."));
    let create = closed("A new project.")
        .must("name", name("Unique in the installation."))
        .property("description", description());
    let patch = closed("Changes of a project.")
        .property("name", name("Cannot change; may be repeated."))
        .property("description", description());
    let principal =
        open("Who has a role.").must("kind", principal_kind()).must("id", id("")).must("name", string(""));
    let binding = open("A role of a user or service account in a project.")
        .must("id", id(""))
        .must("project_id", id("Where the role holds; everywhere when it is the platform project."))
        .must("principal", schema("IamPrincipal"))
        .must("role", role())
        .must("role_id", optional(id("The role; null when it is built in.")))
        .must("created_at", time("When it was made."));
    let wanted = closed("Who gets the role: by id or by name.")
        .must("kind", principal_kind())
        .property("id", optional(id("")))
        .property("name", optional(string("")));
    let binding_create = closed("A new binding.")
        .must("project_id", id("Where the role holds; everywhere when it is the platform project."))
        .must("principal", wanted)
        .must("role", role());
    vec![
        ("Project", tried(project).into()),
        ("ProjectList", page_of("IamProject").into()),
        ("ProjectCreate", ignoring(create).into()),
        ("ProjectPatch", ignoring(patch).into()),
        ("Principal", principal.into()),
        ("Binding", tried(binding).into()),
        ("BindingList", page_of("IamBinding").into()),
        ("BindingCreate", ignoring(binding_create).into()),
    ]
}

fn accounts() -> Schemas {
    let disabled = || optional_flag("The tokens of a disabled one are refused.");
    let account = open("A program that makes requests with tokens of its own.")
        .must("id", id(""))
        .must("project_id", id("Whose owners manage it."))
        .must("name", string("Unique in the project."))
        .must("description", string("Free text."))
        .must("disabled", boolean("The tokens of a disabled one are refused."))
        .must("created_at", time("When it was made."));
    let create = closed("A new service account.")
        .must("project_id", id("Whose owners manage it."))
        .must("name", name("Unique in the project."))
        .property("description", description())
        .property("disabled", disabled());
    let patch = closed("Changes of a service account.")
        .property("project_id", id("Cannot change; may be repeated."))
        .property("name", name("Cannot change; may be repeated."))
        .property("description", description())
        .property("disabled", disabled());
    let shown = |object: ObjectBuilder| {
        object
            .must("id", id(""))
            .must("description", string("Free text."))
            .must("created_at", time("When it was made."))
            .must("expires_at", optional(time("Until when it is good; forever without one.")))
            .must("last_used_at", optional(time("When it was last used, give or take a minute.")))
    };
    let token_create = closed("A new token.")
        .property("description", description())
        .property("expires_at", optional(time("A time to come; good forever when not given.")));
    vec![
        ("ServiceAccount", tried(account).into()),
        ("ServiceAccountList", page_of("IamServiceAccount").into()),
        ("ServiceAccountCreate", ignoring(create).into()),
        ("ServiceAccountPatch", ignoring(patch).into()),
        ("Token", shown(open("What a service account shows.")).into()),
        ("TokenList", page_of("IamToken").into()),
        (
            "TokenCreated",
            tried(shown(open("A new token.")))
                .must("token", string("The token itself; shown this once, and empty for a dry run."))
                .into(),
        ),
        ("TokenCreate", ignoring(token_create).into()),
    ]
}

fn roles() -> Schemas {
    let permissions = || {
        let pattern = string("E.g. `s3.instances.create`; `*` stands for a whole part.");
        array(pattern, "What it gives.")
    };
    let given = || permissions().min_items(Some(1)).max_items(Some(200));
    let shown = open("What a binding gives.")
        .must("id", id(""))
        .must("name", string("What bindings call it."))
        .must("project_id", id("Where it can be given; everywhere when it is the platform project."))
        .must("description", string("What it is for."))
        .must("permissions", permissions())
        .must("built_in", boolean("It exists everywhere and cannot change."))
        .must("created_at", optional(time("When it was made; null when it is built in.")))
        .must("updated_at", optional(time("When it last changed.")));
    let create = closed("A new role.")
        .must("project_id", id("Where it can be given; everywhere when it is the platform project."))
        .must("name", name("Unique in the project, and none that is built in."))
        .must("permissions", given())
        .property("description", description());
    let patch = closed("Changes of a role.")
        .property("project_id", id("Cannot change; may be repeated."))
        .property("name", name("Cannot change; may be repeated."))
        .property("permissions", given())
        .property("built_in", schema("Ignored"))
        .property("description", description());
    vec![
        ("Role", tried(shown).into()),
        ("RoleList", page_of("IamRole").into()),
        ("RoleCreate", ignoring(create).into()),
        ("RolePatch", ignoring(patch).into()),
    ]
}

fn questions() -> Schemas {
    let asked = |doc: &str| {
        closed(doc)
            .must("permission", string("E.g. `s3.instances.create`."))
            .property("project_id", optional(id("Where; on the platform when not given.")))
    };
    let whom = closed("Whom it is about, by id or by name; the caller when not given.")
        .schema_type(nullable(Type::Object))
        .must("kind", principal_kind())
        .property("id", optional(id("")))
        .property("name", optional(string("")));
    let answered =
        |doc: &str| open(doc).must("allowed", boolean("Whether.")).must("reason", string("Why, for people."));
    let granted = open("What gives a permission.")
        .must("permission", string("The permission."))
        .must("binding_id", optional(id("The binding; null for a role of a group of an OIDC issuer.")))
        .must("project_id", optional(id("Where the binding is; the platform project's hold everywhere.")))
        .must("role", optional(string("The role that it gives.")))
        .must("pattern", optional(string("The pattern of the role that fits; null when it is built in.")));
    let explanation = answered("Why somebody may do something, or why not.")
        .must("permission", string("What was asked for."))
        .must("project_id", id("Where it counts."))
        .must("principal", schema("IamPrincipal"))
        .must("granted_by", array(schema("IamGrantedBy"), "What gives it."))
        .must("missing", array(string(""), "Permissions that nothing gives."))
        .must("roles", array(string(""), "Roles that would give what is missing."))
        .must(
            "who_can_grant",
            array(schema("IamPrincipal"), "Who could give it, for those who may see that."),
        );
    let check = asked("A question about the caller.")
        .property("explain", optional_flag("Answers as `/v1/iam/explain` does."));
    vec![
        ("CheckRequest", check.into()),
        ("Check", answered("The answer.").into()),
        ("ExplainRequest", asked("A question about somebody.").property("principal", whom).into()),
        ("GrantedBy", granted.into()),
        ("Explanation", explanation.into()),
    ]
}

fn audit() -> Schemas {
    let actor = open("Who did or tried something.")
        .must("kind", string("").enum_values(Some(["user", "service_account", "system", "unknown"])))
        .must("id", optional(id("")))
        .must("name", string("The name at the time, or the one that was tried."));
    let record = open("One line of the audit.")
        .must("id", id(""))
        .must("at", time("When."))
        .must("actor", schema("IamAuditActor"))
        .must("request_id", string("Finds the request in logs and events."))
        .must("action", string("What was done or tried: a permission, or `iam.sessions.login` and the like."))
        .must(
            "resource",
            string("What it was done to, such as `users/ann`, or the request's method and path."),
        )
        .must("project_id", optional(id("The project that it belongs to.")))
        .must("outcome", outcome())
        .must(
            "detail",
            ObjectBuilder::new()
                .schema_type(nullable(Type::Object))
                .description(Some("`before` and `after` of a change, or why something was denied.")),
        );
    vec![
        ("AuditActor", actor.into()),
        ("AuditRecord", record.into()),
        ("AuditList", page_of("IamAuditRecord").into()),
    ]
}

/// How something ended.
pub(super) fn outcome() -> ObjectBuilder {
    string("").enum_values(Some(["OK", "DENIED", "FAILED"]))
}

/// A text that may as well be null.
fn optional(text: ObjectBuilder) -> ObjectBuilder {
    text.schema_type(nullable(Type::String))
}

fn optional_flag(doc: &str) -> ObjectBuilder {
    boolean(doc).schema_type(nullable(Type::Boolean))
}

fn secret(doc: &str) -> ObjectBuilder {
    formatted("password", doc).write_only(true).pattern(Some(WITHOUT_NUL))
}

/// A password that is set, not one that is compared.
fn new_secret(doc: &str) -> ObjectBuilder {
    secret(doc).min_length(Some(PASSWORD_MIN)).max_length(Some(PASSWORD_MAX))
}

fn name(doc: &str) -> ObjectBuilder {
    string(doc).pattern(Some(NAME_PATTERN))
}

fn user_name(doc: &str) -> ObjectBuilder {
    string(doc).pattern(Some(USER_NAME_PATTERN))
}

fn description() -> ObjectBuilder {
    optional(string("Free text.").max_length(Some(DESCRIPTION_MAX)).pattern(Some(WITHOUT_NUL)))
}

/// Built in or of the installation's own, by name.
fn role() -> ObjectBuilder {
    string("`owner`, `operator`, `viewer`, or a role of the project's or the platform's own.")
}

fn role_or_null(doc: &str) -> ObjectBuilder {
    let names = Role::ALL.into_iter().map(|role| Some(role.as_str())).chain([None]);
    optional(string(doc)).enum_values(Some(names))
}

fn principal_kind() -> ObjectBuilder {
    string("").enum_values(Some(["user", "service_account"]))
}

/// Members of answers that requests may repeat.
fn ignoring(object: ObjectBuilder) -> ObjectBuilder {
    let members = crate::iam::READ_ONLY;
    members.iter().fold(object, |object, member| object.property(*member, schema("Ignored")))
}
