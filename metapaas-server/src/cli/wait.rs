//! Waiting until a resource is as wanted, telling how it goes.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Api, Client};
use super::error::CliError;
use super::output::Progress;
use super::view::{not_ready, state};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A status of ERROR may be what is left of the generation before, so it counts after this long only.
const ERROR_GRACE: Duration = Duration::from_secs(3);

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The newest generation is in force and healthy.
    Active,
    /// It is gone.
    Deleted,
}

/// How the wait ended.
pub(crate) struct Waited {
    /// The resource as it was seen last.
    pub(crate) last: Option<Value>,
    /// Whether the goal was reached.
    pub(crate) result: Result<(), CliError>,
}

/// Waits for the row at `url`, which should name it by id: another may get its name.
pub(crate) async fn wait(client: &mut Client<'_>, label: &str, url: &str, goal: Goal) -> Waited {
    let timeout = client.timeout;
    let mut watch = Watch {
        api: &client.api,
        label,
        url,
        goal,
        progress: client.output.progress(),
        last: None,
        etag: None,
        in_error_since: None,
    };
    let ended = tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => Err(watch.interrupted(interrupted)),
        ended = tokio::time::timeout(timeout, watch.until_goal()) => ended.unwrap_or_else(|_| Err(watch.timed_out(timeout))),
    };
    Waited { result: ended, last: watch.last.take() }
}

struct Watch<'a> {
    api: &'a Api,
    label: &'a str,
    url: &'a str,
    goal: Goal,
    progress: Progress<'a>,
    last: Option<Value>,
    etag: Option<String>,
    in_error_since: Option<Instant>,
}

impl Watch<'_> {
    async fn until_goal(&mut self) -> Result<(), CliError> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.api.get_newer(self.url, self.etag.as_deref()).await {
                Ok(answer) if answer.status == 304 => pause = (pause * 3 / 2).min(LONGEST_PAUSE),
                Ok(answer) => {
                    // Without a tag every answer is a full one, so only a changed one starts the pauses anew.
                    let changed = self.last.as_ref() != Some(&answer.body);
                    pause = if changed { SHORTEST_PAUSE } else { (pause * 3 / 2).min(LONGEST_PAUSE) };
                    self.etag = answer.etag;
                    self.last = Some(answer.body);
                }
                Err(error) if error.is_not_found() && self.goal == Goal::Deleted => return Ok(()),
                Err(error) if error.is_not_found() && self.last.is_some() => {
                    return Err(CliError::NotFound(format!("{} was deleted meanwhile", self.label)));
                }
                Err(error) if error.is_temporary() => {
                    self.progress.at(format!("{}: the server does not answer, trying again", self.label));
                    pause = LONGEST_PAUSE;
                }
                Err(error) => return Err(error),
            }
            if let Some(ended) = self.judge() {
                return ended;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether what was seen last is the end.
    fn judge(&mut self) -> Option<Result<(), CliError>> {
        let seen = self.last.as_ref()?;
        self.progress.at(format!("{}: {}", self.label, state(seen)));
        let status = seen["status"].as_str().unwrap_or_default();
        if status != "ERROR" {
            self.in_error_since = None;
        }
        match (self.goal, status) {
            (Goal::Active, "ACTIVE") if in_force(seen) => Some(Ok(())),
            (Goal::Active, "DELETING") => {
                Some(Err(CliError::Conflict(format!("{} is being deleted", self.label))))
            }
            (_, "ERROR") => {
                let since = *self.in_error_since.get_or_insert_with(Instant::now);
                let why = not_ready(seen).unwrap_or_else(|| "no reason given".into());
                let failed = || CliError::Failed(format!("{} is in ERROR: {why}", self.label));
                (since.elapsed() >= ERROR_GRACE).then(|| Err(failed()))
            }
            _ => None,
        }
    }

    fn timed_out(&self, timeout: Duration) -> CliError {
        let now = self.last.as_ref().map_or_else(|| "not seen yet".into(), state);
        CliError::TimedOut(format!(
            "{} is {now} after {}; it goes on, see `metapaas get {}`",
            self.label,
            humantime::format_duration(timeout),
            self.label
        ))
    }

    fn interrupted(&self, signal: std::io::Result<()>) -> CliError {
        if let Err(source) = signal {
            return CliError::File { doing: "cannot listen for", path: "Ctrl-C".into(), source };
        }
        let goal = if self.goal == Goal::Deleted { " --for deleted" } else { "" };
        CliError::Interrupted(format!(
            "interrupted; the operation goes on, see it with `metapaas wait {}{goal}`",
            self.label
        ))
    }
}

fn in_force(resource: &Value) -> bool {
    match (resource["generation"].as_i64(), resource["observed_generation"].as_i64()) {
        (Some(wanted), Some(there)) => there >= wanted,
        _ => true,
    }
}
