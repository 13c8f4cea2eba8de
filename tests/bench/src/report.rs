//! [`Report`]: the numbers, as a table and as JSON.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::BenchError;
use crate::load::Operation;
use crate::{Kind, Store};

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) starts: Vec<WarmStart>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) findings: Vec<Finding>,
}

/// A number that is not of requests to both servers.
pub(crate) struct Finding {
    scenario: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    /// What it should be at the most.
    at_most: Option<f64>,
    /// What it should be at the least.
    at_least: Option<f64>,
}

impl Finding {
    /// A number without a target.
    pub(crate) fn new(scenario: &'static str, what: String, value: f64, unit: &'static str) -> Self {
        Self { scenario, what, value, unit, at_most: None, at_least: None }
    }

    /// It should be that at the most.
    #[must_use]
    pub(crate) fn at_most(self, target: f64) -> Self {
        Self { at_most: Some(target), ..self }
    }

    /// It should be that at the least.
    #[must_use]
    pub(crate) fn at_least(self, target: f64) -> Self {
        Self { at_least: Some(target), ..self }
    }
}

/// One server under one load, once a round.
pub(crate) struct Row {
    pub(crate) store: Store,
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
    pub(crate) kind: Kind,
    pub(crate) samples: Vec<Sample>,
}

/// From a program's start to its first answer, on data that is already there.
pub(crate) struct WarmStart {
    pub(crate) command: String,
    pub(crate) store: Store,
    pub(crate) took: Duration,
}

/// Resident memory of a program.
pub(crate) struct Memory {
    pub(crate) command: String,
    pub(crate) store: Store,
    pub(crate) when: &'static str,
    pub(crate) bytes: u64,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Sample {
    /// Of the times of all requests that ended within `duration`; nothing when there were none.
    pub(crate) fn of(mut times: Vec<Duration>, duration: Duration) -> Option<Self> {
        times.sort_unstable();
        let percentile =
            |share: usize| times.get((times.len() * share / 100).min(times.len().checked_sub(1)?));
        let milliseconds = |time: &Duration| time.as_secs_f64() * 1000.0;
        Some(Self {
            requests_per_second: f64::from(u32::try_from(times.len()).ok()?) / duration.as_secs_f64(),
            p50_ms: percentile(50).map(milliseconds)?,
            p99_ms: percentile(99).map(milliseconds)?,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.0} {:>8.2} {:>8.2}", self.requests_per_second, self.p50_ms, self.p99_ms)
    }
}

impl Row {
    /// The median of each number.
    fn median(&self) -> Sample {
        let median = |number: fn(&Sample) -> f64| median(self.samples.iter().map(number).collect());
        Sample {
            requests_per_second: median(|sample| sample.requests_per_second),
            p50_ms: median(|sample| sample.p50_ms),
            p99_ms: median(|sample| sample.p99_ms),
        }
    }
}

/// The number in the middle; there is at least one.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// What the ratio should be at the least: on PostgreSQL with 16 connections.
fn target(row: &Row) -> Option<f64> {
    let is_meant = (row.kind, row.store, row.connections) == (Kind::Metapaas, Store::Postgres, 16);
    is_meant.then_some(match row.operation {
        Operation::Read => 0.8,
        Operation::List => 0.75,
        Operation::Create | Operation::Update => 0.5,
    })
}

fn judged(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

impl Report {
    /// This row's rate, or pgbench's, divided by the baseline's under the same load.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let same = |other: &&Row| {
            other.kind == Kind::Baseline
                && (other.store, other.operation, other.connections)
                    == (row.store, row.operation, row.connections)
        };
        let baseline = self.rows.iter().find(same).filter(|_| row.kind != Kind::Baseline)?;
        Some(row.median().requests_per_second / baseline.median().requests_per_second)
    }

    /// Writes the numbers for programs.
    pub(crate) fn write_json(&self, path: &Path) -> Result<(), BenchError> {
        let loads = self.rows.iter().map(|row| {
            let Sample { requests_per_second, p50_ms, p99_ms } = row.median();
            json!({
                "server": row.kind, "database": row.store, "operation": row.operation,
                "connections": row.connections, "rounds": row.samples.len(),
                "requests_per_second": requests_per_second, "p50_ms": p50_ms, "p99_ms": p99_ms,
                "ratio": self.ratio(row),
            })
        });
        let starts = self.starts.iter().map(|start| {
            json!({ "command": start.command, "database": start.store, "seconds": start.took.as_secs_f64() })
        });
        let memory = self.memory.iter().map(|memory| {
            json!({ "command": memory.command, "database": memory.store, "when": memory.when, "bytes": memory.bytes })
        });
        let findings = self.findings.iter().map(|finding| {
            json!({
                "scenario": finding.scenario, "what": finding.what, "value": finding.value, "unit": finding.unit,
                "at_most": finding.at_most, "at_least": finding.at_least,
            })
        });
        let document = json!({
            "findings": findings.collect::<Value>(),
            "loads": loads.collect::<Value>(), "warm_starts": starts.collect::<Value>(),
            "memory": memory.collect::<Value>(),
        });
        std::fs::write(path, format!("{document:#}\n")).map_err(|source| BenchError::File {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        writeln!(
            f,
            "{cores} cores, shared by the servers, PostgreSQL and one thread of load; load average {load}"
        )?;
        if self.rows.is_empty() {
            return self.rest(f);
        }
        writeln!(
            f,
            "\ndatabase  operation  conns  server       req/s   p50 ms   p99 ms  of baseline  target"
        )?;
        for row in &self.rows {
            let (store, operation) = (lower(row.store), lower(row.operation));
            let (server, connections, median) = (row.kind.name(), row.connections, row.median());
            write!(f, "{store:<9} {operation:<10} {connections:>5}  {server:<8} {median}")?;
            match self.ratio(row) {
                Some(ratio) => write!(f, "  {ratio:>11.2}")?,
                None => write!(f, "{:13}", "")?,
            }
            match (target(row), self.ratio(row)) {
                (Some(target), Some(ratio)) => writeln!(f, "  {target:.2} {}", judged(ratio >= target))?,
                _ => writeln!(f)?,
            }
        }
        self.rest(f)
    }
}

impl Report {
    fn rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.findings.is_empty() {
            writeln!(f, "\nscenario")?;
        }
        for finding in &self.findings {
            let Finding { scenario, what, value, unit, at_most, at_least } = finding;
            write!(f, "{scenario:<12} {what:<44} {value:>10.2} {unit}")?;
            match (at_most, at_least) {
                (Some(target), _) => writeln!(f, "  at most {target:.2}: {}", judged(value <= target))?,
                (_, Some(target)) => writeln!(f, "  at least {target:.2}: {}", judged(value >= target))?,
                (None, None) => writeln!(f)?,
            }
        }
        if self.starts.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nwarm start to first answer")?;
        for start in &self.starts {
            let store = lower(start.store);
            writeln!(f, "{:<15} {store:<9} {:>8.0} ms", start.command, start.took.as_secs_f64() * 1000.0)?;
        }
        writeln!(f, "\nresident memory")?;
        for memory in &self.memory {
            let (store, mebibytes) = (lower(memory.store), memory.bytes / (1 << 20));
            writeln!(f, "{:<15} {store:<9} {mebibytes:>8} MiB  {}", memory.command, memory.when)?;
        }
        Ok(())
    }
}

fn lower(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_rate() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let sample = Sample::of(times, Duration::from_secs(4)).unwrap();
        assert_eq!(sample, Sample { requests_per_second: 50.0, p50_ms: 101.0, p99_ms: 199.0 });
        assert_eq!(Sample::of(Vec::new(), Duration::from_secs(4)), None);
    }

    #[test]
    fn ratio_is_of_the_same_load() {
        let row = |kind, operation, requests_per_second| Row {
            store: Store::Sqlite,
            operation,
            connections: 16,
            kind,
            samples: vec![Sample { requests_per_second, p50_ms: 1.0, p99_ms: 1.0 }],
        };
        let report = Report {
            rows: vec![
                row(Kind::Baseline, Operation::List, 10.0),
                row(Kind::Metapaas, Operation::Read, 60.0),
                row(Kind::Baseline, Operation::Read, 80.0),
            ],
            ..Report::default()
        };
        assert_eq!(report.ratio(&report.rows[1]), Some(0.75));
        assert_eq!(report.ratio(&report.rows[2]), None);
    }
}
