//! Following an app until its newest release serves or has failed, with what its build says on the way.

use std::time::{Duration, Instant};

use metapaas_core::command::{CommandError, Console};
use serde_json::Value;

use super::{Name, newest, state, text};

const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// An ERROR may be what is left of the generation before, so without a failed release it counts after this long only.
const ERROR_GRACE: Duration = Duration::from_secs(5);

/// An app on its way to a newer release.
pub(super) struct Follow {
    app: Name,
    /// The newest release before the change.
    before: u64,
    /// The newest release that was told of.
    release: u64,
    /// What the build has said so far, as far as it was told.
    log: String,
    told: String,
    in_error_since: Option<Instant>,
}

impl Follow {
    /// Releases after `before` are those that are waited for.
    pub(super) fn new(app: Name, before: Option<&Value>) -> Self {
        let before = before.and_then(|release| release["number"].as_u64()).unwrap_or_default();
        Self { app, before, release: before, log: String::new(), told: String::new(), in_error_since: None }
    }

    /// Goes away and says where to look.
    pub(super) fn leave(&mut self, console: &mut dyn Console) -> Result<(), CommandError> {
        let name = &self.app.0;
        console.say(&format!("it goes on; see `metapaas get app/{name}` and `metapaas releases {name}`"))
    }

    /// Follows it until the newest release serves, and shows its URL.
    ///
    /// # Errors
    /// When it fails, takes too long, or cannot be followed.
    pub(super) async fn until_served(&mut self, console: &mut dyn Console) -> Result<(), CommandError> {
        let name = self.app.0.clone();
        console
            .on_interrupt(format!("interrupted; the deploy goes on, see it with `metapaas releases {name}`"));
        let timeout = console.timeout();
        let until = Instant::now() + timeout;
        let mut pause = SHORTEST_PAUSE;
        // What the change led to; without it the newest there is now may be that of a generation before.
        let wanted = console.get(&self.app.path()).await?["generation"].as_i64().unwrap_or_default();
        loop {
            match self.look(console, wanted).await {
                Ok(None) => {}
                Ok(Some(app)) => return served(console, &app),
                Err(error) if error.is_temporary() => {
                    self.tell(console, "the server does not answer; trying again");
                    pause = LONGEST_PAUSE;
                }
                Err(error) => return Err(error),
            }
            if Instant::now() >= until {
                let text = format!(
                    "release {} of app {name} does not serve after {} s; it goes on, see `metapaas releases {name}`",
                    self.release,
                    timeout.as_secs()
                );
                return Err(CommandError::TimedOut(text));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(LONGEST_PAUSE);
        }
    }

    /// Tells what is new; answers the app once it serves what was asked for.
    async fn look(&mut self, console: &mut dyn Console, wanted: i64) -> Result<Option<Value>, CommandError> {
        let Some(app) = console.find(&self.app.path()).await? else {
            return Err(CommandError::Failed(format!("app {} was deleted meanwhile", self.app.0)));
        };
        let release = newest(console, &self.app).await?.unwrap_or_default();
        self.tell_release(console, &release);
        let is_in_force = app["observed_generation"].as_i64() >= Some(wanted)
            && app["observed_generation"] == app["generation"];
        let (status, why) = (text(&app["status"]), text(&app["conditions"][0]["message"]));
        if release["state"] != "BUILDING" && status != "ACTIVE" {
            self.tell(console, &progress(&app, &why));
        }
        match status.as_str() {
            "ACTIVE" if is_in_force => Ok(Some(app)),
            "DELETING" => Err(CommandError::Failed(format!("app {} is being deleted", self.app.0))),
            "ERROR" => {
                let since = *self.in_error_since.get_or_insert_with(Instant::now);
                let has_failed =
                    release["number"].as_u64() > Some(self.before) && release["state"] == "FAILED";
                let is_end = has_failed || since.elapsed() >= ERROR_GRACE;
                if is_end { Err(CommandError::Failed(why)) } else { Ok(None) }
            }
            _ => {
                self.in_error_since = None;
                Ok(None)
            }
        }
    }

    /// A release that is new, and what its build has said since.
    fn tell_release(&mut self, console: &mut dyn Console, release: &Value) {
        let number = release["number"].as_u64().unwrap_or_default();
        if number > self.release {
            self.release = number;
            console.note(&format!("release {number}: {}", text(&release["reason"])));
        }
        // A release without a build of its own has the log of the one whose build it uses.
        if release["build"].as_u64() <= Some(self.before) {
            return;
        }
        let log = text(&release["build_log"]);
        for line in news(&self.log, &log).lines() {
            console.note(line);
        }
        if !log.is_empty() {
            self.log = log;
        }
    }

    fn tell(&mut self, console: &mut dyn Console, line: &str) {
        if self.told != line {
            console.note(line);
            self.told = line.to_owned();
        }
    }
}

fn served(console: &mut dyn Console, app: &Value) -> Result<(), CommandError> {
    if app["stopped"] == true {
        let name = text(&app["name"]);
        console.note(&format!("the app is stopped; start it with `metapaas action app/{name} start`"));
    } else {
        console.note(&format!("release {} serves", text(&app["release"])));
    }
    show(console, app)
}

/// Shows the URL.
pub(super) fn show(console: &mut dyn Console, app: &Value) -> Result<(), CommandError> {
    match app["url"].as_str() {
        Some(url) => console.show(app, url),
        None => console.show(app, "it has no URL, since no router runs"),
    }
}

fn progress(app: &Value, why: &str) -> String {
    match why {
        "" => state(app),
        why => format!("{}: {why}", state(app)),
    }
}

/// What has come to the end of a text of which only the end is kept.
fn news<'a>(before: &str, now: &'a str) -> &'a str {
    let starts = before.char_indices().map(|(at, _)| at).chain([before.len()]);
    let mut rests = starts.filter_map(|at| now.strip_prefix(before.get(at..)?));
    rests.next().unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_once() {
        for (before, now, expected) in [
            ("", "a\n", "a\n"),
            ("a\n", "a\n", ""),
            ("a\n", "a\nb\n", "b\n"),
            ("a\nb\n", "b\nc\n", "c\n"),
            ("ä\nb\n", "b\nc\n", "c\n"),
            ("x\n", "b\nc\n", "b\nc\n"),
        ] {
            assert_eq!(news(before, now), expected, "{before:?} {now:?}");
        }
    }
}
