//! Starting a program that outlives its starter, never twice.
//!
//! The starter does not start the program itself but `metapaas engine launch`, which in one process takes the record's
//! lock, looks whether a recorded process still runs, writes itself down and then becomes the program (exec keeps
//! process id and start time). So whenever the program runs it is on record, whoever is killed at whatever moment:
//! a program killed before its record is written has not begun, and a second launch finds the first by the record.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use sha2::{Digest, Sha256};
use tokio::process::{Child, Command};

use crate::files;
use crate::process::ProcessRecord;

/// The name `metapaas engine` knows this by.
pub const ENGINE: &str = "launch";

/// Where programs are looked for when nothing else is said.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Exit code of a launch that found nothing to do: the program runs already, or is no longer wanted.
pub const NOTHING_TO_DO: u8 = 75;

/// A program to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The MetaPaaS program, for its `engine launch`.
    pub launcher: PathBuf,
    /// Where the process is written down. Beside it stands its lock, with the extension `launch`.
    pub record: PathBuf,
    /// A file that must still be there, and have [`Launch::digest`] as its [`digest`], for the program to be wanted.
    pub wanted: Option<PathBuf>,
    /// Kept in the record.
    pub digest: String,
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Where its output is appended.
    pub log: PathBuf,
}

impl Launch {
    /// Starts it, in a session of its own. The answer is the launching process, which becomes the program.
    ///
    /// # Errors
    /// When the log cannot be opened or no process can be made.
    pub fn spawn(&self) -> io::Result<Child> {
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.log)?;
        Command::new(&self.launcher)
            .arg0("metapaas")
            .args(["engine", ENGINE])
            .arg(&self.record)
            .arg(&self.digest)
            .arg(self.wanted.as_deref().unwrap_or(Path::new("-")))
            .arg("--")
            .arg(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }
}

/// The record's lock.
pub fn lock_path(record: &Path) -> PathBuf {
    record.with_extension("launch")
}

/// Hash of a file's content, as [`Launch::digest`] has it.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The `launch` engine: `RECORD DIGEST WANTED|- -- PROGRAM ARGUMENT...`. Returns only when nothing was started.
pub fn engine(arguments: Vec<OsString>) -> ExitCode {
    match become_program(&arguments) {
        Ok(()) => ExitCode::from(NOTHING_TO_DO),
        Err(message) => {
            crate::registry::complain(&format!("launch: {message}"));
            ExitCode::from(127)
        }
    }
}

fn become_program(arguments: &[OsString]) -> Result<(), String> {
    let [record, digest_wanted, wanted, dashes, program, rest @ ..] = arguments else {
        return Err("usage: metapaas engine launch RECORD DIGEST WANTED|- -- PROGRAM ARGUMENT...".to_owned());
    };
    if dashes != "--" {
        return Err("the program stands after `--`".to_owned());
    }
    let (record, digest_wanted) = (Path::new(record), digest_wanted.to_string_lossy());
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    // This process has its own session, so that neither Ctrl-C nor a closing terminal of the starter reaches it.
    rustix::process::setsid().map_err(|error| format!("begin a session: {error}"))?;
    let lock_path = lock_path(record);
    let _lock = loop {
        if let Some(lock) = files::try_lock(&lock_path).map_err(failed("lock the process record"))? {
            break lock;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    if let Some(earlier) = ProcessRecord::read(record)
        && earlier.adopt().map_err(failed("look for the recorded process"))?.is_some()
    {
        return Ok(());
    }
    if wanted != OsStr::new("-") {
        let content = files::read_optional(Path::new(wanted)).map_err(failed("read what is wanted"))?;
        if content.is_none_or(|content| digest(&content) != digest_wanted) {
            return Ok(());
        }
    }
    ProcessRecord::of_self(&digest_wanted)
        .and_then(|this| this.write(record))
        .map_err(failed("write the process record"))?;
    // The lock closes on exec, when the record is true.
    let error = std::process::Command::new(program).arg0(name_of(program)).args(rest).exec();
    Err(format!("start {}: {error}", program.display()))
}

/// A program that runs itself through `/proc/self/exe` shows a name that people know.
pub(crate) fn name_of(program: &OsStr) -> &OsStr {
    if program == crate::service::OWN_PROGRAM { OsStr::new("metapaas") } else { program }
}
