//! [`Context`]: where things are, and how children are run so that nothing outlives an interrupted command.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::error::Error;

/// How long a child that was told to end may take.
const GRACE: Duration = Duration::from_secs(10);
/// Between two looks at a child.
const TICK: Duration = Duration::from_millis(20);

/// The workspace and the signals that were caught.
#[derive(Debug)]
pub(crate) struct Context {
    /// The workspace's root.
    pub(crate) root: PathBuf,
    target: PathBuf,
    interrupted: Arc<AtomicBool>,
}

impl Context {
    /// Looks around and starts to listen for SIGINT and SIGTERM.
    pub(crate) fn new() -> Result<Self, Error> {
        // This program is <target>/<profile>/metapaas-xtask, wherever the caller put the target folder.
        let program = std::env::current_exe().map_err(Error::Locate)?;
        let target = program.ancestors().nth(2).unwrap_or(Path::new("target")).to_owned();
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().map_err(Error::Locate)?;
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(Error::Signals)?;
        }
        Ok(Self { root, target, interrupted })
    }

    /// A program that cargo built with the named profile folder (`debug` or `release`).
    pub(crate) fn built(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// A folder for what commands make besides cargo, in the target folder.
    pub(crate) fn made(&self, name: &str) -> PathBuf {
        self.target.join(name)
    }

    /// `cargo <arguments>` in the workspace's root.
    pub(crate) fn cargo<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // `cargo run` describes this package to us; build scripts that watch these variables would run again.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name_text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// Whether somebody asked us to stop.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Sleeps a moment, or says that we are to stop.
    pub(crate) fn tick(&self) -> Result<(), Error> {
        std::thread::sleep(TICK);
        if self.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Runs a command to its end; anything but exit code 0 is an error.
    pub(crate) fn run(&self, command: &mut Command) -> Result<(), Error> {
        let shown = shown(command);
        let child = self.start(command)?;
        self.finish(child, shown)
    }

    /// Runs a command, copies its standard output line by line, and answers the lines that `keep` wants.
    pub(crate) fn run_keeping(
        &self,
        command: &mut Command,
        keep: fn(&str) -> bool,
    ) -> (Vec<String>, Result<(), Error>) {
        let shown = shown(command);
        let mut child = match self.start(command.stdout(Stdio::piped())) {
            Ok(child) => child,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let (sender, kept) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line);
                    // Nobody reads our output any more; what the child says still counts.
                    let _ = writeln!(std::io::stdout(), "{line}");
                    if keep(&line) && sender.send(line.into_owned()).is_err() {
                        return;
                    }
                }
            });
        }
        let ended = self.finish(child, shown);
        // A stray grandchild may hold the pipe open for ever: what is there after a moment is what we take.
        let mut lines = Vec::new();
        while let Ok(line) = kept.recv_timeout(Duration::from_secs(1)) {
            lines.push(line);
        }
        (lines, ended)
    }

    /// Runs a short command and answers what it printed on standard output instead of showing it.
    pub(crate) fn run_quietly(&self, command: &mut Command) -> (String, Result<(), Error>) {
        let shown = shown(command);
        let mut child = match self.start(command.stdout(Stdio::piped())) {
            Ok(child) => child,
            Err(error) => return (String::new(), Err(error)),
        };
        let mut text = String::new();
        let read = child.stdout.take().map(|mut output| output.read_to_string(&mut text));
        let ended = self.finish(child, shown.clone());
        let read = read.transpose().map_err(|source| Error::Wait { command: shown, source });
        (text, ended.and(read.map(|_| ())))
    }

    /// Starts a command in a process group of its own, without standard input. The caller ends it.
    pub(crate) fn start(&self, command: &mut Command) -> Result<Child, Error> {
        let shown = shown(command);
        command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Start { command: shown, source })
    }

    fn finish(&self, mut child: Child, command: String) -> Result<(), Error> {
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(Error::Failed { command, status: status.to_string() }),
                Ok(None) => {}
                Err(source) => return Err(Error::Wait { command, source }),
            }
            if let Err(error) = self.tick() {
                end_group(&mut child);
                return Err(error);
            }
        }
    }
}

/// Ends a child that [`Context::start`] started, and what it started in its group.
pub(crate) fn end_group(child: &mut Child) {
    let Some(group) = pid(child) else { return };
    let _ = kill_process_group(group, Signal::TERM);
    if wait_at_most(child, GRACE).is_none() {
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait();
    }
}

/// Sends `signal` to the child alone and says whether it ended within `limit`.
pub(crate) fn end_with(child: &mut Child, signal: Signal, limit: Duration) -> bool {
    if let Some(pid) = pid(child) {
        let _ = kill_process(pid, signal);
    }
    wait_at_most(child, limit).is_some()
}

fn wait_at_most(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(TICK);
    }
    None
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
