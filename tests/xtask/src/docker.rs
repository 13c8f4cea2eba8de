//! [`Docker`]: a private Docker Engine in a temporary directory, gone when it is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::context::{Context, end_with};
use crate::error::Error;
use crate::tools::{self, Kept};

/// Tests find the engine's socket by this variable. A caller who sets it keeps it.
pub(crate) const VARIABLE: &str = "METAPAAS_TEST_DOCKER";

/// Tests keep images that take long to make in the folder of this variable. A caller who sets it keeps it.
pub(crate) const IMAGES_VARIABLE: &str = "METAPAAS_TEST_IMAGES";

/// The packages of the image that takes long, and how it is made.
const RECIPE: [&str; 2] = ["dp/images/runtime.packages", "metapaas-core/src/provider/docker/rootfs.rs"];

/// An engine to test against: ours, or the caller's.
pub(crate) struct Docker {
    socket: PathBuf,
    // Declared before the directory: the engine ends first.
    _engine: Option<Engine>,
    _directory: Option<TempDir>,
}

struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        // Containers that tests left are ended by the first of them.
        for signal in [Signal::TERM, Signal::KILL] {
            if end_with(&mut self.0, signal, Duration::from_secs(30)) {
                return;
            }
        }
    }
}

impl Docker {
    /// The caller's engine when `METAPAAS_TEST_DOCKER` names its socket, else a new one.
    pub(crate) fn start(ctx: &Context) -> Result<Self, Error> {
        if let Some(socket) = std::env::var_os(VARIABLE) {
            return Ok(Self { socket: socket.into(), _engine: None, _directory: None });
        }
        if !rustix::process::geteuid().is_root() {
            let reason = "dockerd needs root";
            return Err(Error::Docker { reason: reason.to_owned() });
        }
        let directory = tempfile::Builder::new().prefix("metapaas-docker-").tempdir().map_err(|source| {
            Error::File { action: "make a directory in", path: std::env::temp_dir(), source }
        })?;
        let socket = directory.path().join("docker.sock");
        let engine = serve(ctx, directory.path(), &socket)?;
        Ok(Self { socket, _engine: Some(engine), _directory: Some(directory) })
    }

    /// Path of its Unix socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

/// The folder for images that are made of what they would be made of now.
pub(crate) fn images(ctx: &Context) -> Result<PathBuf, Error> {
    if let Some(chosen) = std::env::var_os(IMAGES_VARIABLE) {
        return Ok(chosen.into());
    }
    let [packages, program] = RECIPE.map(|file| tools::read(&ctx.root.join(file)));
    let system = tools::read(Path::new("/etc/os-release"))?;
    let kept = Kept::open(ctx, "images", &[packages?.as_str(), &program?, &system])?;
    kept.fill(|folder| std::fs::create_dir(folder).map_err(|source| tools::file("make", folder, source)))?;
    Ok(kept.folder)
}

fn serve(ctx: &Context, directory: &Path, socket: &Path) -> Result<Engine, Error> {
    let log_path = directory.join("log");
    let file = |action| {
        let path = log_path.clone();
        move |source| Error::File { action, path, source }
    };
    let log = File::create(&log_path).map_err(file("make"))?;
    let settings = directory.join("daemon.json");
    std::fs::write(&settings, "{}").map_err(file("write beside"))?;
    // Nothing of it meets an engine of the system: neither its settings nor its containers.
    let namespace = directory.file_name().unwrap_or_default().to_string_lossy().replace('.', "");
    // The kernel stops the engine should this tool be killed outright; setpriv becomes the program itself.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", "dockerd", "--bridge", "none"]);
    command.arg(format!("--host=unix://{}", socket.display()));
    for (flag, path) in
        [("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid"), ("config-file", "daemon.json")]
    {
        command.arg(format!("--{flag}={}", directory.join(path).display()));
    }
    command.arg(format!("--containerd-namespace={namespace}"));
    command.arg(format!("--containerd-plugins-namespace={namespace}-plugins"));
    command.stdout(log.try_clone().map_err(file("open"))?).stderr(log);
    let mut engine = Engine(ctx.start(&mut command)?);
    let start = Instant::now();
    while !answers(socket) {
        let ended = matches!(engine.0.try_wait(), Ok(Some(_)));
        if ended || start.elapsed() > Duration::from_secs(60) {
            let log = std::fs::read_to_string(&log_path).map_err(file("read"))?;
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            return Err(Error::Docker { reason: last.into_iter().rev().collect::<Vec<_>>().join("\n") });
        }
        ctx.tick()?;
    }
    Ok(engine)
}

fn answers(socket: &Path) -> bool {
    use std::io::{Read, Write};
    let asked = (|| {
        let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<bool, std::io::Error>(answer.contains(" 200 "))
    })();
    asked.unwrap_or(false)
}
