//! `iam roles`: sets of permissions, built in and of the installation's own.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{CliError, Client, clean, encode, list, view};

const ROLES: &str = "/v1/iam/roles";

/// `iam roles ...`
#[derive(Clone, Debug, Subcommand)]
pub enum RolesCommand {
    /// List those that can be given in the project of --project, or all that you may see
    List,
    /// Show what one gives
    Get {
        /// Name or id
        name: String,
    },
    /// Make one in the project of --project; in the platform project, for all projects
    Create(NewRole),
    /// Remove one that nobody has
    Delete {
        /// Name or id
        name: String,
    },
}

/// `iam roles create`
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct NewRole {
    /// Its name
    name: String,
    /// What it gives, e.g. demo.instances.update or `demo.*.read`; once for each
    #[arg(long = "permission", value_name = "PERMISSION", required = true)]
    permissions: Vec<String>,
    /// Free text
    #[arg(long)]
    description: Option<String>,
}

pub(super) async fn run(client: &mut Client<'_>, command: &RolesCommand) -> Result<(), CliError> {
    match command {
        RolesCommand::List => {
            let columns = [
                ("NAME", "/name"),
                ("PROJECT ID", "/project_id"),
                ("ID", "/id"),
                ("DESCRIPTION", "/description"),
            ];
            list(client, ROLES, &columns).await
        }
        RolesCommand::Get { name } => {
            let query = client.project_query().await?;
            let role = client.api.get(&format!("{ROLES}/{}", encode(name)), &query).await?.body;
            client.output.show(&role, || view::members(&flat(&role)))
        }
        RolesCommand::Create(new) => {
            let project = client.project_for_new().await?.ok_or_else(|| {
                CliError::Usage("say in which project: --project NAME (the platform's hold for all)".into())
            })?;
            let mut body = json!({"project_id": project, "name": new.name, "permissions": new.permissions});
            if let Some(description) = &new.description {
                body["description"] = Value::from(description.as_str());
            }
            let made = client.api.post(ROLES, &[], &body).await?.body;
            client.output.say("role created")?;
            client.output.show(&made, || view::members(&flat(&made)))
        }
        RolesCommand::Delete { name } => {
            let query = client.project_query().await?;
            client.api.delete(&format!("{ROLES}/{}", encode(name)), &query).await?;
            client.output.say(&format!("role {} deleted", clean(name)))
        }
    }
}

/// The permissions as one text.
fn flat(role: &Value) -> Value {
    let mut role = role.clone();
    let names = role["permissions"].as_array().map(|names| names.iter().filter_map(Value::as_str));
    role["permissions"] = names.map(|names| names.collect::<Vec<_>>().join(", ")).into();
    role
}
