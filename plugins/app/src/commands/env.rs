//! `metapaas env`: variables in the environment of an app.

use clap::{Parser, Subcommand};
use metapaas_core::command::{CommandError, CommandFuture, Console};
use serde_json::{Value, json};

use super::follow::Follow;
use super::{Name, newest, text};

/// Set, remove and show variables of an app: env set shop GREETING=hello
///
/// A change makes a new release, without a build.
#[derive(Debug, Parser)]
#[command(name = "env")]
pub(super) struct Env {
    #[command(subcommand)]
    command: EnvCommand,
}

#[derive(Debug, Subcommand)]
enum EnvCommand {
    /// Set variables: env set shop GREETING=hello COLOUR=blue
    Set {
        /// The app
        #[arg(value_name = "APP")]
        app: Name,
        /// Names and values
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = pair)]
        pairs: Vec<(String, String)>,
        /// Nobody can read the values afterwards
        #[arg(long)]
        secret: bool,
        /// Wait until a release with them serves
        #[arg(long)]
        wait: bool,
    },
    /// Remove variables: env unset shop GREETING
    Unset {
        /// The app
        #[arg(value_name = "APP")]
        app: Name,
        /// Names
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        /// Wait until a release without them serves
        #[arg(long)]
        wait: bool,
    },
    /// Show the variables; values of secrets are left out
    List {
        /// The app
        #[arg(value_name = "APP")]
        app: Name,
    },
}

pub(super) fn run(words: Env, console: &mut dyn Console) -> CommandFuture<'_> {
    Box::pin(async move {
        match words.command {
            EnvCommand::List { app } => list(console, &app).await,
            EnvCommand::Set { app, pairs, secret, wait } => {
                let before = newest(console, &app).await?;
                set(console, &app, &pairs, secret).await?;
                finish(console, app, before, wait).await
            }
            EnvCommand::Unset { app, keys, wait } => {
                let before = newest(console, &app).await?;
                for key in &keys {
                    let _ = console.delete(&app.child("env-vars", key)).await?;
                }
                finish(console, app, before, wait).await
            }
        }
    })
}

async fn finish(
    console: &mut dyn Console,
    app: Name,
    before: Option<Value>,
    wait: bool,
) -> Result<(), CommandError> {
    let mut follow = Follow::new(app, before.as_ref());
    if wait { follow.until_served(console).await } else { follow.leave(console) }
}

async fn list(console: &mut dyn Console, app: &Name) -> Result<(), CommandError> {
    let variables = console.all(&app.below("env-vars")).await?;
    let rows = variables.iter().map(|variable| {
        let value = if variable["value"].is_null() { "(secret)".into() } else { text(&variable["value"]) };
        vec![text(&variable["key"]), value]
    });
    let rows = rows.collect();
    console.table(&json!({ "items": variables }), &["KEY", "VALUE"], rows)
}

/// Makes variables, or changes those that are there.
pub(super) async fn set(
    console: &mut dyn Console,
    app: &Name,
    pairs: &[(String, String)],
    is_secret: bool,
) -> Result<(), CommandError> {
    for (key, value) in pairs {
        let (field, other) = if is_secret { ("secret", "value") } else { ("value", "secret") };
        let changed = console.patch(&app.child("env-vars", key), json!({ field: value, other: null })).await;
        match changed {
            Err(error) if error.status() == Some(404) => {
                let _ = console.post(&app.below("env-vars"), json!({ "key": key, field: value })).await?;
            }
            changed => drop(changed?),
        }
    }
    Ok(())
}

/// `KEY=VALUE`. Whether the key is a name says the server.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".into()),
    }
}
