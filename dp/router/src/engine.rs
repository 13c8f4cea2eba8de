//! The process: `metapaas engine router DIRECTORY`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::access::AccessLog;
use crate::config::{self, CONFIG_FILE, RouterConfig, RouterState, STATE_FILE};
use crate::follow::{follow, take_up};
use crate::listen::{Doors, admin};
use crate::metrics::Metrics;
use crate::proxy::{Entrance, Server};
use crate::table::Current;

/// The name `metapaas engine` knows this by.
pub const ENGINE: &str = "router";

/// How long requests under way may take to end once a stop was asked for.
const DRAIN: Duration = Duration::from_secs(20);
/// How often ports that could not be had are tried again, and idle connections are looked at.
const TICK: Duration = Duration::from_secs(5);

/// The `router` engine.
pub fn engine(arguments: Vec<OsString>) -> ExitCode {
    let [directory] = &arguments[..] else {
        return failed(&io::Error::other("usage: metapaas engine router DIRECTORY"));
    };
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(io::stderr);
    // Another subscriber is there only in tests.
    let _ = log.try_init();
    // It accepts connections and follows the table; workers serve.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(run(PathBuf::from(directory)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> ExitCode {
    // There is nobody to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "metapaas router: {error}");
    ExitCode::FAILURE
}

/// Serves until SIGTERM or SIGINT, and then until the requests under way are answered.
///
/// # Errors
/// When it cannot listen, or its directory is not usable.
pub async fn run(directory: PathBuf) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let _hangup = signal(SignalKind::hangup())?;
    let settings: RouterConfig = config::read(&directory, CONFIG_FILE)?;
    let server = Arc::new(Server {
        table: Current::default(),
        metrics: Metrics::default(),
        log: AccessLog::open(&directory.join("log"))?,
    });
    if let Err(error) = take_up(&directory, &server) {
        tracing::error!(%error, "the kept routing table is damaged; waiting for a new one");
    }
    let listener = bind(&directory, settings.listen).await?;
    let operators = TcpListener::bind(settings.admin).await?;
    let address = listener.local_addr()?;
    let state = RouterState { pid: std::process::id(), address, admin: operators.local_addr()? };
    let mut doors = Doors::new(server.clone(), address.ip())?;
    let main = doors.open(listener, Entrance::Hosts(address.port()));
    doors.follow().await;
    config::write(&directory, STATE_FILE, &state)?;
    tracing::info!(%address, metrics = %state.admin, "the router serves");
    let news = Arc::new(Notify::new());
    let tasks = [
        tokio::spawn(admin(operators, server.clone())),
        tokio::spawn(follow(directory, server.clone(), news.clone())),
    ];
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = news.notified() => doors.follow().await,
            _ = tick.tick() => {
                doors.follow().await;
                server.table.get().sweep();
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("the router stops");
    main.abort();
    for task in tasks {
        task.abort();
    }
    if tokio::time::timeout(DRAIN, doors.close()).await.is_err() {
        tracing::warn!("requests still ran after {DRAIN:?}; they are cut off");
    }
    server.log.close();
    Ok(())
}

/// Listens. A free port that was taken once is taken again after a restart: apps' URLs have it.
async fn bind(directory: &Path, wanted: SocketAddr) -> io::Result<TcpListener> {
    if wanted.port() == 0
        && let Ok(before) = config::read::<RouterState>(directory, STATE_FILE)
        && before.address.ip() == wanted.ip()
        && let Ok(listener) = TcpListener::bind(before.address).await
    {
        return Ok(listener);
    }
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("listen on {wanted}: {error}"));
    TcpListener::bind(wanted).await.map_err(failed)
}
