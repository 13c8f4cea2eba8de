//! [`Runs`]: one-off commands on nodes, for whoever waits for them.
//!
//! A command changes nothing that is kept, so there is no operation of it: it is a call ([`crate::calls`]) to the agent of a
//! node, and ends when nobody waits for it any more. Memory is bounded: a node sends the next part of the output when the
//! one before has been taken.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use metapaas_protocol::calls::{COMMAND, Chunk, CommandCall, Exited, Frame};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::action::{ActionError, ChooseFn, RUN};
use crate::authn::Authenticator;
use crate::authz::{Allowed, authorize};
use crate::calls::{Broken, Called, Calls};
use crate::descriptor::{Action, Spec};
use crate::error::{Error, ErrorCode, Problem};
use crate::iam::Iam;
use crate::request::RequestContext;
use crate::resource::Resource;
use crate::store::Store;
use crate::validate::refusal;

/// Bytes of all words of a command.
const LONGEST: usize = 32 * 1024;
/// What a node has beyond a command's own time: to begin it, to end it and to send the rest.
const MARGIN: Duration = Duration::from_secs(60);
/// How often it is looked at whether the caller may still do it.
const LOOK: Duration = Duration::from_secs(5);

/// Runs commands.
#[derive(Clone, Debug)]
pub struct Runs {
    store: Arc<Store>,
    calls: Calls,
    iam: Arc<Iam>,
    /// The longest that a command may take.
    longest: Duration,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    words: Vec<String>,
    seconds: u64,
}

/// A command that has begun. Dropping it ends the command.
#[derive(Debug)]
pub struct Run {
    authenticator: Arc<Authenticator>,
    called: Called,
    /// What has come and was not told yet.
    heard: VecDeque<Frame>,
    is_over: bool,
    place: String,
    /// Who waits for it, looked at again while they do.
    bearer: String,
    allowed: Allowed,
    instance: Uuid,
    project: Uuid,
    look_at: Instant,
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// It goes on, and has said nothing.
    Idle,
    /// It wrote this to standard output.
    Stdout(Chunk),
    /// It wrote this to standard error.
    Stderr(Chunk),
    /// It has ended. Nothing comes after it.
    Exit(Exited),
    /// It is not known how it ends, for this reason; it is ended where it still runs. Nothing comes after it.
    Broken(String),
}

/// What a command came to, for those who want no stream.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunResult {
    /// As [`Exited::code`]; none when it is not known.
    pub code: Option<u8>,
    /// What the platform says of it; empty when the command ended by itself.
    pub message: String,
    /// The end of what it wrote to standard output; what is not UTF-8 is replaced.
    pub stdout: String,
    /// The end of what it wrote to standard error.
    pub stderr: String,
    /// How many bytes it wrote to standard output.
    pub stdout_bytes: u64,
    /// How many bytes it wrote to standard error.
    pub stderr_bytes: u64,
}

impl Runs {
    /// Runs commands on nodes that `calls` reaches, none for longer than `longest`.
    pub const fn new(store: Arc<Store>, calls: Calls, iam: Arc<Iam>, longest: Duration) -> Self {
        Self { store, calls, iam, longest }
    }

    /// What the checked parameters of the action ask for.
    ///
    /// # Errors
    /// `InvalidRequest` with every problem.
    pub fn request(&self, parameters: &Spec) -> Result<RunRequest, Error> {
        let words = parameters.get("command").and_then(Value::as_array).into_iter().flatten();
        let words: Vec<String> = words.filter_map(|word| Some(word.as_str()?.to_owned())).collect();
        let mut problems = Vec::new();
        if words.first().is_none_or(String::is_empty) {
            problems.push(Problem::new("/command/0", "INVALID_VALUE", "expected the name of a program"));
        }
        if words.iter().map(String::len).sum::<usize>() > LONGEST {
            let detail = format!("expected at most {LONGEST} bytes in all words");
            problems.push(Problem::new("/command", "TOO_LONG", detail));
        }
        let longest = self.longest.as_secs();
        let seconds = parameters.get("timeout_seconds").and_then(Value::as_u64).unwrap_or(longest);
        if seconds > longest {
            let detail = format!("expected at most {longest}, which the setting `run_timeout` allows");
            problems.push(Problem::new("/timeout_seconds", "OUT_OF_RANGE", detail));
        }
        if problems.is_empty() { Ok(RunRequest { words, seconds }) } else { Err(Error::invalid(problems)) }
    }

    /// Begins a command of an instance that the caller may see; it runs once this has returned.
    ///
    /// # Errors
    /// `Forbidden`; `InvalidState` when the instance or its node does not take commands, and why; `TooManyRequests`;
    /// `Unavailable` when the node does not answer.
    pub async fn begin(
        &self,
        allowed: Allowed,
        bearer: &str,
        instance: &Resource,
        choose: &ChooseFn,
        request: RunRequest,
    ) -> Result<Run, Error> {
        let (id, project) = (instance.meta.id, instance.meta.project_id);
        allowed.on_row(project, &instance.key())?;
        if instance.is_deleting() {
            let detail = format!("{} {:?} is being deleted", instance.ty.name, instance.key());
            return Err(Error::new(ErrorCode::InvalidState, detail));
        }
        let tree = Arc::new(self.store.observed_tree(instance).await?);
        let (place, node) = chosen(choose, &tree).map_err(|error| refusal(RUN, error))?;
        let resource = format!("{}/{}", instance.ty.slug, instance.key());
        let detail = json!({ "id": id, "node": place, "command": request.words });
        self.iam.note(&allowed, &resource, project, detail).await?;
        let limit = Duration::from_secs(request.seconds) + MARGIN;
        let call = CommandCall { words: request.words, seconds: request.seconds };
        let called = self.calls.call(node, COMMAND, json!(call), limit)?;
        let mut run = Run {
            authenticator: Arc::clone(self.iam.authenticator()),
            called,
            heard: VecDeque::new(),
            is_over: false,
            place,
            bearer: bearer.to_owned(),
            allowed,
            instance: id,
            project,
            look_at: Instant::now() + LOOK,
        };
        run.begun().await?;
        Ok(run)
    }
}

/// The node that is to run it. A plugin's bug must not take the control plane with it.
fn chosen(choose: &ChooseFn, tree: &Arc<crate::plan::DesiredTree>) -> Result<(String, Uuid), ActionError> {
    let place = catch_unwind(AssertUnwindSafe(|| choose(Arc::clone(tree))))
        .unwrap_or_else(|_| Err(ActionError::refused("the plugin panicked; the log has the details")))?;
    let node = tree.nodes.iter().find(|node| node.place == place && !node.is_leaving);
    let missing = || ActionError::refused(format!("there is no node {place} at the moment; try again"));
    let node = node.ok_or_else(missing)?.id;
    Ok((place, node))
}

impl Run {
    /// What comes next; `None` after the end. It must not be dropped and called again.
    pub async fn next(&mut self) -> Option<RunEvent> {
        if self.is_over {
            return None;
        }
        let event = match self.hear().await {
            Ok(event) => event,
            Err(message) => RunEvent::Broken(message),
        };
        self.is_over = matches!(event, RunEvent::Exit(_) | RunEvent::Broken(_));
        Some(event)
    }

    /// Ends it. `None` when it has ended already.
    pub fn give_up(&mut self) -> Option<()> {
        (!std::mem::replace(&mut self.is_over, true)).then_some(())
    }

    async fn hear(&mut self) -> Result<RunEvent, String> {
        if Instant::now() >= self.look_at {
            self.look_at = Instant::now() + LOOK;
            self.standing().await?;
        }
        loop {
            match self.heard.pop_front() {
                Some(Frame::Stdout(chunk)) => return Ok(RunEvent::Stdout(chunk)),
                Some(Frame::Stderr(chunk)) => return Ok(RunEvent::Stderr(chunk)),
                Some(Frame::Exited(exited)) => return Ok(RunEvent::Exit(exited)),
                Some(Frame::Refused(message)) => return Err(message),
                Some(Frame::Began | Frame::Line(_) | Frame::CaughtUp) => {}
                None => match self.called.next().await {
                    Ok(Some(frames)) if frames.is_empty() => return Ok(RunEvent::Idle),
                    Ok(Some(frames)) => self.heard.extend(frames),
                    Ok(None) => return Err(format!("the node {} said no more", self.place)),
                    Err(Broken::Ended) => {
                        let place = &self.place;
                        return Err(format!(
                            "the agent of the node {place} has ended, and the command with it"
                        ));
                    }
                    Err(Broken::Away | Broken::Silent) => {
                        let place = &self.place;
                        return Err(format!(
                            "the node {place} has fallen silent; the command ends with its agent"
                        ));
                    }
                },
            }
        }
    }

    /// Waits until the node has begun it.
    async fn begun(&mut self) -> Result<(), Error> {
        let away = |why: &str| {
            let detail = format!("the node {} {why}; see whether it is healthy, and try again", self.place);
            Error::new(ErrorCode::Unavailable, detail)
        };
        loop {
            let frames = match self.called.next().await {
                Ok(Some(frames)) => frames,
                Ok(None) | Err(Broken::Silent | Broken::Ended) => return Err(away("has fallen silent")),
                Err(Broken::Away) => return Err(away("does not answer")),
            };
            self.heard.extend(frames);
            match self.heard.pop_front() {
                None => {}
                Some(Frame::Began) => return Ok(()),
                Some(Frame::Refused(message)) => return Err(Error::new(ErrorCode::InvalidState, message)),
                Some(_) => return Err(away("says something else than that it has begun")),
            }
        }
    }

    /// Whether who waits for it may still run commands there.
    async fn standing(&self) -> Result<(), String> {
        let found = async {
            let actor = self.authenticator.authenticate(&self.bearer).await?;
            let context = RequestContext { actor, request_id: self.allowed.context().request_id.clone() };
            let allowed = authorize(&context, self.allowed.ty(), Action::Custom(RUN));
            allowed.on_row(self.project, &self.instance)
        };
        match found.await {
            // Nobody is turned away for what is not their doing.
            Err(error) if error.code != ErrorCode::Unavailable => {
                Err("you may no longer run commands there, and it was ended".to_owned())
            }
            _ => Ok(()),
        }
    }
}
