//! `Node`: what the agent does with its documents, without the network: take, apply, check, report.

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use metapaas_protocol::calls::LogQuery;
use metapaas_protocol::{Health, NodeDocument, NodeReport, PROTOCOL_VERSION};
use tokio::time::Instant;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::context::{Hands, NodeContext};
use crate::document;
use crate::driver::{Applied, Driver, DriverError};
use crate::link::Link;
use crate::logs::Logs;
use crate::registry::Drivers;
use crate::service::ServiceSpec;
use crate::supervisor::Supervisor;

/// A driver call that takes longer is given up and tried again.
const APPLY_DEADLINE: Duration = Duration::from_secs(300);
const CHECK_DEADLINE: Duration = Duration::from_secs(10);
/// How often a healthy service is checked.
const CALM: Duration = Duration::from_secs(2);
/// How often a service is checked that is expected to become healthy any moment.
const EAGER: Duration = Duration::from_millis(150);
/// How often a service is checked that has not become healthy for [`PATIENCE`].
const TIRED: Duration = Duration::from_secs(1);
/// For this long after it was first applied, a service that does not answer is starting, not unhealthy.
const PATIENCE: Duration = Duration::from_secs(60);
const OBSERVE: Duration = Duration::from_secs(10);
/// What a node that goes leaves of its logs.
const LAST_LINES: LogQuery = LogQuery { tail: 1000, since: None, follow: false, bytes: 64 * 1024 };

/// One node: its last good document, its driver, its report.
pub(crate) struct Node<'a> {
    directory: PathBuf,
    id: Uuid,
    drivers: &'a Drivers,
    supervisor: Supervisor,
    logs: Arc<Logs>,
    hands: Arc<Hands>,
    document: Option<NodeDocument>,
    /// With the slug it was made for. Made anew after a panic.
    driver: Option<(String, Box<dyn Driver>)>,
    report: NodeReport,
    backoff: Backoff,
    apply_at: Option<Instant>,
    check_at: Option<Instant>,
    observe_at: Instant,
    /// When this document was first applied, and whether its service has been healthy since.
    applied_since: Instant,
    was_healthy: bool,
}

impl<'a> Node<'a> {
    /// The node in `directory` as an earlier agent left it; its last good document is due at once.
    pub(crate) fn open(
        directory: PathBuf,
        id: Uuid,
        drivers: &'a Drivers,
        supervisor: Supervisor,
        logs: Arc<Logs>,
        link: Arc<Link>,
    ) -> io::Result<Self> {
        let log = Box::new(|action: &str| tracing::info!(action, "done"));
        let hands = Arc::new(Hands::new(&directory, Some(supervisor.clone()), Some(link), log)?);
        let document = document::load(&directory, id);
        if document.as_ref().is_none_or(|document| !document.removing) {
            supervisor.resume()?;
        }
        let now = Instant::now();
        Ok(Self {
            apply_at: document.is_some().then_some(now),
            directory,
            id,
            drivers,
            supervisor,
            logs,
            hands,
            document,
            driver: None,
            report: NodeReport {
                protocol: PROTOCOL_VERSION,
                applied_generation: 0,
                applied_digest: String::new(),
                health: Health::Starting,
                message: "waiting for the first document".to_owned(),
                facts: BTreeMap::new(),
                errors: Vec::new(),
                removed: false,
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
                last_lines: Vec::new(),
            },
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            check_at: None,
            observe_at: now,
            applied_since: now,
            was_healthy: false,
        })
    }

    /// Digest of the document the node has, empty when it has none.
    pub(crate) fn digest(&self) -> &str {
        self.document.as_ref().map_or("", |document| &document.digest)
    }

    /// What the node is now.
    pub(crate) fn report(&self) -> &NodeReport {
        &self.report
    }

    /// Takes a document and keeps it on disk; answers whether it did.
    pub(crate) fn take(&mut self, document: NodeDocument) -> bool {
        if let Err(refusal) = document::accept(self.id, self.document.as_ref(), &document) {
            tracing::warn!(%refusal, "refused a document");
            self.report.errors = vec![refusal.item_error()];
            return false;
        }
        if let Err(error) = document::keep(&self.directory, &document) {
            tracing::error!(%error, "cannot keep a document");
            self.report.message = format!("cannot keep a document: {error}");
            return false;
        }
        tracing::info!(generation = document.generation, digest = document.digest, "took a document");
        self.document = Some(document);
        self.backoff.reset();
        self.apply_at = Some(Instant::now());
        true
    }

    /// A service started or died: look soon.
    pub(crate) fn check_soon(&mut self) {
        if self.check_at.is_some() {
            self.check_at = Some(Instant::now() + EAGER / 3);
        }
    }

    /// When [`Node::work`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        // While a document waits for its next try, its error is the node's health.
        self.apply_at.or(self.check_at)
    }

    /// Applies the document or checks the service, whichever is due.
    pub(crate) async fn work(&mut self) {
        let now = Instant::now();
        let Some(document) = self.document.clone() else { return };
        let context = NodeContext::new(Arc::clone(&self.hands), &document);
        if self.apply_at.is_some_and(|at| at <= now) {
            match self.apply(&context, &document).await {
                Ok(applied) => self.applied(&document, applied),
                Err(failure) => self.failed(&failure),
            }
        }
        if self.apply_at.is_none() && self.check_at.is_some_and(|at| at <= Instant::now()) {
            self.check(&context).await;
        }
    }

    /// How the driver has a one-off command run, or why it does not.
    pub(crate) async fn command(&mut self, words: &[String]) -> Result<ServiceSpec, String> {
        let (Some(document), Some((_, driver))) = (&self.document, &mut self.driver) else {
            return Err("the node has yet to be told what it is for; try again".to_owned());
        };
        if document.removing {
            return Err("the node is on its way out; try again".to_owned());
        }
        let context = NodeContext::new(Arc::clone(&self.hands), document);
        match guarded(CHECK_DEADLINE, driver.command(&context, words)).await {
            Ok(Ok(spec)) => spec.problem().map_or(Ok(spec), Err),
            Ok(Err(error)) => Err(Failure::from(error).message),
            Err(broken) => {
                let failure = self.broken("prepare a command", broken);
                if self.driver.is_none() {
                    self.failed(&failure);
                }
                Err(failure.message)
            }
        }
    }

    async fn apply(&mut self, context: &NodeContext, document: &NodeDocument) -> Result<Applied, Failure> {
        if self.driver.as_ref().is_none_or(|(slug, _)| *slug != document.type_slug) {
            let driver = self.drivers.make(&document.type_slug).ok_or_else(|| {
                Failure::lasting(format!(
                    "this agent's program has no driver for type `{}`",
                    document.type_slug
                ))
            })?;
            self.driver = Some((document.type_slug.clone(), driver));
        }
        let Some((_, driver)) = &mut self.driver else { return Ok(Applied::default()) };
        if !document.removing {
            let work = guarded(APPLY_DEADLINE, driver.apply(context, document)).await;
            return work.map_err(|broken| self.broken("apply", broken))?.map_err(Failure::from);
        }
        let work = guarded(APPLY_DEADLINE, driver.remove(context)).await;
        work.map_err(|broken| self.broken("remove", broken))??;
        let stopped = self.supervisor.stop_all().await;
        stopped.map_err(|error| Failure::passing(format!("stop the services: {error}")))?;
        Ok(Applied::default())
    }

    fn applied(&mut self, document: &NodeDocument, applied: Applied) {
        let now = Instant::now();
        self.apply_at = None;
        self.backoff.reset();
        self.report.errors = applied.errors;
        if self.report.applied_digest != document.digest {
            (self.applied_since, self.was_healthy) = (now, false);
        }
        self.report.applied_generation = document.generation;
        self.report.applied_digest.clone_from(&document.digest);
        self.report.removed = document.removing;
        (self.check_at, self.observe_at) = (Some(now), now);
        if document.removing {
            self.check_at = None;
            self.report.message = "removed".to_owned();
            self.report.last_lines = self.logs.lines(&LAST_LINES).map_or_else(
                |error| {
                    tracing::warn!(%error, "the last lines of the logs are lost");
                    Vec::new()
                },
                |(lines, _)| lines,
            );
        }
    }

    fn failed(&mut self, failure: &Failure) {
        tracing::warn!(message = failure.message, "cannot apply the document");
        self.report.health = Health::Unhealthy;
        self.report.message.clone_from(&failure.message);
        self.check_at = None;
        self.apply_at = failure.passing.then(|| Instant::now() + self.backoff.wait());
    }

    async fn check(&mut self, context: &NodeContext) {
        let Some((_, driver)) = &mut self.driver else { return };
        let (health, mut message) = match guarded(CHECK_DEADLINE, driver.health(context)).await {
            Ok(found) => (found.health, found.message),
            Err(broken) => {
                let failure = self.broken("check the service", broken);
                if self.driver.is_none() {
                    return self.failed(&failure);
                }
                (Health::Unhealthy, failure.message)
            }
        };
        let now = Instant::now();
        let patience = self.driver.as_ref().map_or(PATIENCE, |(_, driver)| driver.patience());
        let patient = !self.was_healthy && now - self.applied_since < patience;
        let health = if health == Health::Unhealthy && patient { Health::Starting } else { health };
        if health == Health::Healthy {
            self.was_healthy = true;
        } else {
            for trouble in self.supervisor.troubles() {
                message = if message.is_empty() { trouble } else { format!("{message}; {trouble}") };
            }
        }
        if health != self.report.health {
            tracing::info!(?health, message, "health changed");
            self.observe_at = now;
        }
        (self.report.health, self.report.message) = (health, message);
        let pace = match health {
            Health::Healthy => CALM,
            _ if now - self.applied_since < PATIENCE || self.was_healthy => EAGER,
            _ => TIRED,
        };
        if self.observe_at <= now {
            self.observe(context).await;
        }
        if self.check_at.is_some() {
            self.check_at = Some(Instant::now() + pace);
        }
    }

    async fn observe(&mut self, context: &NodeContext) {
        let Some((_, driver)) = &mut self.driver else { return };
        // What starts has news more often.
        let pause = if self.report.health == Health::Starting { TIRED } else { OBSERVE };
        self.observe_at = Instant::now() + pause;
        match guarded(CHECK_DEADLINE, driver.observe(context)).await {
            Ok(facts) => self.report.facts = facts,
            Err(broken) => {
                let failure = self.broken("observe the node", broken);
                if self.driver.is_none() {
                    self.failed(&failure);
                }
            }
        }
    }

    /// A driver that panicked is dropped, for nobody knows what state it is in; the document is applied by a new one.
    fn broken(&mut self, call: &str, broken: Broken) -> Failure {
        match broken {
            Broken::Late(deadline) => {
                Failure::passing(format!("{call}: the driver has not ended in {deadline:?}"))
            }
            Broken::Panicked(message) => {
                self.driver = None;
                Failure::passing(format!("{call}: the driver panicked: {message}"))
            }
        }
    }
}

struct Failure {
    message: String,
    /// Whether to try again.
    passing: bool,
}

impl Failure {
    fn passing(message: String) -> Self {
        Self { message, passing: true }
    }

    fn lasting(message: String) -> Self {
        Self { message, passing: false }
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        match &error {
            DriverError::Document(message) => Self::lasting(message.clone()),
            DriverError::Effect { .. } => {
                let source = error.source().map_or_else(String::new, |source| format!(": {source}"));
                Self::passing(format!("{error}{source}"))
            }
        }
    }
}

enum Broken {
    Late(Duration),
    Panicked(String),
}

/// Runs a driver's call so that neither a panic nor an endless wait in it takes the agent along.
async fn guarded<T>(deadline: Duration, call: impl Future<Output = T>) -> Result<T, Broken> {
    match tokio::time::timeout(deadline, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(panic)) => Err(Broken::Panicked(panic_message(panic.as_ref()))),
        Err(_) => Err(Broken::Late(deadline)),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}
