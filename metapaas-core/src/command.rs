//! Commands that a plugin adds to the command line: a grammar, and a function that asks the server through a
//! [`Console`].
//!
//! ```no_run
//! use metapaas_core::command::{CommandError, CommandFuture, Console};
//!
//! /// Show all sites
//! #[derive(clap::Parser)]
//! #[command(name = "sites")]
//! struct Sites;
//!
//! fn sites(_: Sites, console: &mut dyn Console) -> CommandFuture<'_> {
//!     Box::pin(async move {
//!         for site in console.all(&["types", "demo", "instances"]).await? {
//!             console.say(site["name"].as_str().unwrap_or_default())?;
//!         }
//!         Ok(())
//!     })
//! }
//!
//! let plugin = metapaas_core::Plugin::new("demo", "1.0.0").command(sites);
//! ```

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Parser};
use serde_json::Value;

/// What a command does while it runs. It stays in the thread that began it.
pub type CommandFuture<'a, T = ()> = Pin<Box<dyn Future<Output = Result<T, CommandError>> + 'a>>;

/// A command's work with its grammar taken off.
pub type RunCommand =
    Arc<dyn for<'a> Fn(&ArgMatches, &'a mut dyn Console) -> CommandFuture<'a> + Send + Sync>;

/// A command of the command line.
#[derive(Clone)]
pub struct PluginCommand {
    /// How it is written.
    pub grammar: clap::Command,
    /// What it does.
    pub run: RunCommand,
}

impl PluginCommand {
    /// The command whose words are a `C`.
    pub fn new<C: Parser + 'static>(run: for<'a> fn(C, &'a mut dyn Console) -> CommandFuture<'a>) -> Self {
        let run: RunCommand = Arc::new(move |words, console| match C::from_arg_matches(words) {
            Ok(words) => run(words, console),
            Err(error) => Box::pin(async move { Err(CommandError::Usage(error.to_string())) }),
        });
        Self { grammar: C::command(), run }
    }
}

impl fmt::Debug for PluginCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginCommand").field("name", &self.grammar.get_name()).finish_non_exhaustive()
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Makes something, or runs an action; once, however often it has to be sent.
    Post,
    /// Changes what the body names.
    Patch,
    /// Removes.
    Delete,
}

/// What a command has at hand: the server as its user sees it, and the user's terminal.
///
/// Names are looked up in the project that the user chose, and a new instance goes there.
pub trait Console {
    /// Asks the server. `path` has the parts below `/v1`, as they are: `["types", "app", "instances", name]`.
    fn ask<'a>(
        &'a mut self,
        verb: Verb,
        path: &'a [&'a str],
        query: &'a [(&'a str, &'a str)],
        body: Option<Value>,
    ) -> CommandFuture<'a, Value>;

    /// Sends what is in a file, by PUT. It is sent again when the connection is lost.
    fn send_file<'a>(&'a mut self, path: &'a [&'a str], file: &'a File) -> CommandFuture<'a, Value>;

    /// All items of a list, over as many pages as it takes.
    fn all<'a>(&'a mut self, path: &'a [&'a str]) -> CommandFuture<'a, Vec<Value>>;

    /// Writes a result: `value` for programs, `text` for people.
    ///
    /// # Errors
    /// When nobody listens.
    fn show(&mut self, value: &Value, text: &str) -> Result<(), CommandError>;

    /// Writes results in columns: `value` for programs, rows below headings for people.
    ///
    /// # Errors
    /// When nobody listens.
    fn table(&mut self, value: &Value, headings: &[&str], rows: Vec<Vec<String>>)
    -> Result<(), CommandError>;

    /// Writes a line for people, as a result; programs asked for the API's answers alone.
    ///
    /// # Errors
    /// When nobody listens.
    fn say(&mut self, line: &str) -> Result<(), CommandError>;

    /// Tells how it goes, beside the results. What would drive the terminal is written out.
    fn note(&mut self, line: &str);

    /// Sets what is said when the user ends the command by Ctrl-C, e.g. that what it began goes on.
    fn on_interrupt(&mut self, text: String);

    /// How long the user wants to wait at most.
    fn timeout(&self) -> Duration;
}

impl dyn Console + '_ {
    /// Reads.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn get(&mut self, path: &[&str]) -> Result<Value, CommandError> {
        self.ask(Verb::Get, path, &[], None).await
    }

    /// Reads what may not be there.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn find(&mut self, path: &[&str]) -> Result<Option<Value>, CommandError> {
        match self.get(path).await {
            Err(error) if error.status() == Some(404) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Makes something, or runs an action.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn post(&mut self, path: &[&str], body: Value) -> Result<Value, CommandError> {
        self.ask(Verb::Post, path, &[], Some(body)).await
    }

    /// Changes what the body names.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn patch(&mut self, path: &[&str], body: Value) -> Result<Value, CommandError> {
        self.ask(Verb::Patch, path, &[], Some(body)).await
    }

    /// Removes.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn delete(&mut self, path: &[&str]) -> Result<Value, CommandError> {
        self.ask(Verb::Delete, path, &[], None).await
    }
}

/// Why a command failed; each kind has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The console could not do what it was asked: the server refused, does not answer, or nobody reads the results.
    #[error("{source}")]
    Console {
        /// The server's status code, when it answered.
        status: Option<u16>,
        /// Whether the same may work a little later.
        is_temporary: bool,
        /// The console's own error, which it tells in its own words.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for was begun and failed.
    #[error("{0}")]
    Failed(String),
    /// It takes longer than the user wants to wait.
    #[error("{0}")]
    TimedOut(String),
}

impl CommandError {
    /// The server's status code, when it is what refused.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Console { status, .. } => *status,
            _ => None,
        }
    }

    /// Whether the same may work a little later.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Console { is_temporary: true, .. })
    }
}
