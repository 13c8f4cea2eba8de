//! The `command` engine: runs a program and takes care that nothing that it starts outlives it or the agent.
//!
//! Standard input is a pipe that the agent holds. When it closes, or the program has ended, all that the program has
//! started is ended: orphans come to this process, wherever they hide, since it is their subreaper.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, WaitStatus, getpid, set_child_subreaper, setsid};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::init::reap;
use crate::launch::name_of;
use crate::process::{NODE_VARIABLE, SERVICE_VARIABLE, end_all};
use crate::registry::complain;

/// The name `metapaas engine` knows this by.
pub(crate) const ENGINE: &str = "command";

/// Runs `GRACE_SECONDS -- PROGRAM ARGUMENT...`, and answers its exit code, or 128 and the signal that ended it.
pub(crate) fn engine(arguments: Vec<OsString>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(keep(&arguments))) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("command: {error}"));
            ExitCode::from(126)
        }
    }
}

async fn keep(arguments: &[OsString]) -> io::Result<u8> {
    let usage = || io::Error::other("usage: metapaas engine command GRACE_SECONDS -- PROGRAM ARGUMENT...");
    let [grace, dashes, program, rest @ ..] = arguments else { return Err(usage()) };
    let grace = grace.to_str().and_then(|grace| grace.parse().ok()).map(Duration::from_secs);
    let Some(grace) = grace.filter(|_| dashes == "--") else { return Err(usage()) };
    let variable = |name| std::env::var(name).map_err(io::Error::other);
    let node: Uuid = variable(NODE_VARIABLE)?.parse().map_err(io::Error::other)?;
    let mark = variable(SERVICE_VARIABLE)?;
    // A session of its own: Ctrl-C of whoever runs the agent by hand is not meant for it.
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    let mut children = signal(SignalKind::child())?;
    let mut lifeline = Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let main = match start(program, rest) {
        Ok(main) => main,
        Err(error) => {
            complain(&format!("{} cannot be started: {error}", program.display()));
            return Ok(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    let mut nothing = [0; 1];
    let (code, grace) = loop {
        if let Some(status) = reap(main)? {
            break (code(status), Duration::ZERO);
        }
        tokio::select! {
            _ = children.recv() => {}
            // Nobody writes to it, so this is its end.
            _ = lifeline.read(&mut nothing) => break (143, grace),
        }
    };
    end_all(node, Some(&mark), &[], grace).await?;
    Ok(code)
}

fn start(program: &OsStr, arguments: &[OsString]) -> io::Result<Pid> {
    let mut command = std::process::Command::new(program);
    let child = command.arg0(name_of(program)).args(arguments).stdin(Stdio::null()).spawn()?;
    Ok(Pid::from_child(&child))
}

fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(126)
}
