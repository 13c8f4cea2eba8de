//! Keeps services running: starts them, restarts them with backoff when they die, adopts those that an earlier agent
//! started, restarts those whose spec changed.
//!
//! What should run is on disk (`services/<name>.json`), as is what runs (`run/<name>.json`, see [`crate::launch`]).
//! Each service has one task that brings the second in line with the first. When the agent ends, services go on.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::files;
use crate::launch::{self, Launch};
use crate::process::{NODE_VARIABLE, Process, ProcessRecord, SERVICE_VARIABLE, end_all};
use crate::service::{OWN_PROGRAM, Program, ServiceSpec, valid_name};

/// A service that ran for this long has started well: the next restart is quick again.
const STEADY: Duration = Duration::from_secs(10);
const FIRST_RESTART: Duration = Duration::from_millis(100);
const LONGEST_RESTART: Duration = Duration::from_secs(30);

/// Where the services of a node are written down.
#[derive(Clone, Debug)]
pub struct ServiceFiles {
    directory: PathBuf,
}

impl ServiceFiles {
    /// The files in a node's directory; makes the folders.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn open(directory: &Path) -> io::Result<Self> {
        for name in ["services", "run", "log", "work"] {
            files::private_directory(&directory.join(name))?;
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where it is written that a service should run.
    pub fn spec(&self, name: &str) -> PathBuf {
        self.directory.join("services").join(format!("{name}.json"))
    }

    /// Where its process is written down.
    pub fn record(&self, name: &str) -> PathBuf {
        self.directory.join("run").join(format!("{name}.json"))
    }

    /// Names of services that should run, sorted.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn wanted(&self) -> io::Result<BTreeSet<String>> {
        names(&self.directory.join("services"))
    }

    /// Names of services that have a process on record, running or not, sorted.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn recorded(&self) -> io::Result<BTreeSet<String>> {
        names(&self.directory.join("run"))
    }
}

/// Keeps the services of one node running. Clones are the same supervisor.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
    services: Arc<Mutex<BTreeMap<String, Service>>>,
    changes: watch::Receiver<u64>,
}

struct Shared {
    directory: PathBuf,
    node: Uuid,
    files: ServiceFiles,
    change: watch::Sender<u64>,
}

struct Service {
    wanted: watch::Sender<Option<Wanted>>,
    state: watch::Receiver<State>,
}

#[derive(Clone)]
struct Wanted {
    spec: ServiceSpec,
    digest: String,
}

#[derive(Clone, Default)]
struct State {
    acted: Acted,
    trouble: Option<String>,
    /// How often it ended by itself, or could not be started, since it is wanted as it is.
    failures: u32,
}

#[derive(Clone, Default, PartialEq, Eq)]
enum Acted {
    #[default]
    Nothing,
    Started(String),
    Stopped,
}

impl Supervisor {
    /// A supervisor for the node in `directory`; nothing is started or adopted yet.
    ///
    /// # Errors
    /// When the folders of the node cannot be made.
    pub fn new(directory: &Path, node: Uuid) -> io::Result<Self> {
        let files = ServiceFiles::open(directory)?;
        let (change, changes) = watch::channel(0);
        let shared = Shared { directory: directory.to_owned(), node, files, change };
        Ok(Self { shared: Arc::new(shared), services: Arc::default(), changes })
    }

    /// Runs what was written down by an earlier agent, and ends what no longer should run.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn resume(&self) -> io::Result<()> {
        let wanted = self.shared.files.wanted()?;
        for name in &wanted {
            match read_spec(&self.shared.files.spec(name)) {
                Ok(spec) => self.set(name, spec),
                // It keeps running as it is; the driver writes a good spec with the next document.
                Err(error) => tracing::error!(service = name, %error, "cannot read the service"),
            }
        }
        for name in self.shared.files.recorded()?.difference(&wanted) {
            self.set(name, None);
        }
        Ok(())
    }

    /// Runs the service as its spec file says; returns when an earlier process has ended and a new one was started,
    /// or nothing needed to be done.
    ///
    /// # Errors
    /// When the spec cannot be read.
    pub async fn run(&self, name: &str) -> io::Result<()> {
        let Some(wanted) = read_spec(&self.shared.files.spec(name))? else { return self.stop(name).await };
        let goal = Acted::Started(wanted.digest.clone());
        self.settle(name, Some(wanted), &goal).await
    }

    /// Ends the service; returns when none of its processes is left.
    ///
    /// # Errors
    /// When its task has ended, which only happens when the agent ends.
    pub async fn stop(&self, name: &str) -> io::Result<()> {
        self.settle(name, None, &Acted::Stopped).await
    }

    /// Ends every service that is wanted or recorded.
    ///
    /// # Errors
    /// As [`Supervisor::stop`].
    pub async fn stop_all(&self) -> io::Result<()> {
        let mut names = self.shared.files.wanted()?;
        names.extend(self.shared.files.recorded()?);
        for name in names {
            files::remove_optional(&self.shared.files.spec(&name))?;
            self.stop(&name).await?;
        }
        Ok(())
    }

    /// Changes whenever a service starts or dies.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// What is wrong with services, a sentence each; empty when all run.
    pub fn troubles(&self) -> Vec<String> {
        self.services().values().filter_map(|service| service.state.borrow().trouble.clone()).collect()
    }

    /// How often a service ended by itself, or could not be started, since it was last asked for in another form.
    pub fn failures(&self, name: &str) -> u32 {
        self.services().get(name).map_or(0, |service| service.state.borrow().failures)
    }

    async fn settle(&self, name: &str, wanted: Option<Wanted>, goal: &Acted) -> io::Result<()> {
        self.set(name, wanted);
        let state = self.services().get(name).map(|service| service.state.clone());
        let Some(mut state) = state else { return Ok(()) };
        match state.wait_for(|state| state.acted == *goal).await {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("the agent is ending")),
        }
    }

    fn set(&self, name: &str, wanted: Option<Wanted>) {
        let mut services = self.services();
        if let Some(service) = services.get(name) {
            service.wanted.send_replace(wanted);
            return;
        }
        let (wanted, wanted_receiver) = watch::channel(wanted);
        let (state_sender, state) = watch::channel(State::default());
        let task = Task {
            shared: Arc::clone(&self.shared),
            name: name.to_owned(),
            wanted: wanted_receiver,
            state: state_sender,
            started_from: None,
        };
        tokio::spawn(task.run());
        services.insert(name.to_owned(), Service { wanted, state });
    }

    fn services(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Supervisor")
            .field("directory", &self.shared.directory)
            .finish_non_exhaustive()
    }
}

/// Brings one service in line with what is wanted, for as long as the agent runs.
struct Task {
    shared: Arc<Shared>,
    name: String,
    wanted: watch::Receiver<Option<Wanted>>,
    state: watch::Sender<State>,
    /// What the running process was started from, to end it the way it wants to be ended.
    started_from: Option<ServiceSpec>,
}

enum Turn {
    /// Look again.
    Again,
    /// Nothing runs and nothing should.
    Rest,
    /// It runs as it should; how it ends is told for a child of this agent.
    Runs(Process, Option<oneshot::Receiver<String>>),
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_RESTART, LONGEST_RESTART);
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let pause = match self.turn(wanted.as_ref()).await {
                Ok(Turn::Again) => continue,
                Ok(Turn::Rest) => {
                    self.show(Acted::Stopped, None);
                    None
                }
                Ok(Turn::Runs(process, ending)) => {
                    let Some(wanted) = wanted else { continue };
                    self.show(Acted::Started(wanted.digest), None);
                    self.started_from = Some(wanted.spec);
                    let began = Instant::now();
                    let ended = tokio::select! {
                        ended = process.exited() => ended,
                        changed = self.wanted.changed() => match changed {
                            Ok(()) => continue,
                            Err(_) => return,
                        },
                    };
                    if began.elapsed() >= STEADY {
                        backoff.reset();
                    }
                    let how = match (ended, ending) {
                        (Err(error), _) => format!("cannot be watched: {error}"),
                        (Ok(()), Some(ending)) => ending.await.unwrap_or_else(|_| "ended".to_owned()),
                        (Ok(()), None) => "ended".to_owned(),
                    };
                    if self.runs_after_all() {
                        continue;
                    }
                    Some(self.trouble(&how, &mut backoff))
                }
                Err(error) => {
                    if let Some(wanted) = wanted {
                        self.state.send_modify(|state| state.acted = Acted::Started(wanted.digest));
                    }
                    Some(self.trouble(&format!("cannot be started or ended: {error}"), &mut backoff))
                }
            };
            let pause = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => {}
                changed = self.wanted.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn turn(&mut self, wanted: Option<&Wanted>) -> io::Result<Turn> {
        let path = self.shared.files.record(&self.name);
        let (record, process) = {
            // Under the lock, a launch that an earlier agent began has either written its record or not begun.
            let _lock = files::lock(&launch::lock_path(&path)).await?;
            let record = ProcessRecord::read(&path);
            let process = record.as_ref().map(ProcessRecord::adopt).transpose()?.flatten();
            (record, process)
        };
        match (wanted, process) {
            (Some(wanted), Some(process)) if record.is_some_and(|record| record.digest == wanted.digest) => {
                Ok(Turn::Runs(process, None))
            }
            (wanted, Some(process)) => {
                let spec = self.started_from.as_ref().or(wanted.map(|wanted| &wanted.spec));
                let (signal, grace) =
                    spec.map_or((Signal::TERM, STEADY), |spec| (spec.signal(), spec.grace()));
                tracing::info!(service = self.name, pid = process.pid(), "ending the service");
                process.terminate(signal, grace).await?;
                Ok(Turn::Again)
            }
            (wanted, None) => {
                // What a dead service left behind may hold its port or its files.
                end_all(self.shared.node, Some(&self.name), &[], Duration::ZERO).await?;
                match wanted {
                    Some(wanted) => self.start(wanted),
                    None => {
                        files::remove_optional(&path)?;
                        Ok(Turn::Rest)
                    }
                }
            }
        }
    }

    fn start(&self, wanted: &Wanted) -> io::Result<Turn> {
        let directory = &self.shared.directory;
        let mut arguments = Vec::new();
        let program = match &wanted.spec.program {
            Program::Engine(name) => {
                arguments.extend(["engine".into(), OsString::from(name)]);
                OWN_PROGRAM.into()
            }
            Program::Path(path) => path.into(),
        };
        arguments.extend(wanted.spec.arguments.iter().map(OsString::from));
        let work = directory.join("work");
        let mut environment: BTreeMap<OsString, OsString> = BTreeMap::from([
            ("PATH".into(), launch::DEFAULT_PATH.into()),
            ("HOME".into(), work.clone().into()),
        ]);
        environment.extend(wanted.spec.environment.iter().map(|(name, value)| (name.into(), value.into())));
        environment.insert(NODE_VARIABLE.into(), self.shared.node.to_string().into());
        environment.insert(SERVICE_VARIABLE.into(), self.name.clone().into());
        let mut child = Launch {
            launcher: OWN_PROGRAM.into(),
            record: self.shared.files.record(&self.name),
            wanted: Some(self.shared.files.spec(&self.name)),
            digest: wanted.digest.clone(),
            program,
            arguments,
            environment,
            directory: work,
            log: directory.join("log").join(format!("{}.log", self.name)),
        }
        .spawn()?;
        let process = Process::of_child(&child)?;
        tracing::info!(service = self.name, pid = process.pid(), "started the service");
        let (tell, ending) = oneshot::channel();
        // A task of its own reaps it, whatever this one is doing then.
        tokio::spawn(async move {
            let how = match child.wait().await {
                Ok(status) => format!("ended with {status}"),
                Err(error) => format!("ended: {error}"),
            };
            let _ = tell.send(how);
        });
        Ok(Turn::Runs(process, Some(ending)))
    }

    /// Whether the recorded process runs although the one that was watched ended: then that one was a launch that
    /// found the service running.
    fn runs_after_all(&self) -> bool {
        let record = ProcessRecord::read(&self.shared.files.record(&self.name));
        record.is_some_and(|record| matches!(record.adopt(), Ok(Some(_))))
    }

    fn trouble(&self, how: &str, backoff: &mut Backoff) -> Duration {
        let pause = backoff.wait();
        tracing::warn!(service = self.name, ?pause, "the service {how}");
        let trouble =
            format!("service {} {how}; it is started again in {:.1} s", self.name, pause.as_secs_f64());
        self.state.send_modify(|state| {
            state.trouble = Some(trouble);
            state.failures = state.failures.saturating_add(1);
        });
        self.shared.change.send_modify(|count| *count += 1);
        pause
    }

    fn show(&self, acted: Acted, trouble: Option<String>) {
        self.state.send_modify(|state| {
            let failures = if state.acted == acted { state.failures } else { 0 };
            *state = State { acted, trouble, failures };
        });
        self.shared.change.send_modify(|count| *count += 1);
    }
}

fn read_spec(path: &Path) -> io::Result<Option<Wanted>> {
    let Some(bytes) = files::read_optional(path)? else { return Ok(None) };
    let spec =
        serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some(Wanted { spec, digest: launch::digest(&bytes) }))
}

fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        // Temporary files of an interrupted write begin with a dot, which no service name has.
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json"))
            && valid_name(name)
        {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}
