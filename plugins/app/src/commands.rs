//! What the command line can do with apps: `deploy`, `apps`, `env`, `releases`, `rollback`, `open`.

mod deploy;
mod env;
mod follow;
mod open;
mod pack;

use clap::Parser;
use metapaas_core::Plugin;
use metapaas_core::command::{CommandError, CommandFuture, Console, Verb};
use serde_json::{Value, json};

pub(crate) fn declare(plugin: Plugin) -> Plugin {
    plugin
        .command(deploy::run)
        .command(apps)
        .command(env::run)
        .command(releases)
        .command(rollback)
        .command(open::run)
}

/// The parts of the path of all apps.
const APPS: [&str; 3] = ["types", "app", "instances"];
/// How much of a commit's id tells it apart for people.
const SHORT_COMMIT: usize = 12;

/// An app by its name; `app/NAME`, as other commands have it, does as well.
#[derive(Clone, Debug)]
struct Name(String);

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("app/").unwrap_or(text) {
            "" => Err("expected the name of an app".into()),
            name => Ok(Self(name.to_owned())),
        }
    }
}

impl Name {
    fn path(&self) -> [&str; 4] {
        [APPS[0], APPS[1], APPS[2], &self.0]
    }

    fn below<'a>(&'a self, children: &'a str) -> [&'a str; 5] {
        let [a, b, c, name] = self.path();
        [a, b, c, name, children]
    }

    fn child<'a>(&'a self, children: &'a str, key: &'a str) -> [&'a str; 6] {
        let [a, b, c, name, children] = self.below(children);
        [a, b, c, name, children, key]
    }

    fn action<'a>(&'a self, verb: &'a str) -> [&'a str; 6] {
        self.child("actions", verb)
    }
}

/// Show all apps with their URLs
#[derive(Debug, Parser)]
#[command(name = "apps")]
struct Apps {}

fn apps(_: Apps, console: &mut dyn Console) -> CommandFuture<'_> {
    Box::pin(async move {
        let apps = console.all(&APPS).await?;
        let rows = apps.iter().map(|app| {
            vec![text(&app["name"]), state(app), text(&app["release"]), text(&app["repo"]), text(&app["url"])]
        });
        let rows = rows.collect();
        console.table(&json!({ "items": apps }), &["NAME", "STATUS", "RELEASE", "REPO", "URL"], rows)
    })
}

/// Show the releases of an app, the newest first
#[derive(Debug, Parser)]
#[command(name = "releases")]
struct Releases {
    /// The app
    #[arg(value_name = "APP")]
    app: Name,
}

fn releases(words: Releases, console: &mut dyn Console) -> CommandFuture<'_> {
    Box::pin(async move {
        let mut releases = console.all(&words.app.below("releases")).await?;
        releases.sort_by_key(|release| std::cmp::Reverse(release["number"].as_u64()));
        let rows = releases.iter().map(|release| {
            let commit: String = text(&release["commit"]).chars().take(SHORT_COMMIT).collect();
            // Of a time, the seconds are enough.
            let made: String = text(&release["created_at"]).chars().take(19).collect();
            let why = text(&release["message"]);
            vec![
                text(&release["number"]),
                text(&release["state"]),
                commit,
                made,
                text(&release["reason"]),
                why,
            ]
        });
        let rows = rows.collect();
        let headings = ["RELEASE", "STATE", "COMMIT", "MADE (UTC)", "REASON", "MESSAGE"];
        console.table(&json!({ "items": releases }), &headings, rows)
    })
}

/// Go back to an earlier release: its code, command and environment; nothing is built
#[derive(Debug, Parser)]
#[command(name = "rollback")]
struct Rollback {
    /// The app
    #[arg(value_name = "APP")]
    app: Name,
    /// Its number; the one before the newest without it
    #[arg(value_name = "RELEASE")]
    release: Option<u32>,
    /// Do not wait until it serves
    #[arg(long)]
    no_wait: bool,
}

fn rollback(words: Rollback, console: &mut dyn Console) -> CommandFuture<'_> {
    Box::pin(async move {
        let before = newest(console, &words.app).await?;
        let body = words.release.map_or_else(|| json!({}), |release| json!({ "release": release }));
        let _ = console.post(&words.app.action("rollback"), body).await?;
        let mut follow = follow::Follow::new(words.app, before.as_ref());
        if words.no_wait { follow.leave(console) } else { follow.until_served(console).await }
    })
}

/// The newest release there is.
async fn newest(console: &mut dyn Console, app: &Name) -> Result<Option<Value>, CommandError> {
    let query = [("order_by", "created_at desc"), ("limit", "1")];
    let mut page = console.ask(Verb::Get, &app.below("releases"), &query, None).await?;
    Ok(page["items"].as_array_mut().and_then(Vec::pop))
}

/// A value as people read it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Status, and what it waits for.
fn state(app: &Value) -> String {
    let (status, reason) = (text(&app["status"]), text(&app["conditions"][0]["reason"]));
    if status == "ACTIVE" || reason.is_empty() { status } else { format!("{status} ({reason})") }
}
