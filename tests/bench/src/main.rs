//! Load generator of `cargo xtask bench`: the same requests to `metapaas serve` and to `metapaas-baseline`, in turns.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

mod app;
mod client;
mod error;
mod load;
mod pages;
mod pgbench;
mod process;
mod reconcile;
mod report;
mod target;
mod watchers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::BenchError;
use crate::load::{Load, Operation};
use crate::pgbench::Pgbench;
use crate::report::{Report, Row, Sample};
use crate::target::{Start, Target};

/// Each connection has instances of its own to change, so there are at least as many.
const MOST_CONNECTIONS: usize = 64;

const CONVERGING: usize = 1000;
const RESYNCED: usize = 10_000;
const RESYNCED_FULL: usize = 100_000;

/// Measures both servers on both databases, and the loop.
#[derive(Parser)]
struct Arguments {
    /// The `metapaas` program.
    #[arg(long)]
    metapaas: PathBuf,
    /// The `metapaas-baseline` program.
    #[arg(long)]
    baseline: PathBuf,
    /// An empty PostgreSQL database for metapaas.
    #[arg(long, env = "BENCH_METAPAAS_POSTGRES", hide_env_values = true)]
    metapaas_postgres: String,
    /// An empty PostgreSQL database for the baseline.
    #[arg(long, env = "BENCH_BASELINE_POSTGRES", hide_env_values = true)]
    baseline_postgres: String,
    /// The `pgbench` program; without it PostgreSQL alone is not measured.
    #[arg(long)]
    pgbench: Option<PathBuf>,
    /// Measure this scenario alone; may be repeated.
    #[arg(long)]
    only: Vec<Scenario>,
    /// Measure one server alone.
    #[arg(long, value_parser = ["metapaas", "baseline"])]
    server: Option<String>,
    /// Measure one database alone.
    #[arg(long)]
    database: Option<Store>,
    /// 1 and 64 connections too, not only 16, and a resync of 100,000 instances, not 10,000.
    #[arg(long)]
    full: bool,
    /// How long each measurement lasts, after a second of warm-up.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How often the two servers take turns; the table has the medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many instances there are before measuring starts.
    #[arg(long, default_value_t = 1000)]
    rows: usize,
    /// How many watches there are of one list.
    #[arg(long, default_value_t = 5000)]
    watchers: usize,
    /// Write the numbers here too.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The framework.
    Metapaas,
    /// Hand-written axum and sqlx.
    Baseline,
    /// PostgreSQL alone: the baseline's statements, without a server in between.
    Pgbench,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Reads, lists, updates and creates over HTTP, beside the baseline.
    Requests,
    /// New instances until they are ACTIVE, on nodes in memory.
    Convergence,
    /// A look at instances that are as they should be, on nodes in memory.
    Resync,
    /// Pages of a list of 1,000,000 rows beside those of one of 1,000; with `--full`, or when it is asked for.
    Pages,
    /// Many watches of one list that changes, all reading, then half of them not.
    Watches,
}

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Store {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

// One thread: on a small machine the cores belong to the servers.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == reconcile::WORKER) {
        return ended(reconcile::work().await);
    }
    // Dropping the run ends its servers and removes their directories.
    if std::env::args_os().nth(1).is_some_and(|first| first == app::COMMAND) {
        let arguments = app::Arguments::parse_from(std::env::args_os().skip(1));
        return ended(tokio::select! {
            done = app::run(&arguments) => done,
            stopped = told_to_stop() => stopped,
        });
    }
    let arguments = Arguments::parse();
    ended(tokio::select! {
        done = run(&arguments) => done,
        stopped = told_to_stop() => stopped,
    })
}

fn ended(done: Result<(), BenchError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metapaas-bench: {}", error::with_sources(&error));
            ExitCode::FAILURE
        }
    }
}

async fn told_to_stop() -> Result<(), BenchError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(BenchError::Signals)?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map_err(BenchError::Signals)?,
        _ = terminate.recv() => {}
    }
    Err(BenchError::Interrupted)
}

async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    let mut report = Report::default();
    for &scenario in Scenario::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(&scenario) {
            continue;
        }
        match scenario {
            Scenario::Watches => {
                for &store in Store::value_variants() {
                    if arguments.database.is_none_or(|only| only == store) {
                        measure_watchers(arguments, store, &mut report).await?;
                    }
                }
            }
            Scenario::Requests => {
                for &store in Store::value_variants() {
                    if arguments.database.is_none_or(|only| only == store) {
                        measure_store(arguments, store, &mut report).await?;
                    }
                }
            }
            Scenario::Pages => {
                for &store in Store::value_variants() {
                    let is_wanted = arguments.full || !arguments.only.is_empty();
                    if is_wanted && arguments.database.is_none_or(|only| only == store) {
                        let server = (store == Store::Postgres).then_some(&*arguments.metapaas_postgres);
                        pages::run(&arguments.metapaas, server).await?;
                    }
                }
            }
            Scenario::Convergence => reconcile::convergence(CONVERGING, &mut report).await?,
            Scenario::Resync => {
                reconcile::resync(if arguments.full { RESYNCED_FULL } else { RESYNCED }, &mut report).await?;
            }
        }
    }
    println!("\n{report}");
    match &arguments.json {
        Some(path) => report.write_json(path),
        None => Ok(()),
    }
}

/// Instances that are watched.
const WATCHED: usize = 50;

async fn measure_watchers(
    arguments: &Arguments,
    store: Store,
    report: &mut Report,
) -> Result<(), BenchError> {
    watchers::allow_files();
    let database = (store == Store::Postgres).then_some(arguments.metapaas_postgres.as_str());
    let start = Start { kind: Kind::Metapaas, store, program: &arguments.metapaas, database };
    let mut target = Target::start(&start, report).await?;
    load::fill(&mut target, WATCHED).await?;
    eprintln!("{} watches on {store:?}", arguments.watchers);
    watchers::measure(&target, store, arguments.watchers, report).await?;
    target.stop(report).await
}

async fn measure_store(arguments: &Arguments, store: Store, report: &mut Report) -> Result<(), BenchError> {
    let mut targets = Vec::new();
    for kind in [Kind::Metapaas, Kind::Baseline] {
        if arguments.server.as_deref().is_none_or(|only| only == kind.name()) {
            eprintln!("starting {kind:?} on {store:?}");
            let (program, database) = match kind {
                Kind::Metapaas => (&arguments.metapaas, &arguments.metapaas_postgres),
                Kind::Baseline | Kind::Pgbench => (&arguments.baseline, &arguments.baseline_postgres),
            };
            let database = (store == Store::Postgres).then_some(database.as_str());
            let mut target = Target::start(&Start { kind, store, program, database }, report).await?;
            load::fill(&mut target, arguments.rows.max(MOST_CONNECTIONS)).await?;
            targets.push(target);
        }
    }
    let connections: &[usize] = if arguments.full { &[1, 16, MOST_CONNECTIONS] } else { &[16] };
    for &connections in connections {
        for &operation in Operation::ALL {
            let load = Load { operation, connections, duration: Duration::from_secs_f64(arguments.seconds) };
            let mut rows: Vec<Row> = Vec::new();
            for round in 0..arguments.rounds.max(1) {
                // A B, then B A: neither always follows the other.
                targets.rotate_left(round % 2);
                for target in &mut targets {
                    let sample = load::measure(target, &load).await?;
                    keep(&mut rows, &load, store, target.kind(), sample);
                }
                let baseline = targets.iter().find(|target| target.kind() == Kind::Baseline);
                if let (Some(program), Some(baseline), Store::Postgres) =
                    (&arguments.pgbench, baseline, store)
                {
                    let pgbench =
                        Pgbench { program, database: &arguments.baseline_postgres, ids: &baseline.ids };
                    let sample = pgbench::measure(&pgbench, &load).await?;
                    keep(&mut rows, &load, store, Kind::Pgbench, sample);
                }
            }
            report.rows.extend(rows);
        }
    }
    for target in targets {
        target.stop(report).await?;
    }
    Ok(())
}

fn keep(rows: &mut Vec<Row>, load: &Load, store: Store, kind: Kind, sample: Sample) {
    let (operation, connections) = (load.operation, load.connections);
    eprintln!("{store:?} {operation:?} {connections} {kind:?}: {sample}");
    match rows.iter_mut().find(|row| row.kind == kind) {
        Some(row) => row.samples.push(sample),
        None => rows.push(Row { store, operation, connections, kind, samples: vec![sample] }),
    }
}
