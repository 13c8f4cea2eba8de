//! Counters in the form that Prometheus reads.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::table::Table;

/// What is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers by the first digit of their status.
    pub answers: [AtomicU64; 6],
    /// Answers that ended before they were whole.
    pub broken: AtomicU64,
    /// Bytes of answers.
    pub bytes: AtomicU64,
    /// Requests that another node, or another connection, took over.
    pub retries: AtomicU64,
    /// Connections of clients that are open.
    pub connections: AtomicU64,
    /// WebSockets that are open.
    pub websockets: AtomicU64,
    /// Lines of the access log that were dropped as the disk was too slow.
    pub log_lines_dropped: AtomicU64,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    /// All of them, as text.
    pub fn render(&self, table: &Table) -> String {
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, lines: Vec<(String, u64)>| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# TYPE metapaas_router_{name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(text, "metapaas_router_{name}{labels} {value}");
            }
        };
        let get = |counter: &AtomicU64| vec![(String::new(), counter.load(Ordering::Relaxed))];
        let answers = self.answers.iter().enumerate().skip(1);
        let by_class = |(class, counter): (usize, &AtomicU64)| {
            (format!("{{class=\"{class}xx\"}}"), counter.load(Ordering::Relaxed))
        };
        add("requests_total", "counter", answers.map(by_class).collect());
        add("answers_broken_total", "counter", get(&self.broken));
        add("answer_bytes_total", "counter", get(&self.bytes));
        add("retries_total", "counter", get(&self.retries));
        add("connections", "gauge", get(&self.connections));
        add("websockets", "gauge", get(&self.websockets));
        add("access_log_dropped_total", "counter", get(&self.log_lines_dropped));
        let revision = u64::try_from(table.revision).unwrap_or_default();
        add("table_revision", "gauge", vec![(String::new(), revision)]);
        for (name, size) in ["hosts", "ports", "backends"].into_iter().zip(table.sizes()) {
            add(name, "gauge", vec![(String::new(), size as u64)]);
        }
        text
    }
}
