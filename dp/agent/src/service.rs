//! [`ServiceSpec`]: a program that should run on the node.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// The program that is running, even when its file has been replaced since.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// A program that should run on the node. A change of any part restarts it; nothing else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Lower-case letters, digits and dashes; unique on the node.
    pub name: String,
    /// What runs.
    pub program: Program,
    /// Its arguments, handed over as they are; there is no shell.
    pub arguments: Vec<String>,
    /// Its environment, beside `PATH`, `HOME` (the node's work directory) and the markers of the framework.
    pub environment: BTreeMap<String, String>,
    /// How it is asked to end.
    pub stop_signal: StopSignal,
    /// How long it may take to end before it is killed.
    pub grace_seconds: u32,
    /// Anything whose change must restart the service, e.g. a hash of its configuration file.
    pub restart_on: String,
}

/// What a service runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// A program that is built into the agent's own executable, see [`crate::Engines`].
    Engine(String),
    /// An absolute path, or a name that is looked for in `PATH`.
    Path(String),
}

/// The signal that asks a service to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, e.g. for PostgreSQL's fast shutdown.
    Interrupt,
    /// SIGQUIT.
    Quit,
}

impl ServiceSpec {
    /// A service without arguments that ends on SIGTERM within ten seconds.
    pub fn new(name: impl Into<String>, program: Program) -> Self {
        Self {
            name: name.into(),
            program,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            stop_signal: StopSignal::Terminate,
            grace_seconds: 10,
            restart_on: String::new(),
        }
    }

    /// A service that runs the built-in engine of this name.
    pub fn engine(name: impl Into<String>, engine: impl Into<String>) -> Self {
        Self::new(name, Program::Engine(engine.into()))
    }

    /// A service that runs a program of the system.
    pub fn program(name: impl Into<String>, program: impl Into<String>) -> Self {
        Self::new(name, Program::Path(program.into()))
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Restarts the service when this text changes.
    #[must_use]
    pub fn restart_on(mut self, text: impl Into<String>) -> Self {
        self.restart_on = text.into();
        self
    }

    /// Ends the service by this signal and gives it this long.
    #[must_use]
    pub fn stop_by(mut self, signal: StopSignal, grace_seconds: u32) -> Self {
        (self.stop_signal, self.grace_seconds) = (signal, grace_seconds);
        self
    }

    /// Why the spec cannot be started, if it cannot.
    pub(crate) fn problem(&self) -> Option<String> {
        if !valid_name(&self.name) {
            return Some(format!("service name `{}` may have only a-z, 0-9 and `-`, at most 63", self.name));
        }
        let texts = self.arguments.iter().chain(self.environment.values()).chain(self.environment.keys());
        let (Program::Engine(program) | Program::Path(program)) = &self.program;
        if program.is_empty() || texts.chain([program]).any(|text| text.contains('\0')) {
            return Some(format!("service `{}` has an empty program or a NUL character in it", self.name));
        }
        if self.environment.keys().any(|name| name.is_empty() || name.contains('=')) {
            return Some(format!("service `{}` has a malformed environment variable name", self.name));
        }
        None
    }

    pub(crate) fn signal(&self) -> Signal {
        match self.stop_signal {
            StopSignal::Terminate => Signal::TERM,
            StopSignal::Interrupt => Signal::INT,
            StopSignal::Quit => Signal::QUIT,
        }
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds.into())
    }
}

pub(crate) fn valid_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
