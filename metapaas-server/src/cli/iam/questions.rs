//! `iam check` and `iam audit`: may I, why not, and who did what.

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, Client, clean, view};

/// `iam check`
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct CheckArguments {
    /// `<slug>.<plural>.<action>` or `<slug>.<plural>.field:<name>`
    permission: String,
    /// Tell what gives it, or what is missing and who could give it
    #[arg(long)]
    explain: bool,
    /// Ask about a user, by name or id, instead of yourself
    #[arg(long, value_name = "USER", conflicts_with = "service_account")]
    user: Option<String>,
    /// Ask about a service account, by name or id, instead of yourself
    #[arg(long, value_name = "ACCOUNT")]
    service_account: Option<String>,
}

/// `iam audit`
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct AuditArguments {
    /// Only what one of that name did or tried
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only this, e.g. iam.bindings.create
    #[arg(long)]
    action: Option<String>,
    /// Only what ended so: OK, DENIED or FAILED
    #[arg(long)]
    outcome: Option<String>,
    /// Not before this time, e.g. 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// How many lines at most, newest first
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) async fn check(client: &mut Client<'_>, arguments: &CheckArguments) -> Result<(), CliError> {
    let mut body = json!({"permission": arguments.permission, "project_id": client.project_id().await?});
    let whom = match (&arguments.user, &arguments.service_account) {
        (Some(user), _) => Some(("user", user)),
        (None, Some(account)) => Some(("service_account", account)),
        (None, None) => None,
    };
    let path = if arguments.explain || whom.is_some() { "/v1/iam/explain" } else { "/v1/iam/check" };
    if let Some((kind, key)) = whom {
        let member = if key.parse::<uuid::Uuid>().is_ok() { "id" } else { "name" };
        body["principal"] = json!({"kind": kind, member: key});
    }
    let answer = client.api.post(path, &[], &body).await?.body;
    let allowed = answer["allowed"] == true;
    let explain = arguments.explain;
    client.output.show(&answer, || {
        let word = if allowed { "yes" } else { "no" };
        let reason = answer["reason"].as_str().filter(|reason| !reason.is_empty());
        let first =
            reason.map_or_else(|| format!("{word}\n"), |reason| format!("{word}: {}\n", clean(reason)));
        if explain { format!("{first}{}", details(&answer)) } else { first }
    })?;
    if allowed { Ok(()) } else { Err(CliError::Silent(4)) }
}

fn details(answer: &Value) -> String {
    let texts = |name: &str, member: Option<&str>| {
        let items = answer[name].as_array().map_or(&[][..], Vec::as_slice);
        let text = |item: &Value| member.map_or(item, |member| &item[member]).as_str().map(clean);
        items.iter().filter_map(text).collect::<Vec<_>>().join(", ")
    };
    let facts = json!({
        "missing": texts("missing", None), "roles that give it": texts("roles", None),
        "who can give it": texts("who_can_grant", Some("name")),
        "given by roles": texts("granted_by", Some("role")), "by bindings": texts("granted_by", Some("binding_id")),
    });
    view::members(&facts)
}

pub(super) async fn audit(client: &mut Client<'_>, arguments: &AuditArguments) -> Result<(), CliError> {
    let mut query = client.project_query().await?;
    let filters = [
        ("actor", &arguments.actor),
        ("action", &arguments.action),
        ("outcome", &arguments.outcome),
        ("since", &arguments.since),
    ];
    query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    let listed = client.all("/v1/iam/audit", &query, arguments.limit).await?;
    let columns = [
        ("AT", "/at"),
        ("ACTOR", "/actor/name"),
        ("ACTION", "/action"),
        ("RESOURCE", "/resource"),
        ("OUTCOME", "/outcome"),
        ("REQUEST", "/request_id"),
    ];
    client.output.show(&json!(listed), || view::columns(&listed.items, &columns))
}
