//! What is there when a reader comes: lines of all nodes, and of those that are gone, in the order of their times.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;
use uuid::Uuid;

use super::{LogEntry, LogReader, entry};
use crate::error::Error;
use crate::store::Store;

/// How long the nodes may take to tell what they have.
const PATIENCE: Duration = Duration::from_secs(15);
/// More than this is not held at one time; what comes later is told as it comes.
const HELD: usize = 16 << 20;

impl LogReader {
    /// Asks all nodes.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        let nodes = self.logs.store.nodes(self.instance).await?;
        if let Some(wanted) = &self.request.node
            && !nodes.iter().any(|node| node.place == *wanted)
            && !has_left(&self.logs.store, self.instance, wanted).await?
        {
            return Err(Error::not_found(format_args!("the node {wanted:?}")));
        }
        let since = self.since();
        for node in nodes {
            if self.is_wanted(&node) {
                self.ask(&node, since);
            }
        }
        Ok(())
    }

    /// The newest lines that there are.
    pub(super) async fn history(&mut self) -> Vec<LogEntry> {
        let mut all = Vec::new();
        match self.logs.store.kept_lines(self.instance).await {
            Ok(kept) => {
                let since = self.since();
                let wanted = self.request.node.clone();
                for kept in
                    kept.into_iter().filter(|kept| wanted.as_ref().is_none_or(|place| kept.place == *place))
                {
                    let lines =
                        kept.lines.into_iter().filter(|line| since.is_none_or(|since| line.at >= since));
                    all.extend(lines.map(|line| entry(&kept.place, line)));
                }
            }
            Err(error) => tracing::warn!(error = crate::error::chain(&error), "lines of nodes that are gone"),
        }
        let mut held = 0;
        let end = Instant::now() + PATIENCE;
        while held < HELD && self.sources.values().any(|source| source.is_open && !source.has_caught_up) {
            let Ok(Some((node, said))) = tokio::time::timeout_at(end, self.said.next()).await else { break };
            let entries = self.take(node, said);
            held += entries.iter().map(|entry| entry.text.len() + 64).sum::<usize>();
            all.extend(entries);
        }
        newest(all, self.request.tail)
    }
}

/// Whether a node of that place has left lines.
async fn has_left(store: &Store, instance: Uuid, place: &str) -> Result<bool, Error> {
    Ok(store.kept_lines(instance).await?.iter().any(|kept| kept.place == place))
}

/// The last ones, in the order of their times; those of one node stay in their order.
fn newest(mut all: Vec<LogEntry>, tail: u32) -> Vec<LogEntry> {
    all.sort_by_key(|entry| entry.time);
    let surplus = all.len().saturating_sub(tail as usize);
    all.drain(..surplus);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn lines_of_all_nodes_come_in_the_order_of_their_times() {
        let line = |at: i64, node: &str, text: &str| LogEntry {
            time: DateTime::from_timestamp_millis(at).unwrap(),
            node: node.into(),
            service: "web".into(),
            text: text.into(),
        };
        let all = vec![line(1, "a", "1"), line(3, "a", "3"), line(3, "a", "4"), line(2, "b", "2")];
        let texts = |tail| newest(all.clone(), tail).into_iter().map(|entry| entry.text).collect::<Vec<_>>();
        assert_eq!(texts(10), ["1", "2", "3", "4"]);
        assert_eq!(texts(2), ["3", "4"]);
        assert!(texts(0).is_empty());
    }
}
