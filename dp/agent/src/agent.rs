//! [`run`]: the agent's loop. It asks for documents, hands them to the `Node`, and reports what the node is.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metapaas_protocol::{NodeDocument, NodeReport};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::backoff::jittered;
use crate::calls::Calls;
use crate::command::Commands;
use crate::files;
use crate::link::{Link, Retry};
use crate::logs::{LIMIT, Logs};
use crate::node::Node;
use crate::node_file::NodeFile;
use crate::process::{ProcessRecord, end_all};
use crate::registry::Drivers;
use crate::rotate;
use crate::supervisor::Supervisor;

/// Name of the file in a node's directory that says which process its agent is.
pub const RECORD_FILE: &str = "agent.json";
/// Name of the file in a node's directory whose lock its agent holds.
const LOCK_FILE: &str = "agent.lock";
/// A report is sent at least this often; control planes read silence as trouble.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// An agent that takes up a node reports when it has looked at it, but no later than this.
const FIRST_REPORT: Duration = Duration::from_secs(2);
/// A refused document is not asked for again before.
const REFUSED: Duration = Duration::from_secs(5);
const ROTATE: Duration = Duration::from_secs(10);
/// How long services of a node that has gone may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// What the agent needs to be told; the rest is in the directory.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The node's directory.
    pub dir: PathBuf,
}

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// One runs already.
    #[error("an agent already runs for {dir}; a node has one")]
    AlreadyRunning {
        /// The node's directory.
        dir: PathBuf,
    },
    /// The node's directory is not usable.
    #[error("{action}")]
    Directory {
        /// What was tried.
        action: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Serves a node until SIGTERM or SIGINT. Services go on after it; the next agent adopts them.
///
/// # Errors
/// When another agent serves the node, or its directory is not usable. Trouble after the start is reported, logged
/// and retried, and is no error.
pub async fn run(options: AgentOptions, drivers: &Drivers) -> Result<(), AgentError> {
    let given = options.dir;
    let dir = given.canonicalize().map_err(|source| failed(format!("find {}", given.display()), source))?;
    let at = |action: &str| format!("{action} in {}", dir.display());
    let lock = files::try_lock(&dir.join(LOCK_FILE)).map_err(|source| failed(at("take the lock"), source))?;
    let Some(_lock) = lock else { return Err(AgentError::AlreadyRunning { dir }) };
    // Launched by a provider it is on record already; started by hand it is not.
    ProcessRecord::of_self("")
        .and_then(|record| record.write(&dir.join(RECORD_FILE)))
        .map_err(|source| failed(at("write the agent's record"), source))?;
    let node_id = NodeFile::read(&dir).map_err(|source| failed(at("read node.json"), source))?.node_id;
    let link =
        Arc::new(Link::open(dir.clone()).map_err(|source| failed(at("read node.json and token"), source))?);
    let watch_signal = |kind| signal(kind).map_err(|source| failed("watch for signals".to_owned(), source));
    let (mut terminate, mut interrupt) =
        (watch_signal(SignalKind::terminate())?, watch_signal(SignalKind::interrupt())?);
    // A closing terminal is no reason to leave a node alone; having a handler is what ignores it.
    let _hangup = watch_signal(SignalKind::hangup())?;
    let supervisor = Supervisor::new(&dir, node_id).map_err(|source| failed(at("make folders"), source))?;
    let mut changes = supervisor.changes();
    let logs = Arc::new(Logs::open(&dir).map_err(|source| failed(at("look at the logs"), source))?);
    let opened = Node::open(dir.clone(), node_id, drivers, supervisor, Arc::clone(&logs), Arc::clone(&link));
    let mut node = opened.map_err(|source| failed(at("take up services"), source))?;
    tracing::info!(node = %node_id, dir = %dir.display(), "the agent runs");

    let (reports, latest) = watch::channel(node.report().clone());
    let (found, mut documents) = mpsc::channel(1);
    let (commands, mut asked) = Commands::new(&dir, node_id);
    let tasks = [
        tokio::spawn(fetch(Arc::clone(&link), node.digest().to_owned(), found)),
        tokio::spawn(report(Arc::clone(&link), latest)),
        tokio::spawn(rotate_log(dir)),
        tokio::spawn(Calls::new(Arc::clone(&link), Arc::clone(&logs), commands).listen()),
    ];
    let serve = async {
        loop {
            tokio::select! {
                Some((document, taken)) = documents.recv() => take(&mut node, &link, document, taken),
                () = sleep_until(node.due()) => node.work().await,
                Ok(()) = changes.changed() => node.check_soon(),
                Some(asked) = asked.recv() => {
                    let answer = node.command(&asked.words).await;
                    // Whoever asked may have gone meanwhile.
                    let _ = asked.answer.send(answer);
                }
            }
            reports.send_if_modified(|report| {
                let changed = *report != *node.report();
                report.clone_from(node.report());
                changed
            });
        }
    };
    let has_gone = tokio::select! {
        () = serve => false,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = logs.keep() => true,
    };
    for task in tasks {
        task.abort();
    }
    if has_gone {
        tracing::error!("the node's directory has gone; the agent ends, and its services with it");
        // What is on record has gone with the directory; processes carry the node's mark.
        return end_all(node_id, None, &[], GRACE)
            .await
            .map_err(|source| failed("end the services of a node that has gone".to_owned(), source));
    }
    tracing::info!("the agent ends; services go on");
    Ok(())
}

type Found = (NodeDocument, oneshot::Sender<bool>);

fn take(node: &mut Node<'_>, link: &Link, document: NodeDocument, taken: oneshot::Sender<bool>) {
    let endpoints = document.endpoints.clone();
    let took = node.take(document);
    if took && let Err(error) = link.use_endpoints(&endpoints) {
        tracing::warn!(%error, "cannot keep the endpoints");
    }
    // The asker is gone only when the agent ends.
    let _ = taken.send(took);
}

async fn fetch(link: Arc<Link>, mut digest: String, found: mpsc::Sender<Found>) {
    let mut retry = Retry::default();
    loop {
        match link.document(&digest).await {
            Ok(None) => retry = Retry::default(),
            // A control plane that answers at once with what we have must not make us spin.
            Ok(Some(document)) if document.digest == digest => tokio::time::sleep(jittered(REFUSED)).await,
            Ok(Some(document)) => {
                retry = Retry::default();
                let next = document.digest.clone();
                let (taken, answer) = oneshot::channel();
                if found.send((document, taken)).await.is_err() {
                    return;
                }
                match answer.await {
                    Ok(true) => digest = next,
                    Ok(false) => tokio::time::sleep(jittered(REFUSED)).await,
                    Err(_) => return,
                }
            }
            Err(error) => {
                let pause = link.pause(&mut retry);
                tracing::warn!(error = &error as &dyn std::error::Error, ?pause, "no document");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn report(link: Arc<Link>, mut latest: watch::Receiver<NodeReport>) {
    // A restart of the agent is no event for the instance, so its first report is not that nothing is applied yet.
    let _ = tokio::time::timeout(FIRST_REPORT, latest.changed()).await;
    let mut retry = Retry::default();
    loop {
        let report = latest.borrow_and_update().clone();
        match link.report(&report).await {
            Ok(()) => {
                retry = Retry::default();
                tokio::select! {
                    changed = latest.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(HEARTBEAT) => {}
                }
            }
            Err(error) => {
                let pause = link.pause(&mut retry);
                tracing::warn!(error = &error as &dyn std::error::Error, ?pause, "no report");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Keeps the agent's own log small; those of services are looked after by [`Logs`].
async fn rotate_log(dir: PathBuf) {
    loop {
        tokio::time::sleep(ROTATE).await;
        let dir = dir.clone();
        let done = tokio::task::spawn_blocking(move || rotate::rotate(&dir, LIMIT)).await;
        if let Err(error) = done.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(%error, "cannot rotate the log");
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn failed(action: String, source: io::Error) -> AgentError {
    AgentError::Directory { action, source }
}
