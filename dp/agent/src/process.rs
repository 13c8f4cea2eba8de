//! Processes that may outlive whoever started them: how they are written down, found again and ended, without ever
//! touching a stranger that got the same process id.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use uuid::Uuid;

use crate::files;

/// Environment variable that every process of a node carries: the node's id.
pub const NODE_VARIABLE: &str = "METAPAAS_NODE";
/// Environment variable that every process of a service carries: the service's name.
pub const SERVICE_VARIABLE: &str = "METAPAAS_SERVICE";

/// A process, written down so that it can be found again after whoever started it has died.
///
/// The start time and the boot make the process id unambiguous: a later process with the same id has another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// The process id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// The boot it started in.
    pub boot_id: String,
    /// Hash of what it was started from; empty for an agent.
    pub digest: String,
}

impl ProcessRecord {
    /// This very process.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of_self(digest: &str) -> io::Result<Self> {
        let pid = rustix::process::getpid();
        let stat = Stat::read(pid)?.ok_or(io::ErrorKind::NotFound)?;
        let pid = pid.as_raw_nonzero().get();
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()?, digest: digest.to_owned() })
    }

    /// Reads a record. A missing one and a damaged one both say that nothing is known.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Writes the record, atomically.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        files::write_atomic(path, &serde_json::to_vec(self)?, 0o600)
    }

    /// The process, when it still runs.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn adopt(&self) -> io::Result<Option<Process>> {
        if self.boot_id != boot_id()? {
            return Ok(None);
        }
        match Pid::from_raw(self.pid) {
            Some(pid) => Process::open(pid, self.start_time),
            None => Ok(None),
        }
    }
}

/// A running process, held by a file descriptor: signals reach it or nobody.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    fd: OwnedFd,
}

impl Process {
    /// The process with this id and start time; `None` when it has ended, also when nobody has reaped it yet.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn open(pid: Pid, start_time: u64) -> io::Result<Option<Self>> {
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            // A thread's id, which is nobody we know: EINVAL, from newer kernels ENOENT.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The start time is read after the descriptor is held: if it is right, the descriptor is the right process.
        match Stat::read(pid)? {
            Some(stat) if stat.start_time == start_time && !stat.dead() => Ok(Some(Self { pid, fd })),
            _ => Ok(None),
        }
    }

    /// A child of this process that nobody has waited for yet, running or not.
    ///
    /// # Errors
    /// When it was waited for already.
    pub fn of_child(child: &tokio::process::Child) -> io::Result<Self> {
        // Until it is waited for, its process id cannot be given to another.
        let pid =
            child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, fd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal. A process that has ended is fine.
    ///
    /// # Errors
    /// When the process may not be signalled.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended, whoever its parent is.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    #[expect(
        deprecated,
        reason = "its successor is unsafe; a borrowed descriptor keeps what this one asks for"
    )]
    pub async fn exited(&self) -> io::Result<()> {
        let fd = AsyncFd::with_interest(self.fd.as_fd(), Interest::READABLE)?;
        fd.readable().await?.retain_ready();
        Ok(())
    }

    /// Asks it to end with `signal`; after `grace` it is killed. Returns when it has ended.
    ///
    /// # Errors
    /// When the process may not be signalled.
    pub async fn terminate(&self, signal: Signal, grace: Duration) -> io::Result<()> {
        self.signal(signal)?;
        if tokio::time::timeout(grace, self.exited()).await.is_err() {
            self.signal(Signal::KILL)?;
            self.exited().await?;
        }
        Ok(())
    }
}

/// Processes that carry the markers of a node (and of one of its services), and those in `records`, with all their
/// descendants. This process is never among them.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn belonging(node: Uuid, service: Option<&str>, records: &[ProcessRecord]) -> io::Result<Vec<Process>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) =
            entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        if let Some(stat) = Stat::read(pid)? {
            all.insert(pid.as_raw_nonzero().get(), (pid, stat));
        }
    }
    let boot = boot_id()?;
    let recorded = |pid: i32, stat: &Stat| {
        records
            .iter()
            .any(|record| record.pid == pid && record.start_time == stat.start_time && record.boot_id == boot)
    };
    let mut wanted: BTreeSet<i32> = all
        .iter()
        .filter(|(pid, (_, stat))| recorded(**pid, stat) || carries(**pid, node, service))
        .map(|(pid, _)| *pid)
        .collect();
    loop {
        let more: Vec<i32> = all
            .iter()
            .filter(|(pid, (_, stat))| wanted.contains(&stat.parent) && !wanted.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        wanted.extend(more);
    }
    wanted.remove(&rustix::process::getpid().as_raw_nonzero().get());
    let mut found = Vec::new();
    for (pid, stat) in wanted.iter().filter_map(|pid| all.get(pid)) {
        found.extend(Process::open(*pid, stat.start_time)?);
    }
    Ok(found)
}

/// Ends all of [`belonging`], also what they start meanwhile: SIGTERM, then SIGKILL after `grace`.
///
/// # Errors
/// When `/proc` cannot be read, a process may not be signalled, or some are still there after many kills.
pub async fn end_all(
    node: Uuid,
    service: Option<&str>,
    records: &[ProcessRecord],
    grace: Duration,
) -> io::Result<()> {
    let mut grace = grace;
    let mut quiet = 0;
    for _ in 0..100 {
        let processes = belonging(node, service, records)?;
        if processes.is_empty() {
            // A process that forks while the list is read can be missed once.
            quiet += 1;
            if quiet == 2 {
                return Ok(());
            }
            continue;
        }
        quiet = 0;
        let processes = if grace.is_zero() { freeze(node, service, records, processes)? } else { processes };
        for process in &processes {
            process.signal(if grace.is_zero() { Signal::KILL } else { Signal::TERM })?;
        }
        let ended = async {
            for process in &processes {
                process.exited().await?;
            }
            Ok::<(), io::Error>(())
        };
        match tokio::time::timeout(grace.max(Duration::from_millis(500)), ended).await {
            Ok(ended) => ended?,
            Err(_) => grace = Duration::ZERO,
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "processes of the node do not end"))
}

/// Stops processes until none is new, so that those which fork without end make no more while they are killed.
fn freeze(
    node: Uuid,
    service: Option<&str>,
    records: &[ProcessRecord],
    mut processes: Vec<Process>,
) -> io::Result<Vec<Process>> {
    let mut stopped = BTreeSet::new();
    loop {
        let mut is_new = false;
        for process in processes.iter().filter(|process| stopped.insert(process.pid())) {
            process.signal(Signal::STOP)?;
            is_new = true;
        }
        if !is_new {
            return Ok(processes);
        }
        // Each holds a file descriptor, and there may be hundreds.
        processes.clear();
        processes = belonging(node, service, records)?;
    }
}

/// Identifies the running system from one boot to the next.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

struct Stat {
    state: char,
    parent: i32,
    start_time: u64,
}

impl Stat {
    fn read(pid: Pid) -> io::Result<Option<Self>> {
        match fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        // The program's name stands in parentheses and may itself hold spaces and parentheses.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }

    /// A zombie has ended; only its parent has not looked yet.
    fn dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

fn carries(pid: i32, node: Uuid, service: Option<&str>) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let has = |entry: String| environment.split(|byte| *byte == 0).any(|part| part == entry.as_bytes());
    has(format!("{NODE_VARIABLE}={node}"))
        && service.is_none_or(|service| has(format!("{SERVICE_VARIABLE}={service}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn record_of(pid: u32) -> ProcessRecord {
        let pid = pid as i32;
        let start_time = Stat::read(Pid::from_raw(pid).unwrap()).unwrap().unwrap().start_time;
        ProcessRecord { pid, start_time, boot_id: boot_id().unwrap(), digest: String::new() }
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse_stat() {
        let rest = "S 7 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 4242 0";
        let stat = Stat::parse(&format!("5 (a) b) c) {rest}")).unwrap();
        assert_eq!((stat.state, stat.parent, stat.start_time), ('S', 7, 4242));
        assert!(Stat::parse("5 (a").is_none());
    }

    #[test]
    fn the_id_of_a_thread_is_nobody() {
        let found = std::thread::spawn(|| {
            let thread = rustix::thread::gettid();
            let start_time = Stat::read(thread).unwrap().unwrap().start_time;
            Process::open(thread, start_time).unwrap().is_none()
        });
        assert!(found.join().unwrap());
    }

    #[tokio::test]
    async fn a_reused_process_id_is_a_stranger() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let right = record_of(child.id());
        let earlier = ProcessRecord { start_time: right.start_time - 1, ..right.clone() };
        let other_boot = ProcessRecord { boot_id: "another".to_owned(), ..right.clone() };
        assert!(earlier.adopt().unwrap().is_none());
        assert!(other_boot.adopt().unwrap().is_none());
        let node = Uuid::new_v4();
        end_all(node, None, &[earlier, other_boot], Duration::ZERO).await.unwrap();
        assert!(child.try_wait().unwrap().is_none(), "a stranger was killed");
        end_all(node, None, std::slice::from_ref(&right), Duration::ZERO).await.unwrap();
        assert!(right.adopt().unwrap().is_none(), "a zombie counts as ended");
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn marked_processes_and_their_descendants_belong_to_the_node() {
        let node = Uuid::new_v4();
        let mut child = Command::new("sh")
            .args(["-c", "env -i sleep 60 & wait"])
            .env(NODE_VARIABLE, node.to_string())
            .env(SERVICE_VARIABLE, "web")
            .spawn()
            .unwrap();
        while belonging(node, None, &[]).unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(belonging(node, Some("web"), &[]).unwrap().len(), 2);
        assert_eq!(belonging(node, Some("other"), &[]).unwrap().len(), 0);
        end_all(node, None, &[], Duration::from_secs(3)).await.unwrap();
        assert!(child.wait().unwrap().code().is_none());
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_request_is_killed() {
        let mut child =
            Command::new("sh").args(["-c", "trap '' TERM; while :; do sleep 0.05; done"]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let process = record_of(child.id()).adopt().unwrap().unwrap();
        process.terminate(Signal::TERM, Duration::from_millis(100)).await.unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
