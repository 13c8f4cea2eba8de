//! Many watches of one list while it changes: how soon each change is there, and what a watch costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::Store;
use crate::client::Call;
use crate::error::BenchError;
use crate::report::{Finding, Report};
use crate::target::Target;

const INSTANCES: &str = "/v1/types/demo/instances";
/// Watches that are opened at the same time.
const OPENING: usize = 32;
const CHANGES_PER_SECOND: u64 = 50;
/// How long changes come while all read.
const ALL_READ: Duration = Duration::from_secs(15);
/// How long they come while half of them do not.
const HALF_READ: Duration = Duration::from_secs(20);
/// How long all of them may take to have the last change.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stands before the time of a change in its description.
const MARK: &[u8] = b"\"description\":\"t";

/// What the watches of a run have in common.
struct Shared {
    begin: Instant,
    synced: AtomicUsize,
    /// How many have had the change of this number.
    last_wanted: AtomicUsize,
    last_had: AtomicUsize,
    /// Whether those that can stop reading do so.
    stopped: watch::Receiver<bool>,
}

/// Opens `count` watches on `target` and changes what they watch.
pub(crate) async fn measure(
    target: &Target,
    store: Store,
    count: usize,
    report: &mut Report,
) -> Result<(), BenchError> {
    allow_files();
    let token = target.token().await?;
    let before = target.resident_bytes()?;
    let (stop, stopped) = watch::channel(false);
    let shared = Arc::new(Shared {
        begin: Instant::now(),
        synced: AtomicUsize::new(0),
        last_wanted: AtomicUsize::new(usize::MAX),
        last_had: AtomicUsize::new(0),
        stopped,
    });
    let (times, mut measured) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(OPENING));
    let mut watches = JoinSet::new();
    let value = String::from_utf8_lossy(token.as_bytes()).into_owned();
    for index in 0..count {
        let watcher = Watcher {
            address: target.address().to_owned(),
            token: value.clone(),
            shared: shared.clone(),
            times: times.clone(),
            may_stop: index % 2 == 0,
        };
        watches.spawn(watcher.run(permits.clone()));
    }
    wait_for(&shared.synced, count, PATIENCE * 3).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let open = target.resident_bytes()?;

    let mut changes = Changes { target, shared: shared.clone(), made: 0 };
    changes.run(ALL_READ).await?;
    changes.last(count).await?;
    let mut delivered = Vec::new();
    while let Ok(time) = measured.try_recv() {
        delivered.push(time);
    }
    let all_read = changes.target.resident_bytes()?;

    // Nobody is interrupted while it waits for what comes next, so the first change is still read.
    let _ = stop.send(true);
    changes.run(HALF_READ).await?;
    let half_read = changes.target.resident_bytes()?;
    let _ = stop.send(false);
    changes.last(count).await?;
    let caught_up = changes.target.resident_bytes()?;
    watches.abort_all();

    delivered.sort_unstable();
    let last = delivered.len().checked_sub(1).ok_or(BenchError::NoAnswer)?;
    let milliseconds =
        |share: usize| f64::from(delivered[(delivered.len() * share / 100).min(last)]) / 1000.0;
    let mebibytes = |bytes: u64| f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0;
    let each =
        mebibytes(open.saturating_sub(before)) * 1024.0 / f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let on = format!("{count} watches, {CHANGES_PER_SECOND} changes/s, {store:?}");
    for (what, value, unit) in [
        ("delivery, p50", milliseconds(50), "ms"),
        ("delivery, p99", milliseconds(99), "ms"),
        ("deliveries measured", f64::from(u32::try_from(delivered.len()).unwrap_or(u32::MAX)), ""),
        ("memory of the server, no watch", mebibytes(before), "MiB"),
        ("memory of the server, all open", mebibytes(open), "MiB"),
        ("memory per watch", each, "KiB"),
        ("memory of the server, all have read", mebibytes(all_read), "MiB"),
        ("memory of the server, half have not read for 20 s", mebibytes(half_read), "MiB"),
        ("memory of the server, all have caught up", mebibytes(caught_up), "MiB"),
    ] {
        report.findings.push(Finding::new("watches", format!("{on}: {what}"), value, unit));
    }
    Ok(())
}

/// Every watch is an open file, here and there; the servers inherit the limit.
pub(crate) fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    // Without it the connections that are too many fail, and say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

async fn wait_for(counter: &AtomicUsize, count: usize, patience: Duration) -> Result<(), BenchError> {
    let since = Instant::now();
    while counter.load(Ordering::SeqCst) < count {
        if since.elapsed() > patience {
            let had = counter.load(Ordering::SeqCst);
            return Err(BenchError::Watches { had, count });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Changes of what is watched.
struct Changes<'a> {
    target: &'a Target,
    shared: Arc<Shared>,
    made: usize,
}

impl Changes<'_> {
    async fn run(&mut self, duration: Duration) -> Result<(), BenchError> {
        let mut connection = self.target.connect().await?;
        let token = self.target.token().await?;
        let mut ticks = tokio::time::interval(Duration::from_millis(1000 / CHANGES_PER_SECOND));
        let until = Instant::now() + duration;
        while Instant::now() < until {
            ticks.tick().await;
            self.made += 1;
            let now = self.shared.begin.elapsed().as_micros();
            let body = json!({ "description": format!("t{now}.{}", self.made) });
            let id = &self.target.ids[self.made % self.target.ids.len()];
            let call = Call {
                method: Method::PATCH,
                path: format!("{INSTANCES}/{id}"),
                token: Some(token.clone()),
                body: Bytes::from(body.to_string()),
            };
            connection.succeed(&call).await?;
        }
        Ok(())
    }

    /// Makes one more change and waits until all have it.
    async fn last(&mut self, count: usize) -> Result<(), BenchError> {
        self.shared.last_had.store(0, Ordering::SeqCst);
        self.shared.last_wanted.store(self.made + 1, Ordering::SeqCst);
        self.run(Duration::from_millis(1)).await?;
        wait_for(&self.shared.last_had, count, PATIENCE).await
    }
}

struct Watcher {
    address: String,
    token: String,
    shared: Arc<Shared>,
    times: mpsc::UnboundedSender<u32>,
    may_stop: bool,
}

impl Watcher {
    async fn run(self, permits: Arc<Semaphore>) -> Result<(), BenchError> {
        let failed = |source| BenchError::Connect { address: self.address.clone(), source };
        let permit = permits.acquire_owned().await;
        let mut stream = TcpStream::connect(&self.address).await.map_err(failed)?;
        let request = format!(
            "GET {INSTANCES} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\naccept: text/event-stream\r\n\r\n",
            self.address, self.token
        );
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let mut permit = Some(permit);
        let mut stopped = self.shared.stopped.clone();
        let mut text = Vec::with_capacity(8192);
        loop {
            if self.may_stop {
                let _ = stopped.wait_for(|stopped| !stopped).await;
            }
            if stream.read_buf(&mut text).await.map_err(failed)? == 0 {
                return Ok(());
            }
            let now = self.shared.begin.elapsed().as_micros();
            if permit.is_some() && find(&text, b"event: SYNCED").is_some() {
                permit = None;
                self.shared.synced.fetch_add(1, Ordering::SeqCst);
            }
            let is_live = permit.is_none();
            while let Some(start) = find(&text, MARK) {
                let rest = &text[start + MARK.len()..];
                let Some(end) = rest.iter().position(|byte| *byte == b'"') else { break };
                let mut numbers = std::str::from_utf8(&rest[..end]).unwrap_or_default().split('.');
                let made = numbers.next().and_then(|number| number.parse::<u128>().ok());
                let number = numbers.next().and_then(|number| number.parse::<usize>().ok());
                if let (true, Some(made)) = (is_live, made) {
                    // The receiver is there until the run ends.
                    let _ = self.times.send(u32::try_from(now.saturating_sub(made)).unwrap_or(u32::MAX));
                }
                if number == Some(self.shared.last_wanted.load(Ordering::SeqCst)) {
                    self.shared.last_had.fetch_add(1, Ordering::SeqCst);
                }
                text.drain(..start + MARK.len() + end);
            }
            // What a mark may begin in stays.
            let keep = text.len().saturating_sub(MARK.len() + 40);
            if find(&text, MARK).is_none() {
                text.drain(..keep);
            }
        }
    }
}

/// Where `wanted` stands in `text`.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].iter().position(|byte| *byte == wanted[0]) {
        let start = from + found;
        if text[start..].starts_with(wanted) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_where_it_stands() {
        assert_eq!(find(b"x\"\"description\":\"t12", MARK), Some(2));
        assert_eq!(find(b"\"description\":", MARK), None);
    }
}
