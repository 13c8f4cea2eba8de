//! `metapaas open`: the URL of an app, in a browser where there is one.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use metapaas_core::command::{CommandError, CommandFuture, Console};

use super::Name;

/// Print the URL of an app, and open it where there is a browser
#[derive(Debug, Parser)]
#[command(name = "open")]
pub(super) struct Open {
    /// The app
    #[arg(value_name = "APP")]
    app: Name,
}

pub(super) fn run(words: Open, console: &mut dyn Console) -> CommandFuture<'_> {
    Box::pin(async move {
        let app = console.get(&words.app.path()).await?;
        let Some(url) = app["url"].as_str() else {
            let text = format!("app {} has no URL yet; see `metapaas get app/{}`", words.app.0, words.app.0);
            return Err(CommandError::Failed(text));
        };
        console.show(&app, url)?;
        // What begins otherwise might be an option.
        if (url.starts_with("http://") || url.starts_with("https://"))
            && let Some(mut browser) = browser(|name| std::env::var(name).ok())
        {
            let started = browser.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Err(error) = started.spawn() {
                let program = browser.get_program().to_string_lossy().into_owned();
                console.note(&format!("{program} cannot be started: {error}"));
            }
        }
        Ok(())
    })
}

/// What the user has chosen, or what a desktop offers.
fn browser(variable: impl Fn(&str) -> Option<String>) -> Option<Command> {
    let given = |name: &str| variable(name).filter(|text| !text.is_empty());
    if let Some(chosen) = given("BROWSER") {
        // It may be several, of which the first is best, each with arguments.
        let mut words = chosen.split(':').next()?.split_whitespace();
        let mut command = Command::new(words.next()?);
        command.args(words.filter(|word| !word.contains("%s")));
        return Some(command);
    }
    given("DISPLAY").or_else(|| given("WAYLAND_DISPLAY"))?;
    let path = given("PATH")?;
    let has = |folder: &str| Path::new(folder).join("xdg-open").is_file();
    path.split(':').any(has).then(|| Command::new("xdg-open"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_there_when_it_was_chosen_or_there_is_a_desktop() {
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            let found = browser(|name| {
                variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
            });
            let found = found.map(|command| {
                let words = [command.get_program()].into_iter().chain(command.get_args());
                words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(found.as_deref(), expected, "{variables:?}");
        };
        check(&[], None);
        check(&[("PATH", "/usr/bin")], None);
        check(&[("BROWSER", "firefox --new-tab %s:other")], Some("firefox --new-tab"));
        check(&[("BROWSER", ""), ("DISPLAY", ":0"), ("PATH", "/nowhere")], None);
    }
}
