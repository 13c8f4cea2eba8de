//! The `init` engine: process 1 of a container.
//!
//! It runs the agent and starts it again when it dies, so that services outlive their agent as they do without a
//! container; it reaps processes that lost their parent, and ends everything when the container is stopped.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::registry::complain;
use crate::service::OWN_PROGRAM;

/// The name `metapaas engine` knows this by.
pub const ENGINE: &str = "init";

const FIRST_RESTART: Duration = Duration::from_millis(100);
const LONGEST_RESTART: Duration = Duration::from_secs(30);
/// An agent that ran for this long has started well.
const STEADY: Duration = Duration::from_secs(10);
/// How long services may take to end. Less than what a container's engine gives the whole.
pub const GRACE: Duration = Duration::from_secs(8);

/// Runs this program with `arguments` until it is told to end.
pub fn engine(arguments: Vec<OsString>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(serve(&arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("init: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &[OsString]) -> io::Result<()> {
    let mut children = signal(SignalKind::child())?;
    let mut stop =
        Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let mut backoff = Backoff::new(FIRST_RESTART, LONGEST_RESTART);
    loop {
        let began = Instant::now();
        let agent = std::process::Command::new(OWN_PROGRAM).arg0("metapaas").args(arguments).spawn()?;
        let agent = Pid::from_child(&agent);
        let ended = loop {
            if let Some(status) = reap(agent)? {
                break status;
            }
            tokio::select! {
                _ = children.recv() => {}
                () = stop.asked() => return end(agent, &mut children).await,
            }
        };
        if began.elapsed() >= STEADY {
            backoff.reset();
        }
        let pause = backoff.wait();
        complain(&format!(
            "init: the agent ended ({ended:?}); it is started again in {:.1} s",
            pause.as_secs_f64()
        ));
        let again = Instant::now() + pause;
        loop {
            reap(agent)?;
            tokio::select! {
                () = tokio::time::sleep_until(again) => break,
                _ = children.recv() => {}
                () = stop.asked() => return end(agent, &mut children).await,
            }
        }
    }
}

struct Stop {
    terminate: Signals,
    interrupt: Signals,
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The agent goes first: it would start again what is ended under it.
async fn end(agent: Pid, children: &mut Signals) -> io::Result<()> {
    let deadline = Instant::now() + GRACE;
    tell(agent, Signal::TERM);
    let gone = async {
        while reap(agent)?.is_none() && is_there(agent) {
            children.recv().await;
        }
        Ok::<(), io::Error>(())
    };
    if let Ok(ended) = tokio::time::timeout_at(deadline, gone).await {
        ended?;
    }
    for signal in [Signal::TERM, Signal::KILL] {
        for process in others()? {
            tell(process, signal);
        }
        let empty = async {
            while !others()?.is_empty() {
                children.recv().await;
                reap(agent)?;
            }
            Ok::<(), io::Error>(())
        };
        if let Ok(ended) = tokio::time::timeout_at(deadline, empty).await {
            return ended;
        }
    }
    Ok(())
}

/// A process that has ended meanwhile is fine.
fn tell(process: Pid, signal: Signal) {
    let _ = kill_process(process, signal);
}

fn is_there(process: Pid) -> bool {
    rustix::process::test_kill_process(process).is_ok()
}

/// Collects all that have ended; answers how `agent` did, when it is among them.
pub(crate) fn reap(agent: Pid) -> io::Result<Option<WaitStatus>> {
    let mut found = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == agent => found = Some(status),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(found),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Every other process of this process id namespace.
fn others() -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        found.extend(pid.filter(|pid| *pid != getpid()));
    }
    Ok(found)
}
