//! What is linked into the program: [`Drivers`] by type, [`Engines`] by name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::driver::Driver;
use crate::{command, init, launch};

/// The drivers of the types that this program can serve, by the type's slug.
#[derive(Clone, Debug, Default)]
pub struct Drivers {
    makers: BTreeMap<&'static str, fn() -> Box<dyn Driver>>,
}

impl Drivers {
    /// No drivers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the driver of a type; a later one of the same slug takes its place.
    #[must_use]
    pub fn with(mut self, slug: &'static str, make: fn() -> Box<dyn Driver>) -> Self {
        self.makers.insert(slug, make);
        self
    }

    /// A new driver for the type, if it has one.
    pub fn make(&self, slug: &str) -> Option<Box<dyn Driver>> {
        self.makers.get(slug).map(|make| make())
    }

    /// The slugs, sorted.
    pub fn slugs(&self) -> impl Iterator<Item = &'static str> {
        self.makers.keys().copied()
    }
}

/// A service program that is built into the executable. It is handed the arguments after its name.
pub type Engine = fn(Vec<OsString>) -> ExitCode;

/// The built-in service programs, run as `metapaas engine NAME ARGUMENT...`. The program must hand over to
/// [`Engines::run`] before it starts threads or reads settings: the agent starts everything through it.
#[derive(Clone, Debug)]
pub struct Engines {
    engines: BTreeMap<&'static str, Engine>,
}

impl Default for Engines {
    fn default() -> Self {
        Self {
            engines: BTreeMap::from([
                (launch::ENGINE, launch::engine as Engine),
                (init::ENGINE, init::engine as Engine),
                (command::ENGINE, command::engine as Engine),
            ]),
        }
    }
}

impl Engines {
    /// Only the framework's own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an engine; a later one of the same name takes its place.
    #[must_use]
    pub fn with(mut self, name: &'static str, engine: Engine) -> Self {
        self.engines.insert(name, engine);
        self
    }

    /// Runs an engine until it ends. An unknown name is exit code 2.
    pub fn run(&self, name: &str, arguments: Vec<OsString>) -> ExitCode {
        if let Some(engine) = self.engines.get(name) {
            return engine(arguments);
        }
        let known: Vec<&str> = self.engines.keys().copied().collect();
        complain(&format!("no engine is named `{name}`; this program has {}", known.join(", ")));
        ExitCode::from(2)
    }
}

/// One line on standard error, which for a service is its log.
pub(crate) fn complain(message: &str) {
    // There is nobody to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "metapaas: {message}");
}
