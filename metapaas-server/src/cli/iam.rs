//! `iam`: users, projects, roles, bindings, service accounts, "may I", and the audit.

mod questions;
mod roles;

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::questions::{AuditArguments, CheckArguments};
use self::roles::RolesCommand;
use super::client::Client;
use super::error::CliError;
use super::path::encode;
use super::prompt;
use super::text::clean;
use super::view;

const USERS: &str = "/v1/iam/users";
const PROJECTS: &str = "/v1/iam/projects";
const BINDINGS: &str = "/v1/iam/bindings";
const ACCOUNTS: &str = "/v1/iam/service-accounts";

/// `iam ...`
#[derive(Clone, Debug, Subcommand)]
pub enum IamCommand {
    /// People who log in with a password
    #[command(subcommand)]
    Users(UsersCommand),
    /// Projects, which hold resources
    #[command(subcommand)]
    Projects(ProjectsCommand),
    /// Roles, which are sets of permissions
    #[command(subcommand)]
    Roles(RolesCommand),
    /// Who has which role in which project
    #[command(subcommand)]
    Bindings(BindingsCommand),
    /// Programs that come with a token
    #[command(subcommand)]
    ServiceAccounts(AccountsCommand),
    /// Tell whether you, or somebody else, have a permission, e.g. demo.instances.create; exit code 4 when not
    Check(CheckArguments),
    /// Show who changed or was denied what, newest first
    Audit(AuditArguments),
}

/// `iam users ...`
#[derive(Clone, Debug, Subcommand)]
pub enum UsersCommand {
    /// List them
    List,
    /// Make one; without --password-stdin the server makes a password, shown once
    Create {
        /// The login name
        name: String,
        /// Address for mail
        #[arg(long)]
        email: Option<String>,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        /// Let the user keep the password, which somebody else knows; without it the first login must change it
        #[arg(long)]
        keep_password: bool,
    },
    /// Give a new password, and for your own the present one as well
    SetPassword {
        /// Name or id
        name: String,
        /// Read the new password from the first line of standard input, the present one from the second
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove one
    Delete {
        /// Name or id
        name: String,
    },
}

/// `iam projects ...`
#[derive(Clone, Debug, Subcommand)]
pub enum ProjectsCommand {
    /// List those that you may see
    List,
    /// Make one
    Create {
        /// Its name
        name: String,
        /// Free text
        #[arg(long)]
        description: Option<String>,
    },
    /// Remove one
    Delete {
        /// Name or id
        name: String,
    },
}

/// `iam bindings ...`
#[derive(Clone, Debug, Subcommand)]
pub enum BindingsCommand {
    /// List those that you may see
    List,
    /// Give a user or service account a role in the project of --project
    Create(NewBinding),
    /// Take a role away
    Delete {
        /// The binding's id
        id: String,
    },
}

/// `iam bindings create`
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct NewBinding {
    /// Name or id of a user
    #[arg(
        long,
        value_name = "USER",
        required_unless_present = "service_account",
        conflicts_with = "service_account"
    )]
    user: Option<String>,
    /// Name or id of a service account
    #[arg(long, value_name = "ACCOUNT")]
    service_account: Option<String>,
    /// owner, operator, viewer, or a role of the project's own
    #[arg(long)]
    role: String,
}

/// `iam service-accounts ...`
#[derive(Clone, Debug, Subcommand)]
pub enum AccountsCommand {
    /// List those that you may see
    List,
    /// Make one in the project of --project
    Create {
        /// Its name
        name: String,
        /// Free text
        #[arg(long)]
        description: Option<String>,
    },
    /// Remove one
    Delete {
        /// Name or id
        name: String,
    },
    /// Make a token, shown once
    Token {
        /// Name or id
        name: String,
        /// How long it is good for, e.g. 90d; without it, until it is revoked
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },
    /// List the tokens of one, without their secrets
    Tokens {
        /// Name or id
        name: String,
    },
    /// End a token
    RevokeToken {
        /// Name or id of the service account
        name: String,
        /// The token's id
        token_id: String,
    },
}

/// Runs a command of `iam`.
pub(super) async fn run(client: &mut Client<'_>, command: &IamCommand) -> Result<(), CliError> {
    match command {
        IamCommand::Users(command) => users(client, command).await,
        IamCommand::Projects(command) => projects(client, command).await,
        IamCommand::Roles(command) => roles::run(client, command).await,
        IamCommand::Bindings(command) => bindings(client, command).await,
        IamCommand::ServiceAccounts(command) => accounts(client, command).await,
        IamCommand::Check(arguments) => questions::check(client, arguments).await,
        IamCommand::Audit(arguments) => questions::audit(client, arguments).await,
    }
}

async fn users(client: &mut Client<'_>, command: &UsersCommand) -> Result<(), CliError> {
    match command {
        UsersCommand::List => {
            list(
                client,
                USERS,
                &[("NAME", "/name"), ("EMAIL", "/email"), ("ID", "/id"), ("AGE", "/created_at")],
            )
            .await
        }
        UsersCommand::Create { name, email, password_stdin, keep_password } => {
            let mut body = named(name, &[("email", email.as_deref())]);
            if *password_stdin {
                body.insert("password".into(), Value::String(prompt::password_of_stdin()?));
            }
            if *keep_password {
                body.insert("must_change_password".into(), false.into());
            }
            create(client, USERS, "user", body).await
        }
        UsersCommand::SetPassword { name, password_stdin } => {
            set_password(client, name, *password_stdin).await
        }
        UsersCommand::Delete { name } => delete(client, USERS, "user", name).await,
    }
}

/// One's own password takes the old one as well.
async fn set_password(client: &mut Client<'_>, name: &str, from_stdin: bool) -> Result<(), CliError> {
    let who = client.api.get("/v1/iam/whoami", &[]).await?.body;
    let is_own = who["kind"] == "user" && (who["name"] == name || who["id"] == name);
    let (new, old) = if from_stdin {
        prompt::passwords_of_stdin()?
    } else {
        let old = if is_own {
            Some(prompt::password(&format!("Present password of {name}: ")).await?)
        } else {
            None
        };
        let new = prompt::password(&format!("New password of {name}: ")).await?;
        if prompt::password("Once more: ").await? != new {
            return Err(CliError::Usage("the two passwords differ".into()));
        }
        (new, old)
    };
    let mut body = json!({"password": new});
    if is_own {
        let missing =
            || CliError::Usage("this is your own: give the present password on the second line".into());
        body["old_password"] = Value::String(old.ok_or_else(missing)?);
    }
    let user = client.api.patch(&format!("{USERS}/{}", encode(name)), &[], &body).await?.body;
    client.output.show(&user, || format!("user {} has a new password; its logins have ended\n", clean(name)))
}

async fn projects(client: &mut Client<'_>, command: &ProjectsCommand) -> Result<(), CliError> {
    match command {
        ProjectsCommand::List => {
            let columns =
                [("NAME", "/name"), ("ID", "/id"), ("DESCRIPTION", "/description"), ("AGE", "/created_at")];
            list(client, PROJECTS, &columns).await
        }
        ProjectsCommand::Create { name, description } => {
            let body = named(name, &[("description", description.as_deref())]);
            create(client, PROJECTS, "project", body).await
        }
        ProjectsCommand::Delete { name } => delete(client, PROJECTS, "project", name).await,
    }
}

async fn bindings(client: &mut Client<'_>, command: &BindingsCommand) -> Result<(), CliError> {
    match command {
        BindingsCommand::List => {
            let columns = [
                ("ID", "/id"),
                ("PROJECT", "/project"),
                ("PROJECT ID", "/project_id"),
                ("KIND", "/principal/kind"),
                ("NAME", "/principal/name"),
                ("PRINCIPAL ID", "/principal/id"),
                ("ROLE", "/role"),
            ];
            list(client, BINDINGS, &columns).await
        }
        BindingsCommand::Create(new) => {
            let project = client.project_for_new().await?.ok_or_else(|| {
                CliError::Usage(
                    "say in which project: --project NAME (the platform project holds in all)".into(),
                )
            })?;
            let (kind, id) = match (&new.user, &new.service_account) {
                (Some(user), _) => ("user", client.id_of(USERS, user, &[]).await?),
                (None, Some(account)) => {
                    let query = [("project_id", project.clone())];
                    ("service_account", client.id_of(ACCOUNTS, account, &query).await?)
                }
                (None, None) => return Err(CliError::Usage("say who: --user or --service-account".into())),
            };
            let body =
                json!({"project_id": project, "principal": {"kind": kind, "id": id}, "role": new.role});
            let binding = client.api.post(BINDINGS, &[], &body).await?.body;
            client.output.say("binding created")?;
            client.output.show(&binding, || view::members(&flat_binding(&binding)))
        }
        BindingsCommand::Delete { id } => delete(client, BINDINGS, "binding", id).await,
    }
}

fn flat_binding(binding: &Value) -> Value {
    let principal = &binding["principal"];
    json!({
        "id": binding["id"], "project id": binding["project_id"], "role": binding["role"],
        "principal": principal["id"], "kind": principal["kind"],
    })
}

async fn accounts(client: &mut Client<'_>, command: &AccountsCommand) -> Result<(), CliError> {
    match command {
        AccountsCommand::List => {
            let columns =
                [("NAME", "/name"), ("PROJECT ID", "/project_id"), ("ID", "/id"), ("AGE", "/created_at")];
            list(client, ACCOUNTS, &columns).await
        }
        AccountsCommand::Create { name, description } => {
            let project = client.project_for_new().await?;
            let more = [("description", description.as_deref()), ("project_id", project.as_deref())];
            create(client, ACCOUNTS, "service account", named(name, &more)).await
        }
        AccountsCommand::Delete { name } => {
            let id = account_id(client, name).await?;
            client.api.delete(&format!("{ACCOUNTS}/{id}"), &[]).await?;
            client.output.say(&format!("service account {} deleted", clean(name)))
        }
        AccountsCommand::Token { name, expires } => {
            let id = account_id(client, name).await?;
            let body = expires.map_or_else(|| Ok(json!({})), ends_in)?;
            let token = client.api.post(&format!("{ACCOUNTS}/{id}/tokens"), &[], &body).await?.body;
            client.output.note("keep the token now, it is not shown again");
            client.output.show(&token, || view::members(&token))
        }
        AccountsCommand::Tokens { name } => {
            let id = account_id(client, name).await?;
            let columns = [
                ("ID", "/id"),
                ("DESCRIPTION", "/description"),
                ("EXPIRES", "/expires_at"),
                ("LAST USED", "/last_used_at"),
                ("AGE", "/created_at"),
            ];
            list(client, &format!("{ACCOUNTS}/{id}/tokens"), &columns).await
        }
        AccountsCommand::RevokeToken { name, token_id } => {
            let id = account_id(client, name).await?;
            client.api.delete(&format!("{ACCOUNTS}/{id}/tokens/{}", encode(token_id)), &[]).await?;
            client.output.say(&format!("token {} revoked", clean(token_id)))
        }
    }
}

fn ends_in(lifetime: Duration) -> Result<Value, CliError> {
    let end = TimeDelta::from_std(lifetime).ok().and_then(|lifetime| Utc::now().checked_add_signed(lifetime));
    let end = end.ok_or_else(|| CliError::Usage("--expires is too long".into()))?;
    Ok(json!({"expires_at": end.to_rfc3339_opts(SecondsFormat::Secs, true)}))
}

async fn account_id(client: &Client<'_>, name: &str) -> Result<String, CliError> {
    let query = client.project_query().await?;
    client.id_of(ACCOUNTS, name, &query).await
}

fn named(name: &str, more: &[(&str, Option<&str>)]) -> Map<String, Value> {
    let given =
        more.iter().filter_map(|(member, value)| Some(((*member).to_owned(), Value::from((*value)?))));
    std::iter::once(("name".to_owned(), Value::from(name))).chain(given).collect()
}

async fn list(client: &mut Client<'_>, path: &str, columns: &[(&str, &str)]) -> Result<(), CliError> {
    let query = if matches!(path, BINDINGS | ACCOUNTS | "/v1/iam/roles") {
        client.project_query().await?
    } else {
        Vec::new()
    };
    let listed = client.all(path, &query, usize::MAX).await?;
    let answer = json!(listed);
    client.output.show(&answer, || view::columns(&listed.items, columns))
}

async fn create(
    client: &mut Client<'_>,
    path: &str,
    what: &str,
    body: Map<String, Value>,
) -> Result<(), CliError> {
    let made = client.api.post(path, &[], &Value::Object(body)).await?.body;
    client.output.say(&format!("{what} created"))?;
    if !made["password"].is_null() {
        client.output.note("keep the password now, it is not shown again");
    }
    client.output.show(&made, || view::members(&made))
}

async fn delete(client: &mut Client<'_>, path: &str, what: &str, name: &str) -> Result<(), CliError> {
    client.api.delete(&format!("{path}/{}", encode(name)), &[]).await?;
    client.output.say(&format!("{what} {} deleted", clean(name)))
}
