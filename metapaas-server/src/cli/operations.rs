//! `action` and `operations`: run actions, see and await what becomes of them.

use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::arguments::RunAction;
use super::client::Client;
use super::error::CliError;
use super::path::{self, encode};
use super::text::{clean, did_you_mean, plain};
use super::view;

const OPERATIONS: &str = "/v1/operations";
/// Seconds that the server is asked to wait in one request.
const WAIT: u64 = 15;
/// Operations shown when nothing else is said.
const SHOWN: usize = 20;

/// `operations [...]`; without a command it lists.
#[derive(Args, Clone, Debug)]
pub struct OperationsArguments {
    #[command(subcommand)]
    command: Option<OperationsCommand>,
    /// Only those in this state, e.g. RUNNING; may be given several times
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// Show at most that many, the newest first
    #[arg(long, value_name = "N", default_value_t = SHOWN)]
    limit: usize,
}

/// `operations get`, `operations cancel`
#[derive(Clone, Debug, Subcommand)]
pub enum OperationsCommand {
    /// Show one
    Get {
        /// Its id
        id: String,
        /// Wait for its end
        #[arg(long)]
        wait: bool,
    },
    /// Wait for one no more; what it changed stays
    Cancel {
        /// Its id
        id: String,
    },
}

/// `metapaas operations`.
pub(super) async fn run(client: &mut Client<'_>, arguments: &OperationsArguments) -> Result<(), CliError> {
    match &arguments.command {
        None => list(client, arguments).await,
        Some(OperationsCommand::Get { id, wait: true }) => wait(client, id).await,
        Some(OperationsCommand::Get { id, wait: false }) => {
            let operation = client.api.get(&url(id), &[]).await?.body;
            show(client, &operation)
        }
        Some(OperationsCommand::Cancel { id }) => {
            let cancelled = client.api.post_nothing(&format!("{}/actions/cancel", url(id))).await?.body;
            client.output.say(&format!("operation {} cancelled", clean(id)))?;
            show(client, &cancelled)
        }
    }
}

async fn list(client: &mut Client<'_>, arguments: &OperationsArguments) -> Result<(), CliError> {
    let mut query = client.project_query().await?;
    query.extend(arguments.status.iter().map(|status| ("status", status.to_ascii_uppercase())));
    let listed = client.all(OPERATIONS, &query, arguments.limit).await?;
    let answer = json!({ "items": listed.items, "next_page_token": listed.next_page_token });
    let columns = [
        ("ID", "/id"),
        ("ACTION", "/action"),
        ("TYPE", "/resource/type"),
        ("NAME", "/resource/name"),
        ("STATUS", "/status"),
        ("BY", "/actor/name"),
        ("AGE", "/created_at"),
    ];
    client
        .output
        .show(&answer, || view::columns(answer["items"].as_array().map_or(&[][..], Vec::as_slice), &columns))
}

/// `metapaas action`.
pub(super) async fn action(client: &mut Client<'_>, arguments: &RunAction) -> Result<(), CliError> {
    let types = client.types().await?;
    let item = path::item(&types, &arguments.path)?;
    let verbs: Vec<&str> = item.collection.ty.actions.iter().map(|action| action.verb.as_str()).collect();
    if !verbs.contains(&arguments.verb.as_str()) {
        let hint = did_you_mean(&arguments.verb, verbs.iter().copied());
        let known =
            if verbs.is_empty() { "it has none".into() } else { format!("it has: {}", verbs.join(", ")) };
        let text = format!("{} has no action `{}`{hint}; {known}", item.label, arguments.verb);
        return Err(CliError::NotFound(text));
    }
    let mut request = Map::new();
    for text in &arguments.arguments {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                // JSON where it can be, text otherwise.
                let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
                request.insert(name.trim_end_matches(':').to_owned(), value);
            }
            _ => return Err(CliError::Usage(format!("`{text}` is no argument; write name=value"))),
        }
    }
    let mut query = client.project_query().await?;
    if arguments.dry_run {
        query.push(("dry_run", "true".into()));
    }
    let url = format!("{}/actions/{}", item.url, encode(&arguments.verb));
    let operation = client.api.post(&url, &query, &Value::Object(request)).await?.body;
    let (verb, label) = (clean(&arguments.verb), clean(&item.label));
    if arguments.dry_run {
        client.output.say(&format!("{verb} of {label} would be started"))?;
        return show(client, &operation);
    }
    client.output.say(&format!("{verb} of {label} started"))?;
    match operation["id"].as_str().filter(|_| arguments.wait) {
        None => show(client, &operation),
        Some(id) => {
            // Secrets are in the first answer only, so they are shown before the wait.
            if let Some(secrets) = operation.get("secrets") {
                client.output.show(&json!({ "secrets": secrets }), || view::members(secrets))?;
            }
            wait(client, id).await
        }
    }
}

/// Waits for the end, shows it, and fails when it is not a success.
async fn wait(client: &mut Client<'_>, id: &str) -> Result<(), CliError> {
    let until = Instant::now() + client.timeout;
    let url = url(id);
    let operation = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {
            let text = format!("interrupted; it goes on, see it with `metapaas operations get {id} --wait`");
            return Err(CliError::Interrupted(text));
        }
        ended = end(client, &url, until) => ended?,
    };
    let status = plain(&operation["status"]);
    show(client, &operation)?;
    match status.as_str() {
        "SUCCEEDED" => Ok(()),
        "FAILED" => {
            let why = plain(&operation["error"]["detail"]);
            Err(CliError::Failed(format!("operation {} failed: {}", clean(id), clean(&why))))
        }
        "CANCELLED" => Err(CliError::Failed(format!("operation {} was cancelled", clean(id)))),
        _ => Err(CliError::TimedOut(format!(
            "operation {id} is {status} after {}; it goes on, see `metapaas operations get {id}`",
            humantime::format_duration(client.timeout)
        ))),
    }
}

/// The operation once it has ended, or as it is when the time is over.
async fn end(client: &Client<'_>, url: &str, until: Instant) -> Result<Value, CliError> {
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_secs().min(WAIT);
        match client.api.get(url, &[("wait", left.to_string())]).await {
            Ok(answer) => {
                let is_end = !answer.body["finished_at"].is_null();
                if is_end || left == 0 {
                    return Ok(answer.body);
                }
            }
            Err(error) if error.is_temporary() && left > 0 => {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn show(client: &mut Client<'_>, operation: &Value) -> Result<(), CliError> {
    client.output.show(operation, || view::members(operation))
}

fn url(id: &str) -> String {
    format!("{OPERATIONS}/{}", encode(id))
}
