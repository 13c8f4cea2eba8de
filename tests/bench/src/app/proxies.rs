//! Requests a second by the router, by nginx and by neither, to the same app.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;
use metapaas_tests::harness::{Installation, eventually};
use metapaas_tests::repository::Repository;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{App, Arguments, samples};
use crate::client::{Call, Connection};
use crate::error::BenchError;
use crate::report::{Finding, Report, Sample, median};

const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// The number of connections that the target is for.
const JUDGED: usize = 16;
const TARGET: f64 = 0.8;
const WARM_UP: Duration = Duration::from_secs(1);
/// The kernel counts processor time in hundredths of a second, whatever its own clock is.
const TICK_MICROSECONDS: u64 = 10_000;

/// One way to the app.
struct Way {
    name: &'static str,
    address: String,
    host: String,
    /// What stands between client and app.
    proxy: Vec<u32>,
}

/// Rates and processor time of one way under one load, round by round.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    microseconds: Vec<f64>,
}

pub(super) async fn measure(
    installation: &Installation,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), BenchError> {
    let repository = Repository::new();
    repository.commit(&samples::FAST);
    let app = App::create(installation, "fast", &repository, 1).await;
    let port = app.port().await?;
    let nginx = Nginx::start(&arguments.nginx, port).await?;
    let state = installation.router().unwrap_or_default();
    let router = state["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let direct = format!("127.0.0.1:{port}");
    let ways = [
        Way { name: "direct", address: direct.clone(), host: direct, proxy: Vec::new() },
        Way {
            name: "router",
            address: installation.router_address(),
            host: app.host(),
            proxy: router.into_iter().collect(),
        },
        Way {
            name: "nginx",
            address: nginx.address.clone(),
            host: nginx.address.clone(),
            proxy: nginx.workers()?,
        },
    ];
    for connections in CONNECTIONS {
        let mut rounds: [Rounds; 3] = Default::default();
        for round in 0..arguments.rounds.max(1) {
            for step in 0..ways.len() {
                // Nobody always follows the same other.
                let which = (round + step) % ways.len();
                let way = &ways[which];
                let (sample, microseconds) =
                    load(way, connections, Duration::from_secs_f64(arguments.seconds)).await?;
                eprintln!("proxies {connections} {}: {sample} {microseconds:.1} us", way.name);
                rounds[which].rates.push(sample.requests_per_second);
                rounds[which].microseconds.push(microseconds);
            }
        }
        note(connections, &ways, rounds, report);
    }
    drop(nginx);
    app.delete().await
}

fn note(connections: usize, ways: &[Way; 3], rounds: [Rounds; 3], report: &mut Report) {
    let [direct, router, nginx] = rounds.map(|rounds| (median(rounds.rates), median(rounds.microseconds)));
    let mut add = |what: String, value, unit| {
        report.findings.push(Finding::new(
            "proxies",
            format!("{connections} connections: {what}"),
            value,
            unit,
        ));
    };
    for (way, (rate, microseconds)) in ways.iter().zip([direct, router, nginx]) {
        add(way.name.to_owned(), rate, "req/s");
        if !way.proxy.is_empty() {
            add(format!("{} takes", way.name), microseconds, "us of a processor for a request");
        }
    }
    add("router to direct".into(), router.0 / direct.0, "of direct");
    let what = format!("{connections} connections: router to nginx");
    let ratio = Finding::new("proxies", what, router.0 / nginx.0, "of nginx");
    report.findings.push(if connections == JUDGED { ratio.at_least(TARGET) } else { ratio });
}

/// The load, and the microseconds that the proxy's processes took for a request.
async fn load(way: &Way, connections: usize, duration: Duration) -> Result<(Sample, f64), BenchError> {
    let (mut tasks, begun) = (JoinSet::new(), Instant::now());
    let before = processor_time(&way.proxy)?;
    let (from, until) = (begun + WARM_UP, begun + WARM_UP + duration);
    for _ in 0..connections {
        let mut connection = Connection::open_for(&way.address, &way.host).await?;
        tasks.spawn(async move {
            let call = Call { method: Method::GET, path: "/".into(), token: None, body: bytes::Bytes::new() };
            let (mut times, mut count) = (Vec::new(), 0_u64);
            loop {
                let start = Instant::now();
                connection.succeed(&call).await?;
                let end = Instant::now();
                count += 1;
                if end >= until {
                    return Ok::<_, BenchError>((times, count));
                }
                if end >= from {
                    times.push(end - start);
                }
            }
        });
    }
    let (mut times, mut count) = (Vec::new(), 0);
    while let Some(ended) = tasks.join_next().await {
        let (of_one, requests) = ended.map_err(BenchError::Task)??;
        times.extend(of_one);
        count += requests;
    }
    let took = processor_time(&way.proxy)? - before;
    let sample = Sample::of(times, duration).ok_or(BenchError::NoAnswer)?;
    Ok((sample, took as f64 / count as f64))
}

/// Microseconds of processor time that processes have had.
fn processor_time(pids: &[u32]) -> Result<u64, BenchError> {
    let mut ticks = 0;
    for pid in pids {
        let path = PathBuf::from(format!("/proc/{pid}/stat"));
        let stat = std::fs::read_to_string(&path);
        let stat = stat.map_err(|source| BenchError::File { action: "read", path, source })?;
        // The name may have spaces in it; after it, user and system time are the 12th and 13th field.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        ticks += fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(ticks * TICK_MICROSECONDS)
}

/// nginx as Debian packages it, as a reverse proxy that keeps its connections to the app and logs each request.
struct Nginx {
    child: Child,
    address: String,
    _directory: TempDir,
}

impl Nginx {
    async fn start(program: &Path, app: u16) -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new().prefix("metapaas-bench-").tempdir().map_err(|source| {
            BenchError::File { action: "make a directory in", path: std::env::temp_dir(), source }
        })?;
        let spawning = |source| BenchError::Spawn { program: program.to_owned(), source };
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(spawning)?.to_string();
        let folder = directory.path().display();
        let configuration = format!(
            r#"
worker_processes auto;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream app {{ server 127.0.0.1:{app}; keepalive 128; keepalive_requests 1000000000; }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Port $server_port;
        }}
    }}
}}
"#
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration).map_err(|source| BenchError::File {
            action: "write",
            path: file.clone(),
            source,
        })?;
        let mut command = Command::new(program);
        command.arg("-c").arg(file).arg("-e").arg(directory.path().join("error.log"));
        let child = command.stdin(Stdio::null()).spawn().map_err(spawning)?;
        let nginx = Self { child, address, _directory: directory };
        eventually("nginx listens", || async { TcpStream::connect(&nginx.address).await.is_ok() }).await;
        Ok(nginx)
    }

    /// The processes that serve.
    fn workers(&self) -> Result<Vec<u32>, BenchError> {
        let pid = self.child.id();
        let path = PathBuf::from(format!("/proc/{pid}/task/{pid}/children"));
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|source| BenchError::File { action: "read", path, source })?;
        Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked to end, it takes its workers along.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
