//! Calls: what control planes ask of the node while somebody waits for the answer.
//!
//! The agent listens at every control plane that it knows, and sends the answer to the one that asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metapaas_protocol::calls::{
    COMMAND, Call, CallOutput, Chunk, CommandCall, Frame, HEARTBEAT_SECONDS, LOGS, LogQuery,
};
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::command::Commands;
use crate::link::{Link, LinkError, Route};
use crate::logs::{self, Logs};

/// Calls that a node answers at one time.
const AT_ONCE: usize = 32;
/// Text of one part of an answer; about what fits into a body that every control plane takes.
const PART: usize = 64 * 1024;
/// What comes within this time goes out together.
const TOGETHER: Duration = Duration::from_millis(20);
const HEARTBEAT: Duration = Duration::from_secs(HEARTBEAT_SECONDS);
/// How often a part is sent that did not arrive.
const ATTEMPTS: u32 = 3;
const AGAIN: Duration = Duration::from_millis(300);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// A control plane that knows no calls is asked again after so long.
const UNKNOWN: Duration = Duration::from_secs(60);

/// Answers calls.
pub(crate) struct Calls {
    link: Arc<Link>,
    logs: Arc<Logs>,
    commands: Commands,
    underway: Mutex<BTreeMap<Uuid, AbortHandle>>,
    /// Of this run of the agent.
    agent: Uuid,
}

impl Calls {
    pub(crate) fn new(link: Arc<Link>, logs: Arc<Logs>, commands: Commands) -> Arc<Self> {
        Arc::new(Self { link, logs, commands, underway: Mutex::default(), agent: Uuid::new_v4() })
    }

    /// Listens for as long as the agent runs. Dropped, it ends all that is under way.
    pub(crate) async fn listen(self: Arc<Self>) {
        let _end = EndAll(Arc::clone(&self));
        let mut changes = self.link.changes();
        let mut ears: BTreeMap<String, tokio::task::JoinHandle<()>> = BTreeMap::new();
        loop {
            let routes = self.link.routes();
            let names: BTreeSet<&str> = routes.iter().map(|route| route.name.as_str()).collect();
            ears.retain(|name, ear| {
                let stays = names.contains(name.as_str());
                if !stays {
                    ear.abort();
                }
                stays
            });
            for route in &routes {
                if !ears.contains_key(&route.name) {
                    let ear = Arc::clone(&self).listen_at(route.clone());
                    ears.insert(route.name.clone(), tokio::spawn(ear));
                }
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn listen_at(self: Arc<Self>, route: Route) {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            match self.link.calls(&route, self.agent).await {
                Ok(calls) => {
                    backoff.reset();
                    for id in calls.end {
                        self.end(id);
                    }
                    for call in calls.begin {
                        self.begin(&route, call);
                    }
                }
                Err(LinkError::Answer { status: StatusCode::NOT_FOUND, .. }) => {
                    tokio::time::sleep(UNKNOWN).await;
                }
                Err(_) => tokio::time::sleep(backoff.wait()).await,
            }
        }
    }

    fn begin(self: &Arc<Self>, route: &Route, call: Call) {
        let mut underway = self.underway();
        underway.retain(|_, task| !task.is_finished());
        let is_full = underway.len() >= AT_ONCE;
        let (this, route, id) = (Arc::clone(self), route.clone(), call.id);
        let task = tokio::spawn(async move {
            let (out, frames) = mpsc::channel(64);
            let limit = Duration::from_secs(call.seconds);
            let work = async {
                if is_full {
                    let _ =
                        out.send(Frame::Refused(format!("the node answers {AT_ONCE} calls already"))).await;
                } else {
                    this.work(&call, out.clone()).await;
                }
                drop(out);
            };
            let send = this.send(&route, call.id, frames);
            let both = async {
                tokio::pin!(send);
                tokio::select! {
                    // Whoever asked has gone; what is under way for them ends.
                    () = &mut send => {}
                    _ = timeout(limit, work) => send.await,
                }
            };
            both.await;
        });
        underway.insert(id, task.abort_handle());
    }

    async fn work(&self, call: &Call, out: mpsc::Sender<Frame>) {
        let refuse = |message: String| out.send(Frame::Refused(message));
        let _ = match call.kind.as_str() {
            LOGS => match LogQuery::deserialize(&call.parameters) {
                Ok(query) => return logs::serve(Arc::clone(&self.logs), query, out).await,
                Err(error) => refuse(format!("not a question for logs: {error}")).await,
            },
            COMMAND => match CommandCall::deserialize(&call.parameters) {
                Ok(command) => return self.commands.serve(call.id, command, out).await,
                Err(error) => refuse(format!("not a command: {error}")).await,
            },
            other => {
                refuse(format!("this agent knows no call `{other}`; start it from a newer program")).await
            }
        };
    }

    /// Sends what comes, in parts, until all has been sent or nobody wants it.
    async fn send(&self, route: &Route, id: Uuid, mut frames: mpsc::Receiver<Frame>) {
        let mut output = CallOutput { seq: 0, frames: Vec::new(), is_last: false };
        loop {
            // The first part says at once that the call has arrived.
            if !self.send_part(route, id, &output).await || output.is_last {
                return;
            }
            output = CallOutput { seq: output.seq + 1, frames: Vec::new(), is_last: false };
            match timeout(HEARTBEAT, frames.recv()).await {
                Err(_) => {}
                Ok(None) => output.is_last = true,
                Ok(Some(first)) => {
                    let mut size = size(&first);
                    output.frames.push(first);
                    let end = Instant::now() + TOGETHER;
                    while size < PART {
                        match tokio::time::timeout_at(end, frames.recv()).await {
                            Err(_) => break,
                            Ok(None) => {
                                output.is_last = true;
                                break;
                            }
                            Ok(Some(frame)) => {
                                size += self::size(&frame);
                                output.frames.push(frame);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Answers whether it was taken.
    async fn send_part(&self, route: &Route, id: Uuid, output: &CallOutput) -> bool {
        let mut failures = 0;
        loop {
            match self.link.answer(route, id, output).await {
                Ok(()) => return true,
                // The reader is slow; that is theirs to decide.
                Err(LinkError::Answer { status: StatusCode::SERVICE_UNAVAILABLE, .. }) => {}
                Err(LinkError::Call { .. }) if failures < ATTEMPTS => failures += 1,
                Err(_) => return false,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn end(&self, id: Uuid) {
        if let Some(task) = self.underway().remove(&id) {
            task.abort();
        }
    }

    fn underway(&self) -> MutexGuard<'_, BTreeMap<Uuid, AbortHandle>> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct EndAll(Arc<Calls>);

impl Drop for EndAll {
    fn drop(&mut self) {
        for task in self.0.underway().values() {
            task.abort();
        }
    }
}

/// What a frame takes, about.
fn size(frame: &Frame) -> usize {
    match frame {
        Frame::Line(line) => line.text.len() + line.service.len() + 64,
        Frame::CaughtUp | Frame::Began => 16,
        Frame::Stdout(Chunk::Text(text) | Chunk::Base64(text))
        | Frame::Stderr(Chunk::Text(text) | Chunk::Base64(text)) => text.len() + 32,
        Frame::Exited(exited) => exited.message.len() + 32,
        Frame::Refused(message) => message.len(),
    }
}
