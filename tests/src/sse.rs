//! A reader of server-sent events, and what the events of a watch add up to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::harness::{Answer, Installation, PATIENCE};

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    response: Response,
    text: String,
    /// The last `id:`.
    pub position: Option<i64>,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// `id:`, when it has one.
    pub id: Option<i64>,
    /// `event:`
    pub kind: String,
    /// `object` of the data.
    pub object: Value,
}

#[expect(clippy::expect_used, clippy::panic, reason = "a harness of tests")]
impl Stream {
    /// Opens a stream, or answers what was said instead.
    pub async fn try_open(url: &str, token: &str, after: Option<&str>) -> Result<Self, Answer> {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut request = client.get(url).bearer_auth(token).header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.expect("an answer");
        if response.status() == StatusCode::OK {
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            return Ok(Self { response, text: String::new(), position: None });
        }
        let status = response.status();
        let body = response.json().await.unwrap_or_default();
        Err(Answer { status, headers: Vec::new(), body })
    }

    /// Opens a stream where that may fail: the control plane may be gone, stopped or without its database.
    pub async fn connect(url: &str, token: &str, after: Option<i64>) -> Option<Self> {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut request = client.get(url).bearer_auth(token).header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let response = tokio::time::timeout(Duration::from_secs(4), request.send()).await.ok()?.ok()?;
        let is_open = response.status() == StatusCode::OK;
        is_open.then(|| Self { response, text: String::new(), position: None })
    }

    /// Opens a stream as the admin.
    pub async fn open(installation: &Installation, path: &str, after: Option<i64>) -> Self {
        let url = format!("{}{path}", installation.url);
        let after = after.map(|after| after.to_string());
        match Self::try_open(&url, &installation.token, after.as_deref()).await {
            Ok(stream) => stream,
            Err(answer) => panic!("{path}: {answer:?}"),
        }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(event) = parse(&block) {
                    self.position = event.id.or(self.position);
                    return Some(event);
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            match chunk.unwrap_or_else(|_| panic!("nothing came for {PATIENCE:?}")) {
                Ok(Some(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).expect("UTF-8")),
                Ok(None) => return None,
                // A control plane that was killed.
                Err(_) => return None,
            }
        }
    }

    /// The next event, which must come.
    pub async fn must(&mut self) -> Event {
        self.next()
            .await
            .unwrap_or_else(|| panic!("the stream ended; its last position is {:?}", self.position))
    }

    /// Events up to and with the first for which `is_last` holds.
    pub async fn until(&mut self, mut is_last: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        let since = Instant::now();
        loop {
            let event = self.must().await;
            // Bookmarks come for ever.
            assert!(since.elapsed() < PATIENCE, "waited in vain; these came: {events:#?}");
            let done = is_last(&event);
            events.push(event);
            if done {
                return events;
            }
        }
    }

    /// Whether nothing comes for a little while.
    pub async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(1500), self.next()).await.is_err()
    }
}

#[expect(clippy::expect_used, reason = "a harness of tests")]
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data: Value = serde_json::from_str(field("data")?).expect("JSON");
    let kind = field("event").expect("an event's name").to_owned();
    assert_eq!(data["type"], kind.as_str(), "the name is the type");
    Some(Event {
        id: field("id").map(|id| id.parse().expect("a number")),
        kind,
        object: data["object"].clone(),
    })
}

/// What events add up to, held to the rules of a watch.
#[derive(Debug, Default)]
pub struct Fold {
    /// Rows by id.
    pub rows: BTreeMap<String, Value>,
    told: BTreeMap<String, i64>,
    last: i64,
}

impl Fold {
    /// Takes an event in.
    #[track_caller]
    pub fn take(&mut self, event: &Event) {
        if let Some(id) = event.id {
            let is_mark = matches!(event.kind.as_str(), "SYNCED" | "BOOKMARK");
            assert!(id > self.last || (is_mark && id >= self.last), "{} comes after {}", id, self.last);
            self.last = id;
        }
        let Some(row) = event.object["id"].as_str() else { return };
        let revision = event.object["revision"].as_i64().unwrap_or_default();
        if let Some(id) = event.id {
            assert_eq!(id, revision, "the id is the revision");
        }
        let before = self.told.insert(row.to_owned(), revision).unwrap_or_default();
        assert!(revision > before, "{row} at {revision} comes after {before}");
        match event.kind.as_str() {
            "DELETED" => {
                self.rows.remove(row);
            }
            "ADDED" => {
                let old = self.rows.insert(row.to_owned(), event.object.clone());
                assert!(old.is_none(), "{row} is added twice");
            }
            _ => {
                let old = self.rows.insert(row.to_owned(), event.object.clone());
                assert!(old.is_some(), "{row} is modified before it was added");
            }
        }
    }
}
