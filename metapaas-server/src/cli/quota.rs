//! `quota`: how much a project may have, and has.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Client;
use super::error::CliError;
use super::path::encode;
use super::text::clean;
use super::view;

/// `quota [PROJECT] [set RESOURCE=LIMIT ...]`
#[derive(Args, Clone, Debug)]
pub struct QuotaArguments {
    /// The project, by name or id; that of --project, or the only one, when not given
    project_name: Option<String>,
    #[command(subcommand)]
    command: Option<QuotaCommand>,
}

/// `quota PROJECT set ...`
#[derive(Clone, Debug, Subcommand)]
pub enum QuotaCommand {
    /// Set limits: instances:demo=5 nodes=10; an empty limit takes it away: nodes=
    Set {
        /// What and how much
        #[arg(value_name = "RESOURCE=LIMIT", required = true)]
        limits: Vec<String>,
    },
}

/// `metapaas quota`.
pub(super) async fn run(client: &mut Client<'_>, arguments: &QuotaArguments) -> Result<(), CliError> {
    let project = match &arguments.project_name {
        Some(project) => project.clone(),
        None => client
            .project_for_new()
            .await?
            .ok_or_else(|| CliError::Usage("say which project: metapaas quota PROJECT".into()))?,
    };
    let url = format!("/v1/projects/{}/quota", encode(&project));
    let mut quota = client.api.get(&url, &[]).await?.body;
    if let Some(QuotaCommand::Set { limits }) = &arguments.command {
        let body = json!({ "limits": changed(&quota, limits)? });
        quota = client.api.put(&url, &body).await?.body;
        client.output.say(&format!("quota of {} set", clean(&project)))?;
    }
    let columns = [("RESOURCE", "/resource"), ("USED", "/used"), ("LIMIT", "/limit")];
    client
        .output
        .show(&quota, || view::columns(quota["items"].as_array().map_or(&[][..], Vec::as_slice), &columns))
}

/// The limits as they are, with those that the user gave.
fn changed(quota: &Value, given: &[String]) -> Result<Map<String, Value>, CliError> {
    let items = quota["items"].as_array().into_iter().flatten();
    let with_limit = items.filter(|item| !item["limit"].is_null());
    let mut limits: Map<String, Value> = with_limit
        .filter_map(|item| Some((item["resource"].as_str()?.to_owned(), item["limit"].clone())))
        .collect();
    for text in given {
        match text.split_once('=') {
            Some((resource, "")) if !resource.is_empty() => {
                limits.remove(resource);
            }
            Some((resource, limit)) if !resource.is_empty() => match limit.parse::<u32>() {
                Ok(limit) => {
                    limits.insert(resource.to_owned(), limit.into());
                }
                Err(_) => {
                    let text =
                        format!("`{limit}` is no limit of {resource}; give a whole number, or nothing");
                    return Err(CliError::Usage(text));
                }
            },
            _ => return Err(CliError::Usage(format!("`{text}` is no limit; write resource=number"))),
        }
    }
    Ok(limits)
}
