//! Commands that plugins bring: what they see of the server and of the terminal.

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use metapaas_core::command::{CommandError, CommandFuture, Console, PluginCommand, Verb};
use serde_json::Value;

use super::client::{Api, Client};
use super::error::CliError;
use super::output::{self, Output};
use super::path::encode;
use super::places::Places;
use super::session::Session;
use super::text::clean;
use super::{ClientOptions, client};

/// Runs a plugin's command and tells its result; the exit code is one of [`super::EXIT_CODES`].
pub(crate) async fn run(options: ClientOptions, command: &PluginCommand, words: &ArgMatches) -> ExitCode {
    let mut output = Output::standard(options.output);
    let result = execute(&options, &Places::from_environment(), command, words, &mut output).await;
    output.finish(result)
}

pub(super) async fn execute(
    options: &ClientOptions,
    places: &Places,
    command: &PluginCommand,
    words: &ArgMatches,
    output: &mut Output,
) -> Result<(), CliError> {
    let mut client = Client {
        api: Api::new(Session::choose(options, places)?, options.ca_file.as_deref())?,
        output,
        project: options.project.clone().filter(|project| !project.is_empty()),
        timeout: options.timeout,
    };
    // It is looked up once, however often a command asks.
    client.project = client.project_id().await?;
    let mut terminal = Terminal { client, interrupted: None };
    let ended = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => None,
        ended = (command.run)(words, &mut terminal) => Some(ended),
    };
    match (ended, terminal.interrupted) {
        (Some(ended), _) => ended.map_err(of_command),
        (None, Some(text)) => Err(CliError::Interrupted(text)),
        (None, None) => Err(CliError::Silent(130)),
    }
}

/// A client as plugins see it.
struct Terminal<'a> {
    client: Client<'a>,
    interrupted: Option<String>,
}

impl Console for Terminal<'_> {
    fn ask<'a>(
        &'a mut self,
        verb: Verb,
        path: &'a [&'a str],
        query: &'a [(&'a str, &'a str)],
        body: Option<Value>,
    ) -> CommandFuture<'a, Value> {
        Box::pin(async move {
            let answer = self.send(verb, path, query, body).await;
            answer.map(|answer| answer.body).map_err(of_console)
        })
    }

    fn send_file<'a>(&'a mut self, path: &'a [&'a str], file: &'a File) -> CommandFuture<'a, Value> {
        Box::pin(async move {
            let query = self.project();
            let answer = self.client.api.put_file(&url(path), &query, file).await;
            answer.map(|answer| answer.body).map_err(of_console)
        })
    }

    fn all<'a>(&'a mut self, path: &'a [&'a str]) -> CommandFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let query = self.project();
            let listed = self.client.all(&url(path), &query, usize::MAX).await;
            listed.map(|listed| listed.items).map_err(of_console)
        })
    }

    fn show(&mut self, value: &Value, text: &str) -> Result<(), CommandError> {
        self.client.output.show(value, || format!("{}\n", clean(text))).map_err(of_console)
    }

    fn table(
        &mut self,
        value: &Value,
        headings: &[&str],
        rows: Vec<Vec<String>>,
    ) -> Result<(), CommandError> {
        let rows = rows.into_iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
        self.client.output.show(value, || output::table(headings, rows)).map_err(of_console)
    }

    fn say(&mut self, line: &str) -> Result<(), CommandError> {
        self.client.output.say(&clean(line)).map_err(of_console)
    }

    fn note(&mut self, line: &str) {
        self.client.output.note(&clean(line));
    }

    fn on_interrupt(&mut self, text: String) {
        self.interrupted = Some(text);
    }

    fn timeout(&self) -> Duration {
        self.client.timeout
    }
}

impl Terminal<'_> {
    /// The user's project, in which names are looked up.
    fn project(&self) -> Vec<(&'static str, String)> {
        self.client.project.clone().map(|id| ("project_id", id)).into_iter().collect()
    }

    async fn send(
        &self,
        verb: Verb,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<client::Answer, CliError> {
        let is_new = verb == Verb::Post && matches!(path, ["types", _, "instances"]);
        let mut body = body.unwrap_or(Value::Null);
        let mut all: Vec<(&str, String)> =
            query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if !is_new {
            all.extend(self.project());
        } else if let Some(project) = self.client.project_for_new().await?
            && let Some(members) = body.as_object_mut()
        {
            members.entry("project_id").or_insert(Value::String(project));
        }
        let (api, url) = (&self.client.api, url(path));
        match verb {
            Verb::Get => api.get(&url, &all).await,
            Verb::Post => api.post(&url, &all, &body).await,
            Verb::Patch => api.patch(&url, &all, &body).await,
            Verb::Delete => api.delete(&url, &all).await,
        }
    }
}

fn url(path: &[&str]) -> String {
    path.iter().fold("/v1".to_owned(), |url, part| url + "/" + &encode(part))
}

fn of_console(error: CliError) -> CommandError {
    let status = match &error {
        CliError::Api(problem) => Some(problem.status),
        _ => None,
    };
    CommandError::Console { status, is_temporary: error.is_temporary(), source: Box::new(error) }
}

fn of_command(error: CommandError) -> CliError {
    match error {
        CommandError::Console { source, .. } => match source.downcast::<CliError>() {
            Ok(own) => *own,
            Err(other) => CliError::Failed(other.to_string()),
        },
        CommandError::Usage(text) => CliError::Usage(text),
        CommandError::NotFound(text) => CliError::NotFound(text),
        CommandError::Failed(text) => CliError::Failed(text),
        CommandError::TimedOut(text) => CliError::TimedOut(text),
    }
}
