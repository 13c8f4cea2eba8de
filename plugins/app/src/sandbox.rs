//! Running what tenants wrote: as a user of its own, in a file system that has no more than it needs, within limits.
//!
//! Two steps in one process, so that the agent's record of it stays true. `app-run FILE` becomes `unshare`, which makes
//! new namespaces and becomes `app-inside FILE`: that one mounts what the app sees, changes into it, limits itself, gives
//! up its rights and becomes the app. Where the kernel gives no namespaces the app runs without, and its log says so;
//! as root it does not run then. A node that is a container needs none: it is the wall towards others. Towards the
//! platform's own files and processes [`rights`] are one in either case.

mod rights;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use metapaas_core::agent::launch::DEFAULT_PATH;
use metapaas_core::agent::process::{NODE_VARIABLE, SERVICE_VARIABLE};
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive, mount_remount};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::rights::Rights;

/// Folders of the system that have programs and what those read.
const PROGRAMS: [&str; 9] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "opt"];
/// Devices that do no harm.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Where an app finds itself.
pub(crate) const APP: &str = "/app";
/// What a process may have open.
const OPEN_FILES: u64 = 8192;
/// Memory that files in `/tmp` may take, in MiB.
const TMP_MB: u64 = 256;

/// What is to be run and what it may do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    /// The folder that is `/app`.
    pub(crate) app: PathBuf,
    /// Whether it may be written.
    pub(crate) is_writable: bool,
    /// More folders that may be written, and where they are seen.
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    /// An empty folder to build the root in.
    pub(crate) scratch: PathBuf,
    pub(crate) command: Vec<String>,
    /// The whole environment, but for `HOME` and what marks processes of a node.
    pub(crate) environment: BTreeMap<String, String>,
    /// The user that it runs as, where the platform may choose.
    pub(crate) user: u32,
    /// What a process may allocate.
    pub(crate) ram_mb: u64,
    /// What the user may run.
    pub(crate) processes: u64,
    pub(crate) cpu_seconds: Option<u64>,
    pub(crate) file_mb: u64,
    /// Whether it is one step of a build: then nothing that it starts outlives it.
    pub(crate) is_build: bool,
    /// Whether others run on the machine as well, so that it gets namespaces of its own.
    pub(crate) is_shared: bool,
}

/// A user id for what runs on a node. No two nodes of a machine are likely to have the same.
pub(crate) fn user_of(node: Uuid) -> u32 {
    let [.., a, b, c, d] = node.into_bytes();
    1_000_000 + u32::from_be_bytes([a, b, c, d]) % 1_000_000_000
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The engine `app-run FILE [-- COMMAND...]`: a command of its own takes the place of the app's.
pub(crate) fn engine(arguments: Vec<OsString>) -> ExitCode {
    fails("app-run", begin(&arguments))
}

/// The engine `app-inside FILE [-- COMMAND...]`.
pub(crate) fn inside(arguments: Vec<OsString>) -> ExitCode {
    fails("app-inside", enter(&arguments))
}

fn fails(engine: &str, result: io::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        // There is nobody to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "{engine}: {error}");
        ExitCode::FAILURE
    })
}

/// The sandbox, and whether it is for a command in place of the app's own.
fn read(arguments: &[OsString]) -> io::Result<(Sandbox, bool)> {
    let usage = || io::Error::other("usage: metapaas engine app-run FILE [-- COMMAND...]");
    let (file, command) = match arguments {
        [file] => (file, None),
        [file, dashes, command @ ..] if dashes == "--" && !command.is_empty() => (file, Some(command)),
        _ => return Err(usage()),
    };
    let mut sandbox: Sandbox = serde_json::from_slice(&std::fs::read(file)?)?;
    if let Some(command) = command {
        let words = command.iter().map(|word| word.clone().into_string());
        sandbox.command = words.collect::<Result<_, _>>().map_err(|_| usage())?;
    }
    Ok((sandbox, command.is_some()))
}

/// The options of `unshare` for it.
fn namespaces(sandbox: &Sandbox) -> Vec<&'static str> {
    let mut options = vec!["--mount", "--ipc", "--uts"];
    if !is_root() {
        options.extend(["--user", "--map-root-user"]);
    }
    if sandbox.is_build {
        options.extend(["--pid", "--fork", "--kill-child"]);
    }
    options
}

/// Goes on in namespaces of its own, or answers why there are none.
fn part(sandbox: &Sandbox, arguments: &[OsString]) -> io::Result<String> {
    let options = namespaces(sandbox);
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(&options).arg("--");
        command
    };
    let probe = unshare().arg("true").stdin(Stdio::null()).output()?;
    if probe.status.success() {
        let program = std::env::current_exe()?;
        return Err(unshare().arg(program).args(["engine", "app-inside"]).args(arguments).exec());
    }
    Ok(String::from_utf8_lossy(&probe.stderr).trim().to_owned())
}

fn begin(arguments: &[OsString]) -> io::Result<ExitCode> {
    let (mut sandbox, is_command) = read(arguments)?;
    if sandbox.is_shared {
        let why = part(&sandbox, arguments)?;
        if is_root() {
            return Err(io::Error::other(format!(
                "the kernel gives no namespaces, and root runs no app without: {why}"
            )));
        }
        // In the app's log it is told once; whoever runs a command wants its output alone.
        if !is_command {
            let _ = writeln!(io::stderr(), "metapaas: the app runs without namespaces of its own: {why}");
        }
    }
    limit(&sandbox)?;
    // Folders are where they are.
    for (from, to) in &sandbox.binds {
        for value in sandbox.environment.values_mut() {
            *value = value.replace(&*to.to_string_lossy(), &from.to_string_lossy());
        }
    }
    std::env::set_current_dir(&sandbox.app)?;
    let app = sandbox.app.to_string_lossy().into_owned();
    if !bare_rights(&sandbox).hold()? && !is_command {
        let _ = writeln!(
            io::stderr(),
            "metapaas: this kernel has no Landlock: the app can read what its node's agent can"
        );
    }
    Ok(become_it(command(&sandbox, &app, "/tmp", None)?))
}

fn enter(arguments: &[OsString]) -> io::Result<ExitCode> {
    let (sandbox, _) = read(arguments)?;
    let was_root = is_root() && !in_user_namespace();
    build_root(&sandbox)?;
    std::os::unix::fs::chroot(&sandbox.scratch)?;
    std::env::set_current_dir(APP)?;
    if was_root {
        std::os::unix::fs::chown("/tmp/home", Some(sandbox.user), Some(sandbox.user))?;
    }
    limit(&sandbox)?;
    rustix::thread::set_no_new_privs(true)?;
    // Where there is no Landlock, the root and the user are the walls.
    inner_rights(&sandbox).hold()?;
    let command = command(&sandbox, APP, "/tmp/home", was_root.then_some(sandbox.user))?;
    if sandbox.is_build { run_to_its_end(command) } else { Ok(become_it(command)) }
}

/// What it may touch of the file system of the node.
fn bare_rights(sandbox: &Sandbox) -> Rights {
    let mut rights = Rights::default();
    rights.read.extend(PROGRAMS.iter().chain(&["proc", "sys"]).map(|name| Path::new("/").join(name)));
    rights.write.extend(DEVICES.iter().chain(&["shm"]).map(|name| Path::new("/dev").join(name)));
    rights.write.push("/tmp".into());
    rights.write.extend(sandbox.binds.iter().map(|(from, _)| from.clone()));
    if sandbox.is_writable { &mut rights.write } else { &mut rights.read }.push(sandbox.app.clone());
    rights
}

/// The same in a file system of its own, which holds nothing else.
fn inner_rights(sandbox: &Sandbox) -> Rights {
    let mut rights = Rights { read: vec!["/".into()], write: vec!["/dev".into(), "/tmp".into()] };
    rights.write.extend(sandbox.binds.iter().map(|(_, to)| to.clone()));
    if sandbox.is_writable {
        rights.write.push(APP.into());
    }
    rights
}

/// Root of a namespace of one's own is no root: there is one user to be mapped to.
fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().nth(2) != Some("4294967295"))
}

/// The file system that the app sees.
fn build_root(sandbox: &Sandbox) -> io::Result<()> {
    let root = &sandbox.scratch;
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", root, "tmpfs", plain, c"mode=0755,size=1m")?;
    for name in PROGRAMS {
        let (from, to) = (Path::new("/").join(name), root.join(name));
        match std::fs::symlink_metadata(&from) {
            Ok(found) if found.is_symlink() => std::os::unix::fs::symlink(std::fs::read_link(&from)?, to)?,
            Ok(found) if found.is_dir() => show(&from, &to, false)?,
            _ => {}
        }
    }
    // Where it is a link, what it leads to is elsewhere.
    if let Ok(names) = std::fs::canonicalize("/etc/resolv.conf")
        && !names.starts_with("/etc")
        && let Ok(below) = names.strip_prefix("/")
    {
        let to = root.join(below);
        std::fs::create_dir_all(to.parent().unwrap_or(root))?;
        std::fs::write(&to, std::fs::read(&names)?)?;
    }
    std::fs::create_dir(root.join("dev"))?;
    for name in DEVICES {
        let (from, to) = (Path::new("/dev").join(name), root.join("dev").join(name));
        std::fs::write(&to, "")?;
        mount_bind(&from, &to)?;
    }
    std::os::unix::fs::symlink("/proc/self/fd", root.join("dev/fd"))?;
    let proc = root.join("proc");
    std::fs::create_dir(&proc)?;
    // Others' processes are nobody's business. A namespace of one's own may not mount it anew.
    let own = mount("proc", &proc, "proc", plain | MountFlags::NOEXEC, c"hidepid=2");
    if own.is_err() {
        mount_bind_recursive("/proc", &proc)?;
    }
    let tmp = root.join("tmp");
    std::fs::create_dir(&tmp)?;
    let options = std::ffi::CString::new(format!("mode=1777,size={TMP_MB}m"))?;
    mount("tmpfs", &tmp, "tmpfs", plain, options.as_c_str())?;
    std::fs::create_dir(tmp.join("home"))?;
    std::os::unix::fs::symlink("/tmp", root.join("dev/shm"))?;
    show(&sandbox.app, &root.join("app"), sandbox.is_writable)?;
    for (from, to) in &sandbox.binds {
        show(from, &root.join(to.strip_prefix("/").unwrap_or(to)), true)?;
    }
    Ok(())
}

fn show(from: &Path, to: &Path, is_writable: bool) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    mount_bind_recursive(from, to)?;
    if !is_writable
        && let Err(error) = mount_remount(to, MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID, c"")
    {
        // In a user namespace flags of the mount may be locked; who runs there has no rights to these files.
        if !in_user_namespace() {
            return Err(error.into());
        }
    }
    Ok(())
}

fn limit(sandbox: &Sandbox) -> io::Result<()> {
    let mut limits = vec![
        (Resource::Data, sandbox.ram_mb << 20),
        (Resource::Fsize, sandbox.file_mb << 20),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
    ];
    // It counts processes of the user: where that is the platform's own, others' would count too.
    if is_root() {
        limits.push((Resource::Nproc, sandbox.processes));
    }
    limits.extend(sandbox.cpu_seconds.map(|seconds| (Resource::Cpu, seconds)));
    for (resource, most) in limits {
        let wanted = Rlimit { current: Some(most), maximum: Some(most) };
        // A limit that is lower already stays.
        if let Err(error) = setrlimit(resource, wanted) {
            let _ = writeln!(io::stderr(), "metapaas: no limit of {most} for {resource:?}: {error}");
        }
    }
    Ok(())
}

/// What is run, as whom and with which environment.
fn command(sandbox: &Sandbox, app: &str, home: &str, user: Option<u32>) -> io::Result<Command> {
    let Some((program, arguments)) = sandbox.command.split_first() else {
        return Err(io::Error::other("there is nothing to run"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", DEFAULT_PATH);
    for (name, value) in &sandbox.environment {
        // Where the app is elsewhere, so are its programs.
        let is_path = name == "PATH" && app != APP;
        let value =
            if is_path { value.replace(&format!("{APP}/"), &format!("{app}/")) } else { value.clone() };
        command.env(name, value);
    }
    if !sandbox.environment.contains_key("HOME") {
        command.env("HOME", home);
    }
    for name in [NODE_VARIABLE, SERVICE_VARIABLE] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    Ok(command)
}

/// Becomes the command; returns only when that fails, with the exit code that shells have for it.
fn become_it(mut command: Command) -> ExitCode {
    let error = command.exec();
    let _ = writeln!(io::stderr(), "metapaas: {}", not_started(&command, &error));
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

/// Runs a step of a build from the first process of its namespace, with which all of it ends. That process keeps its
/// user: the kernel forgets that a process is to end with its parent when it becomes another user's.
fn run_to_its_end(mut command: Command) -> io::Result<ExitCode> {
    let ended = command.status().map_err(|error| not_started(&command, &error))?;
    let code = ended.code().or_else(|| ended.signal().map(|signal| 128 + signal));
    Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn not_started(command: &Command, error: &io::Error) -> io::Error {
    let program = command.get_program().to_string_lossy();
    io::Error::new(error.kind(), format!("{program} cannot be started: {error}"))
}
