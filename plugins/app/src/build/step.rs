//! Running a program of a build to its end: its lines go to the log, what it takes is limited.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;

use super::log::Log;

/// How often the room that a build takes is looked at.
const MEASURE: Duration = Duration::from_secs(1);
/// The longest line that is read as one.
const LINE: u64 = 64 * 1024;

/// Runs `command`, which tenants know as `name`; fails when it does, or when `room` grows beyond `most_mb`. The message
/// ends with its last words.
pub(super) async fn run(
    mut command: Command,
    name: &str,
    log: &Log,
    room: &Path,
    most_mb: u64,
) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let lines = async {
        let (_, last) = tokio::join!(copy(output, log), copy(errors, log));
        last
    };
    let ended = async {
        let (last, status) = tokio::join!(lines, child.wait());
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) if is_of_a_large_file(status) => {
                Err(format!("{name} wrote a file of more than {most_mb} MiB"))
            }
            Ok(status) => Err(format!("{name} ended with {status}{last}")),
            Err(error) => Err(format!("{name}: {error}")),
        }
    };
    tokio::select! {
        ended = ended => ended,
        () = outgrown(room, most_mb) => Err(format!("the build takes more than {most_mb} MiB on disk")),
    }
}

/// Whether a program was ended for the size of a file; npm and shells tell of a signal by a number above 128.
fn is_of_a_large_file(status: ExitStatus) -> bool {
    let signal = Signal::XFSZ.as_raw();
    status.signal() == Some(signal) || status.code() == Some(128 + signal)
}

/// The output of `command`, which is short.
pub(super) async fn output(mut command: Command) -> Result<Vec<u8>, String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| format!("{name} cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(errors.lines().last().unwrap_or("it failed without a word").to_owned())
}

/// Copies lines to the log; answers the first that says what was fatal, or the last that says anything, for a
/// message.
async fn copy(from: Option<impl AsyncRead + Unpin>, log: &Log) -> String {
    let Some(from) = from else { return String::new() };
    let mut reader = BufReader::new(from);
    let (mut last, mut has_worse) = (String::new(), false);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        log.line(text.trim_end());
        let is_worse = ["fatal:", "error:", "ERROR:", "npm error"].iter().any(|word| text.starts_with(word))
            // ssh says this before git says that something is fatal.
            || ["Permission denied (", "Host key verification failed"].iter().any(|word| text.contains(word));
        if !has_worse && !text.trim().is_empty() {
            has_worse |= is_worse;
            last = format!(": {}", text.trim().chars().take(300).collect::<String>());
        }
    }
    last
}

/// Returns when `room` takes more than that.
async fn outgrown(room: &Path, most_mb: u64) {
    loop {
        tokio::time::sleep(MEASURE).await;
        let place = room.to_owned();
        let measured = tokio::task::spawn_blocking(move || size(&place)).await.unwrap_or_default();
        if measured >> 20 >= most_mb {
            return;
        }
    }
}

/// What the files below a folder take.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
