//! `metapaas deploy`: makes an app or changes it, and follows its release until it serves.

use std::path::{Path, PathBuf};

use clap::Parser;
use metapaas_core::DnsName;
use metapaas_core::command::{CommandError, CommandFuture, Console};
use serde_json::{Map, Value, json};

use super::follow::{self, Follow};
use super::pack::{Packed, pack};
use super::{APPS, Name, SHORT_COMMIT, env, newest, text};
use crate::source;

/// Fields whose change builds anew.
const SOURCE: [&str; 4] = ["repo", "git_ref", "subdir", "runtime"];

/// Deploy an app: `deploy .` from this directory, or deploy --app shop --repo https://git.example.com/acme/shop.git
///
/// Makes the app or changes it, builds what is in the directory, or what the repository has now, and follows the release
/// until it serves. Progress and build log are on standard error, the URL is the result. The exit code is 0 only when the
/// release serves.
#[derive(Debug, Parser)]
#[command(name = "deploy")]
pub(super) struct Deploy {
    /// The directory to deploy, less what .gitignore names
    #[arg(value_name = "DIRECTORY", required_unless_present = "app", conflicts_with_all = ["repo", "git_ref"])]
    directory: Option<PathBuf>,
    /// The app; it is made when there is none of that name [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    app: Option<Name>,
    /// The Git repository; a new app needs it, or a directory
    #[arg(long, value_name = "URL")]
    repo: Option<String>,
    /// The branch, tag or whole commit id [default: what the app has; HEAD for a new one]
    #[arg(long = "ref", value_name = "REF")]
    git_ref: Option<String>,
    /// The folder in the repository, or in the directory, that holds the app
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
    fn name(&self) -> Result<Name, CommandError> {
        match (&self.app, &self.directory) {
            (Some(app), _) => Ok(app.clone()),
            (None, Some(directory)) => name_of(directory),
            (None, None) => Err(CommandError::Usage("say what to deploy: a directory, or --app NAME".into())),
        }
    }

    /// What is said of the app.
    fn fields(&self, packed: Option<&Packed>) -> Map<String, Value> {
        let repo = packed.map(|packed| source::repo_of(&packed.digest));
        // Where the app was in a repository says nothing of a directory.
        let subdir = self.subdir.clone().or_else(|| packed.map(|_| String::new()));
        let given = [
            ("repo", repo.or_else(|| self.repo.clone())),
            ("git_ref", self.git_ref.clone()),
            ("subdir", subdir),
            ("runtime", self.runtime.clone()),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
    }
}

/// The name of a directory as that of an app.
fn name_of(directory: &Path) -> Result<Name, CommandError> {
    let whole = directory.canonicalize().map_err(|error| no_directory(directory, &error.to_string()))?;
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if DnsName::new(&name).is_ok() {
        return Ok(Name(name));
    }
    let like: String =
        name.to_lowercase().chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '-' }).collect();
    let like = like.trim_matches(|one: char| !one.is_ascii_lowercase());
    let example = if DnsName::new(like).is_ok() { like } else { "my-app" };
    Err(CommandError::Usage(format!(
        "the directory's name, {name:?}, is none for an app; say what it is called, e.g. --app {example}"
    )))
}

fn no_directory(directory: &Path, why: &str) -> CommandError {
    let directory = directory.display();
    CommandError::Usage(format!(
        "there is no directory {directory} ({why}); an app from a repository is deployed by `metapaas deploy --app NAME`"
    ))
}

pub(super) fn run(words: Deploy, console: &mut dyn Console) -> CommandFuture<'_> {
    Box::pin(async move {
        let app = words.name()?;
        let packed = match &words.directory {
            Some(directory) => Some(packed(console, directory)?),
            None => None,
        };
        let (packed, fields) = (packed.as_ref(), words.fields(packed.as_ref()));
        let before = match console.find(&app.path()).await? {
            None => {
                make(console, &words, &app, packed, fields).await?;
                None
            }
            Some(found) => {
                let before = newest(console, &app).await?;
                if !change(console, &words, &app, &found, packed, fields).await? {
                    let release = text(&found["release"]);
                    console.note(&format!(
                        "nothing has changed since release {release}, which serves; `metapaas action app/{} deploy` builds \
                         it again",
                        app.0
                    ));
                    return follow::show(console, &found);
                }
                before
            }
        };
        let mut follow = Follow::new(app, before.as_ref());
        if words.no_wait { follow.leave(console) } else { follow.until_served(console).await }
    })
}

fn packed(console: &mut dyn Console, directory: &Path) -> Result<Packed, CommandError> {
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(no_directory(directory, "it is a file")),
        Err(error) => return Err(no_directory(directory, &error.to_string())),
    }
    let packed = pack(directory)?;
    for name in &packed.left_out {
        console.note(&format!("{name} is left out: the build makes its own"));
    }
    Ok(packed)
}

/// Sends what is packed, unless it is there; answers whether it did.
async fn send(console: &mut dyn Console, app: &Name, packed: &Packed) -> Result<bool, CommandError> {
    let path = app.child("uploads", &packed.digest);
    if console.find(&path).await?.is_some() {
        return Ok(false);
    }
    let (count, kilobytes) = (packed.count, packed.size.div_ceil(1024));
    let short = packed.digest.get(..SHORT_COMMIT).unwrap_or_default();
    console.on_interrupt("interrupted; the same command goes on from there".into());
    console.note(&format!("uploading {count} files, {kilobytes} KiB packed, as {short}"));
    let _ = console.send_file(&path, &packed.file).await?;
    Ok(true)
}

/// The app comes first: until what it is made from has arrived, its status says that it waits for that.
async fn make(
    console: &mut dyn Console,
    words: &Deploy,
    app: &Name,
    packed: Option<&Packed>,
    mut body: Map<String, Value>,
) -> Result<(), CommandError> {
    let name = &app.0;
    if !body.contains_key("repo") {
        let text = format!(
            "there is no app `{name}`; say with --repo URL what it is made from, or name a directory, as in \
             `metapaas deploy . --app {name}`"
        );
        return Err(CommandError::NotFound(text));
    }
    body.insert("name".into(), json!(name));
    let _ = console.post(&APPS, Value::Object(body)).await?;
    console.note(&format!("app {name} made"));
    env::set(console, app, &words.env, false).await?;
    if let Some(packed) = packed {
        send(console, app, packed).await?;
    }
    Ok(())
}

/// Changes an app; answers whether there is anything to wait for. The environment comes first, so that what is built
/// starts with it; what it is built from before the app is told of it.
async fn change(
    console: &mut dyn Console,
    words: &Deploy,
    app: &Name,
    found: &Value,
    packed: Option<&Packed>,
    fields: Map<String, Value>,
) -> Result<bool, CommandError> {
    env::set(console, app, &words.env, false).await?;
    let is_other = |name: &&str| fields.get(*name).is_some_and(|value| *value != found[*name]);
    let is_moved = SOURCE.iter().any(is_other);
    let was_sent = match packed {
        Some(packed) => send(console, app, packed).await?,
        None => false,
    };
    if is_moved {
        let _ = console.patch(&app.path(), Value::Object(fields)).await?;
    }
    if found["stopped"] == true {
        // Another source is built by itself; the action starts the app as well.
        let _ = console.post(&app.action("deploy"), json!({})).await?;
        return Ok(true);
    }
    // An app that was to be made from what was not there has waited for it, and goes on by itself.
    if is_moved || was_sent {
        return Ok(true);
    }
    if packed.is_some() {
        match standing(console, app, found).await? {
            Standing::Serves => {
                // A change of the environment alone made a release without a build.
                let now = console.get(&app.path()).await?;
                return Ok(now["generation"] != found["generation"]);
            }
            Standing::Comes => return Ok(true),
            Standing::Other => {}
        }
    } else if source::upload(found["repo"].as_str().unwrap_or_default()).is_some() {
        console.note(
            "this builds again what was uploaded last; `metapaas deploy DIRECTORY` uploads what the directory has now",
        );
    }
    let _ = console.post(&app.action("deploy"), json!({})).await?;
    Ok(true)
}

/// How the newest release stands to what the app is made from.
enum Standing {
    /// It is of that, and serves.
    Serves,
    /// It is of that, and on its way.
    Comes,
    /// It is of something else, or failed.
    Other,
}

async fn standing(console: &mut dyn Console, app: &Name, found: &Value) -> Result<Standing, CommandError> {
    let release = newest(console, app).await?.unwrap_or_default();
    let is_of_it = ["repo", "subdir"].iter().all(|field| release[*field] == found[*field]);
    Ok(match release["state"].as_str() {
        _ if !is_of_it => Standing::Other,
        Some("SERVING") if release["number"] == found["release"] => Standing::Serves,
        // One that serves and did not when the app was looked at comes of what was changed meanwhile.
        Some("BUILDING" | "STARTING" | "SERVING") | None => Standing::Comes,
        _ => Standing::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Deploy, String> {
        let all = ["deploy"].iter().chain(words);
        Deploy::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn a_directory_gives_its_name() {
        let outer = tempfile::tempdir().unwrap();
        for (directory, expected) in [
            ("my-app", Ok("my-app")),
            ("My App_2", Err("--app my-app")),
            ("42", Err("--app my-app")),
            ("Łódź", Err("--app")),
        ] {
            let path = outer.path().join(directory);
            std::fs::create_dir(&path).unwrap();
            let words = parse(&[path.join(".").to_str().unwrap()]).unwrap();
            match (words.name(), expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name.0, expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => panic!("{directory}: {found:?}"),
            }
        }
        assert_eq!(parse(&["/nowhere/at/all", "--app", "shop"]).unwrap().name().unwrap().0, "shop");
    }

    #[test]
    fn a_directory_is_no_repository() {
        for words in [
            &["."][..],
            &[".", "--app", "shop", "-e", "A=1", "--env", "B=2"],
            &["--app", "shop", "--ref", "v1"],
        ] {
            assert!(parse(words).is_ok(), "{words:?}");
        }
        for words in
            [&[][..], &[".", "--repo", "https://git.example.com/a"], &[".", "--ref", "v1"], &[".", ".."]]
        {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
