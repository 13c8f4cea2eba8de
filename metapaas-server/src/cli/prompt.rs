//! Asking on the terminal: names as typed, passwords without showing them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::error::CliError;

const TERMINAL: &str = "/dev/tty";

/// The first line of standard input, for `--password-stdin`.
pub(super) fn password_of_stdin() -> Result<String, CliError> {
    passwords_of_stdin().map(|(first, _)| first)
}

/// The first two lines of standard input; the second may be missing.
pub(super) fn passwords_of_stdin() -> Result<(String, Option<String>), CliError> {
    let mut text = String::new();
    let read = io::stdin().lock().take(64 * 1024).read_to_string(&mut text);
    read.map_err(|source| CliError::File {
        doing: "cannot read",
        path: PathBuf::from("standard input"),
        source,
    })?;
    let mut lines = text.lines().map(str::to_owned);
    match lines.next().filter(|password| !password.is_empty()) {
        Some(password) => Ok((password, lines.next())),
        None => Err(CliError::Usage("standard input holds no password".into())),
    }
}

/// Asks for a line.
pub(super) async fn line(question: &str) -> Result<String, CliError> {
    ask(question, Echo::On).await
}

/// Asks for a password.
pub(super) async fn password(question: &str) -> Result<String, CliError> {
    ask(question, Echo::Off).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

async fn ask(question: &str, echo: Echo) -> Result<String, CliError> {
    let failed = |source| CliError::File { doing: "cannot use the terminal", path: TERMINAL.into(), source };
    let no_terminal =
        || CliError::Usage("there is no terminal to ask on; give --user and --password-stdin".into());
    if !io::stdin().is_terminal() {
        return Err(no_terminal());
    }
    let mut terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).map_err(|_| no_terminal())?;
    terminal.write_all(question.as_bytes()).map_err(failed)?;
    let quiet = if echo == Echo::Off { Some(Quiet::new(&terminal).map_err(failed)?) } else { None };
    let reader = terminal.try_clone().map_err(failed)?;
    // A thread of its own, since one that waits for a key would keep the program from ending after Ctrl-C.
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = BufReader::new(reader).read_line(&mut text);
        let _ = answer.send(read.map(|_| text));
    });
    let text = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted("interrupted".into())),
        text = answered => text.map_err(io::Error::other).and_then(|text| text).map_err(failed),
    };
    if quiet.is_some() {
        // The user's own line break was not shown.
        let _ = terminal.write_all(b"\n");
    }
    drop(quiet);
    let text = text?.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() { Err(CliError::Usage("nothing was entered".into())) } else { Ok(text) }
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn new(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &modes)?;
        Ok(Self { terminal: terminal.try_clone()?, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
