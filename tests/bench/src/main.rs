//! Load generator of `cargo xtask bench`: the same requests to `metapaas serve` and to `metapaas-baseline`, in turns.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

mod client;
mod error;
mod load;
mod process;
mod report;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::BenchError;
use crate::load::{Load, Operation};
use crate::report::{Report, Row};
use crate::target::{Start, Target};

/// Each connection has instances of its own to change, so there are at least as many.
const MOST_CONNECTIONS: usize = 64;

/// Measures both servers on both databases.
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
    /// Measure one server alone.
    #[arg(long)]
    only: Option<Kind>,
    /// Measure one database alone.
    #[arg(long)]
    database: Option<Store>,
    /// 1 and 64 connections too, not only 16.
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
    let arguments = Arguments::parse();
    // Dropping the run ends its servers and removes their directories.
    let done = tokio::select! {
        done = run(&arguments) => done,
        stopped = told_to_stop() => stopped,
    };
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
    for &store in Store::value_variants() {
        if arguments.database.is_none_or(|only| only == store) {
            measure_store(arguments, store, &mut report).await?;
        }
    }
    println!("\n{report}");
    match &arguments.json {
        Some(path) => report.write_json(path),
        None => Ok(()),
    }
}

async fn measure_store(arguments: &Arguments, store: Store, report: &mut Report) -> Result<(), BenchError> {
    let mut targets = Vec::new();
    for &kind in Kind::value_variants() {
        if arguments.only.is_none_or(|only| only == kind) {
            eprintln!("starting {kind:?} on {store:?}");
            let (program, database) = match kind {
                Kind::Metapaas => (&arguments.metapaas, &arguments.metapaas_postgres),
                Kind::Baseline => (&arguments.baseline, &arguments.baseline_postgres),
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
                    eprintln!("{store:?} {operation:?} {connections} {:?}: {sample}", target.kind());
                    match rows.iter_mut().find(|row| row.kind == target.kind()) {
                        Some(row) => row.samples.push(sample),
                        None => rows.push(Row {
                            store,
                            operation,
                            connections,
                            kind: target.kind(),
                            samples: vec![sample],
                        }),
                    }
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
