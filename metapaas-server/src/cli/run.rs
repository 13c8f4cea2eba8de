//! `run`: a command on a node of an instance, with its output and exit code as if it were run here.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::error::CliError;
use super::follow::{Event, Reader, SILENCE};
use super::path;
use super::text::plain;

/// `run NAME -- COMMAND...`
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// NAME of an app, or TYPE/NAME
    name: String,
    /// End the command after so long, e.g. 10m [default: the longest that the server allows]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    limit: Option<Duration>,
    /// The program and its arguments, after `--`; there is no shell
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// `metapaas run`. Ctrl-C ends the command there, as the connection closes.
pub(super) async fn run(client: &mut Client<'_>, arguments: &RunArguments) -> Result<(), CliError> {
    let types = client.types().await?;
    let name = match arguments.name.contains('/') {
        true => arguments.name.clone(),
        false => format!("app/{}", arguments.name),
    };
    let url = format!("{}/actions/run", path::item(&types, &name)?.url);
    let query = client.project_query().await?;
    let mut body = json!({ "command": arguments.command });
    if let Some(limit) = arguments.limit {
        body["timeout_seconds"] = json!(limit.as_secs().max(1));
    }
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(CliError::Silent(130)),
        ended = async {
            let response = client.api.post_stream(&url, &query, &body).await?;
            pass(client, response).await
        } => ended,
    }
}

/// Passes on what the command writes; its exit code is that of the program.
async fn pass(client: &mut Client<'_>, mut response: reqwest::Response) -> Result<(), CliError> {
    let mut reader = Reader::default();
    loop {
        let Ok(Ok(Some(bytes))) = tokio::time::timeout(SILENCE, response.chunk()).await else {
            let text = "the connection to the server broke off, which ends the command";
            return Err(CliError::Failed(text.into()));
        };
        reader.push(&bytes);
        while let Some(Event { kind, data, .. }) = reader.next() {
            if client.output.is_for_programs() {
                let mut event = data.clone();
                event["event"] = json!(kind);
                client.output.line(&event, String::new)?;
            }
            match kind.as_str() {
                "stdout" if !client.output.is_for_programs() => client.output.pass(&bytes_of(&data))?,
                "stderr" if !client.output.is_for_programs() => client.output.pass_error(&bytes_of(&data)),
                "exit" => return exit(client, &data),
                "error" => return Err(CliError::Failed(plain(&data["detail"]))),
                _ => {}
            }
        }
    }
}

fn exit(client: &mut Client<'_>, data: &Value) -> Result<(), CliError> {
    let message = plain(&data["message"]);
    if !message.is_empty() {
        client.output.note(&message);
    }
    match data["code"].as_u64().and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(CliError::Silent(code)),
        None => Err(CliError::Failed("the server did not say how the command ended".into())),
    }
}

fn bytes_of(chunk: &Value) -> Vec<u8> {
    match (chunk["text"].as_str(), chunk["base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (_, Some(text)) => STANDARD.decode(text).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_writes_comes_out_as_it_was() {
        assert_eq!(bytes_of(&json!({ "text": "ä\n" })), "ä\n".as_bytes());
        assert_eq!(bytes_of(&json!({ "base64": "/wD+" })), b"\xff\0\xfe");
    }
}
