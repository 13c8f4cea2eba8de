//! `metapaas deploy`: makes an app or changes it, and follows its release until it serves.

use clap::Parser;
use metapaas_core::command::{CommandError, CommandFuture, Console};
use serde_json::{Map, Value, json};

use super::follow::Follow;
use super::{APPS, Name, env, newest};

/// Fields whose change builds anew.
const SOURCE: [&str; 4] = ["repo", "git_ref", "subdir", "runtime"];

/// Deploy an app from a Git repository: deploy --app shop --repo https://git.example.com/acme/shop.git
///
/// Makes the app or changes it, builds what the repository has now, and follows the release until it serves. Progress
/// and build log are on standard error, the URL is the result. The exit code is 0 only when the release serves.
#[derive(Debug, Parser)]
#[command(name = "deploy")]
pub(super) struct Deploy {
    /// The app; it is made when there is none of that name
    #[arg(long, value_name = "NAME")]
    app: Name,
    /// The Git repository; needed for a new app
    #[arg(long, value_name = "URL")]
    repo: Option<String>,
    /// The branch, tag or whole commit id [default: what the app has; HEAD for a new one]
    #[arg(long = "ref", value_name = "REF")]
    git_ref: Option<String>,
    /// The folder in the repository that holds the app
    #[arg(long, value_name = "FOLDER")]
    subdir: Option<String>,
    /// python or node; told from the files unless given
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<String>,
    /// A variable for the app's environment; may be given several times
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = env::pair)]
    env: Vec<(String, String)>,
    /// Do not wait until it serves
    #[arg(long)]
    no_wait: bool,
}

impl Deploy {
    /// What is said of the app.
    fn fields(&self) -> Map<String, Value> {
        let given = [
            ("repo", &self.repo),
            ("git_ref", &self.git_ref),
            ("subdir", &self.subdir),
            ("runtime", &self.runtime),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))))
            .collect()
    }
}

pub(super) fn run(words: Deploy, console: &mut dyn Console) -> CommandFuture<'_> {
    Box::pin(async move {
        let before = match console.find(&words.app.path()).await? {
            None => {
                make(console, &words).await?;
                None
            }
            Some(app) => {
                let before = newest(console, &words.app).await?;
                change(console, &words, &app).await?;
                before
            }
        };
        let no_wait = words.no_wait;
        let mut follow = Follow::new(words.app, before.as_ref());
        if no_wait { follow.leave(console) } else { follow.until_served(console).await }
    })
}

async fn make(console: &mut dyn Console, words: &Deploy) -> Result<(), CommandError> {
    let name = &words.app.0;
    if words.repo.is_none() {
        let text = format!("there is no app `{name}`; say with --repo URL what it is made from");
        return Err(CommandError::NotFound(text));
    }
    let mut body = words.fields();
    body.insert("name".into(), json!(name));
    let _ = console.post(&APPS, Value::Object(body)).await?;
    console.note(&format!("app {name} made"));
    env::set(console, &words.app, &words.env, false).await
}

/// The environment comes first, so that what is built starts with it.
async fn change(console: &mut dyn Console, words: &Deploy, app: &Value) -> Result<(), CommandError> {
    env::set(console, &words.app, &words.env, false).await?;
    let fields = words.fields();
    let is_other = |name: &&str| fields.get(*name).is_some_and(|value| *value != app[*name]);
    let is_moved = SOURCE.iter().any(is_other);
    if is_moved {
        let _ = console.patch(&words.app.path(), Value::Object(fields)).await?;
    }
    // Another source is built by itself; a stopped app is started by the action as well.
    if !is_moved || app["stopped"] == true {
        let _ = console.post(&words.app.action("deploy"), json!({})).await?;
    }
    Ok(())
}
