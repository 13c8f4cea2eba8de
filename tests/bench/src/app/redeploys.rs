//! Redeploys of an app under load: what fails, and how soon an answer is of the new release.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use metapaas_tests::harness::Installation;
use metapaas_tests::repository::Repository;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{App, PATIENCE, samples};
use crate::client::{Call, Connection};
use crate::error::{BenchError, with_sources};
use crate::report::{Finding, Report, median};

const CONNECTIONS: usize = 16;
/// Between two requests of a connection: the load leaves room for the builds.
const PAUSE: Duration = Duration::from_millis(5);
/// Failures that are told of one by one.
const TOLD: u64 = 10;

/// Requests without end by the router.
struct Load {
    tasks: JoinSet<()>,
    is_over: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
    /// The last answer.
    last: watch::Receiver<Bytes>,
}

/// Every other redeploy is a change of the environment, the rest are new commits.
pub(super) async fn measure(
    installation: &Installation,
    redeploys: usize,
    report: &mut Report,
) -> Result<(), BenchError> {
    let repository = Repository::new();
    repository.commit(&samples::EXPRESS);
    let app = App::create(installation, "busy", &repository, 2).await;
    app.active().await?;
    app.set_env("GREETING", "zero").await;
    app.active().await?;
    let mut load = Load::start(&installation.router_address(), &app.host());
    load.until("one zero").await?;
    let (mut code, mut greeting) = ("one".to_owned(), "zero".to_owned());
    let (mut by_env, mut by_commit) = (Vec::new(), Vec::new());
    for number in 0..redeploys {
        let begun;
        if number % 2 == 0 {
            greeting = format!("greeting-{number}");
            begun = Instant::now();
            app.set_env("GREETING", &greeting).await;
        } else {
            code = format!("code-{number}");
            let (file, text) = samples::EXPRESS[0];
            repository.commit(&[(file, &text.replace("one", &code))]);
            begun = Instant::now();
            app.act("deploy").await;
        }
        load.until(&format!("{code} {greeting}")).await?;
        let took = begun.elapsed().as_secs_f64();
        eprintln!("redeploys {number}: first answer after {took:.2} s");
        if number % 2 == 0 { &mut by_env } else { &mut by_commit }.push(took);
        app.active().await?;
    }
    let (count, failures) = load.end().await;
    app.delete().await?;
    let what = |what: &str| format!("{redeploys} redeploys: {what}");
    report.findings.push(Finding::new("redeploys", what("requests"), count as f64, ""));
    report.findings.push(Finding::new("redeploys", what("failed"), failures as f64, "").at_most(0.0));
    for (cause, times) in [("environment", by_env), ("commit", by_commit)] {
        if !times.is_empty() {
            let what = format!("new {cause} to its first answer");
            report.findings.push(Finding::new("redeploys", what, median(times), "s"));
        }
    }
    Ok(())
}

impl Load {
    fn start(address: &str, host: &str) -> Self {
        let (sender, last) = watch::channel(Bytes::new());
        let (is_over, count, failures) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let sender = Arc::new(sender);
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (address, host, sender) = (address.to_owned(), host.to_owned(), sender.clone());
            let (is_over, count, failures) = (is_over.clone(), count.clone(), failures.clone());
            tasks.spawn(async move {
                let call = Call { method: Method::GET, path: "/".into(), token: None, body: Bytes::new() };
                let mut connection = None;
                while !is_over.load(Ordering::Relaxed) {
                    let answered = ask(&mut connection, &address, &host, &call).await;
                    count.fetch_add(1, Ordering::Relaxed);
                    match answered {
                        Ok(body) => {
                            sender.send_if_modified(|last| {
                                let is_other = *last != body;
                                *last = body;
                                is_other
                            });
                        }
                        Err(error) => {
                            connection = None;
                            if failures.fetch_add(1, Ordering::Relaxed) < TOLD {
                                eprintln!("redeploys: a request failed: {}", with_sources(&error));
                            }
                        }
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self { tasks, is_over, count, failures, last }
    }

    /// Waits for an answer.
    async fn until(&mut self, expected: &str) -> Result<(), BenchError> {
        let seen = self.last.wait_for(|last| last == expected);
        match tokio::time::timeout(PATIENCE, seen).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(BenchError::NoAnswer),
        }
    }

    /// Requests, and how many of them failed.
    async fn end(mut self) -> (u64, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        (self.count.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }
}

async fn ask(
    connection: &mut Option<Connection>,
    address: &str,
    host: &str,
    call: &Call,
) -> Result<Bytes, BenchError> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open_for(address, host).await?),
    };
    connection.succeed(call).await
}
