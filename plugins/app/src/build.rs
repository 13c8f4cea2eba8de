//! The engine `app-build ADDRESS`: builds what `builds.json` orders, tells how it stands in `state.json`, and gives layers
//! to whoever shows the token.
//!
//! | path | what |
//! |---|---|
//! | `results/<build>.json`, `logs/<build>.log` | what a build came to, and what it said |
//! | `layers/<layer>.tar` | sources and dependencies; an image is `<source>.<dependencies>` |
//! | `repos/<hash>/` | what was fetched of a repository |
//! | `uploads/<digest>` | a directory that was uploaded, which the driver has fetched |
//! | `packages/` | what package managers keep |
//! | `workspace/` | the build that is under way |

mod git;
mod log;
mod make;
mod step;
pub(crate) mod unpack;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, body::Body, routing::get};
use futures::Stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::document::{Builds, Order, Outcome, State, UPLOADS};
use log::Log;

/// How often orders are looked at unless somebody asks.
const LOOK: Duration = Duration::from_secs(1);
/// How often what a build says is told on.
const SAY: Duration = Duration::from_secs(1);
/// How much of a layer is in memory at a time.
const CHUNK: usize = 256 * 1024;
/// Builds whose results and logs are kept, those of orders aside.
const KEPT: usize = 50;

pub(crate) fn engine(arguments: Vec<OsString>) -> ExitCode {
    let Err(error) = serve(&arguments) else { return ExitCode::SUCCESS };
    // There is nobody to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "app-build: {error}");
    ExitCode::FAILURE
}

fn serve(arguments: &[OsString]) -> io::Result<()> {
    let [address] = arguments else {
        return Err(io::Error::other("usage: metapaas engine app-build ADDRESS"));
    };
    let directory = std::env::current_dir()?;
    for name in ["results", "logs", "layers", "repos", "packages"] {
        std::fs::create_dir_all(directory.join(name))?;
    }
    let (asks, asked) = mpsc::channel(1);
    let routes = Router::new()
        .route("/health", get(move || health(asks.clone())))
        .route("/layers/{layer}", get(layer))
        .with_state(directory.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(&*address.to_string_lossy()).await?;
        tokio::select! {
            ended = async { axum::serve(listener, routes).await } => ended,
            ended = follow(&directory, asked) => ended,
        }
    })
}

/// Answers once orders were looked at, so that who asks finds in `state.json` how it stands now.
async fn health(asks: mpsc::Sender<oneshot::Sender<()>>) -> &'static str {
    let (looked, has_looked) = oneshot::channel();
    if asks.send(looked).await.is_ok() {
        // Without an answer the builder is at its end.
        let _ = has_looked.await;
    }
    "builder"
}

/// A layer, for who knows the token.
async fn layer(
    Extract(directory): Extract<PathBuf>,
    axum::extract::Path(layer): axum::extract::Path<String>,
    headers: HeaderMap,
) -> Response {
    let token = read_orders(&directory).map(|builds| format!("Bearer {}", builds.token));
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token.as_deref().is_none_or(|token| token == "Bearer ") || given != token.as_deref() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if !layer.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match open(&layer_path(&directory, &layer)).await {
        Ok((file, length)) => {
            ([(header::CONTENT_LENGTH, length)], Body::from_stream(chunks(file))).into_response()
        }
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let length = file.metadata().await?.len();
    Ok((file, length))
}

/// A file piece by piece: a layer may be larger than memory.
fn chunks(file: File) -> impl Stream<Item = io::Result<Vec<u8>>> {
    futures::stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        let length = file.read(&mut chunk).await?;
        chunk.truncate(length);
        Ok((length > 0).then_some((chunk, file)))
    })
}

fn layer_path(directory: &Path, layer: &str) -> PathBuf {
    directory.join("layers").join(format!("{layer}.tar"))
}

/// Where the driver puts what was uploaded.
fn upload_path(directory: &Path, digest: &str) -> PathBuf {
    directory.join(UPLOADS).join(digest)
}

fn has_image(directory: &Path, image: &str) -> bool {
    image.split('.').all(|layer| layer_path(directory, layer).is_file())
}

fn read_orders(directory: &Path) -> Option<Builds> {
    serde_json::from_slice(&std::fs::read(directory.join("builds.json")).ok()?).ok()
}

fn result_path(directory: &Path, build: u32) -> PathBuf {
    directory.join("results").join(format!("{build}.json"))
}

fn read_result(directory: &Path, build: u32) -> Option<Outcome> {
    serde_json::from_slice(&std::fs::read(result_path(directory, build)).ok()?).ok()
}

/// The build under way; dropped, it ends with all that it started.
struct Underway {
    order: Order,
    work: JoinHandle<()>,
    log: Log,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Does what is ordered, and leaves what no longer is.
async fn follow(directory: &Path, mut asked: mpsc::Receiver<oneshot::Sender<()>>) -> io::Result<()> {
    let mut underway: Option<Underway> = None;
    let mut waiting: Option<oneshot::Sender<()>> = None;
    let mut told = State::default();
    let mut said = Instant::now();
    loop {
        let builds = read_orders(directory).unwrap_or_default();
        let next = builds.orders.iter().find(|order| is_open(directory, order));
        let is_done = underway.as_ref().is_some_and(|one| one.work.is_finished());
        let is_other = underway.as_ref().is_some_and(|one| next.is_none_or(|next| !same(next, &one.order)));
        if is_done || is_other {
            underway = None;
        }
        if let (None, Some(next)) = (&underway, next) {
            let log = Log::open(directory, next.build, builds.settings.build_log_kb)?;
            let work = work(directory.to_owned(), next.clone(), builds.clone(), log.clone());
            underway = Some(Underway { order: next.clone(), work: tokio::spawn(work), log });
        }
        let doing =
            underway.as_ref().map(|one| format!("build of release {}: {}", one.order.build, one.log.doing()));
        let results: BTreeMap<u32, Outcome> = builds
            .orders
            .iter()
            .filter_map(|order| Some((order.build, read_result(directory, order.build)?)))
            .collect();
        let saying = match &underway {
            Some(one) if said.elapsed() >= SAY => {
                said = Instant::now();
                Some((one.order.build, one.log.tail()))
            }
            Some(one) => told.saying.clone().filter(|(build, _)| *build == one.order.build),
            None => None,
        };
        let state = State { digest: builds.digest.clone(), doing, saying, results };
        if state != told {
            put(&directory.join("state.json"), &serde_json::to_vec(&state)?)?;
            told = state;
        }
        if underway.is_none() {
            forget(directory, &builds)?;
        }
        // Who has gone need not be told.
        let _ = waiting.take().map(|waiting| waiting.send(()));
        let ended = async {
            match &mut underway {
                Some(one) => drop((&mut one.work).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            asking = asked.recv() => waiting = asking,
            () = ended => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Releases may join an order; what is built stays the same.
fn same(one: &Order, other: &Order) -> bool {
    one.build == other.build
        && one.repo == other.repo
        && one.git_ref == other.git_ref
        && one.subdir == other.subdir
}

/// Whether there is something to do for it: it has no result yet, or what it made is gone.
fn is_open(directory: &Path, order: &Order) -> bool {
    match read_result(directory, order.build) {
        Some(Outcome { image: Some(image), .. }) => !has_image(directory, &image),
        Some(_) => false,
        None => order.image.as_ref().is_none_or(|image| !has_image(directory, image)),
    }
}

async fn work(directory: PathBuf, order: Order, builds: Builds, log: Log) {
    let limit = Duration::from_secs(builds.settings.build_seconds);
    let made = tokio::time::timeout(limit, make::make(&directory, &order, &builds, &log)).await;
    let made = made.unwrap_or_else(|_| Err(format!("the build took longer than {limit:?}")));
    let mut outcome = match made {
        Ok(outcome) => outcome,
        Err(message) => {
            log.line(&format!("failed: {message}"));
            Outcome { message: Some(message), commit: log.commit(), ..Outcome::default() }
        }
    };
    outcome.build_log = Some(log.tail());
    let kept = serde_json::to_vec(&outcome)
        .map_err(io::Error::other)
        .and_then(|bytes| put(&result_path(&directory, order.build), &bytes));
    if let Err(error) = kept {
        log.line(&format!("the result cannot be kept: {error}"));
    }
}

/// Writes a file in one step.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(temporary, path)
}

/// Removes layers that no image needs which is kept or was just made.
fn forget(directory: &Path, builds: &Builds) -> io::Result<()> {
    let made = builds.orders.iter().filter_map(|order| read_result(directory, order.build)?.image);
    let needed: Vec<String> = made.chain(builds.keep.iter().cloned()).collect();
    if needed.is_empty() {
        return Ok(());
    }
    for entry in std::fs::read_dir(directory.join("layers"))? {
        let path = entry?.path();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !needed.iter().any(|image| image.split('.').any(|layer| layer == name)) {
            std::fs::remove_file(path)?;
        }
    }
    forget_builds(directory, builds)
}

/// Removes what old builds came to and said, but for those that are ordered.
fn forget_builds(directory: &Path, builds: &Builds) -> io::Result<()> {
    for folder in ["results", "logs"] {
        let entries = std::fs::read_dir(directory.join(folder))?.flatten().map(|entry| entry.path());
        let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u32>().ok();
        let mut found: Vec<(u32, PathBuf)> =
            entries.filter_map(|path| Some((number(&path)?, path))).collect();
        found.retain(|(build, _)| builds.orders.iter().all(|order| order.build != *build));
        found.sort_unstable();
        let surplus = found.len().saturating_sub(KEPT);
        for (_, path) in found.into_iter().take(surplus) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
