//! `watch` and `events`: streams of the server, shown line by line, taken up again where they broke off.

use std::time::Duration;

use serde_json::Value;

use super::arguments::{Events, WatchList};
use super::client::{Client, Query};
use super::error::CliError;
use super::path;
use super::text::clean;
use super::view;

/// The server says something every few seconds; a connection that is silent for longer is dead.
pub(super) const SILENCE: Duration = Duration::from_secs(45);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One event of a stream.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    id: Option<String>,
    pub(super) kind: String,
    pub(super) data: Value,
}

/// The events in the text that has come.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole event. Blocks without data, such as comments, are none.
    pub(super) fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.bytes.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block);
            let field = |name: &str| {
                let rest = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
                Some(rest.strip_prefix(' ').unwrap_or(rest).to_owned())
            };
            if let Some(data) = field("data").and_then(|data| serde_json::from_str(&data).ok()) {
                return Some(Event { id: field("id"), kind: field("event").unwrap_or_default(), data });
            }
        }
    }
}

/// `metapaas watch`.
pub(super) async fn watch(client: &mut Client<'_>, arguments: &WatchList) -> Result<(), CliError> {
    let types = client.types().await?;
    let collection = path::collection(&types, &arguments.path)?;
    let mut query = client.project_query().await?;
    for filter in &arguments.filter {
        match filter.split_once('=') {
            Some((field, value)) if !field.is_empty() => query.push((field, value.to_owned())),
            _ => return Err(CliError::Usage(format!("`{filter}` is no filter; write field=value"))),
        }
    }
    query.extend(arguments.selector.iter().map(|selector| ("label_selector", selector.clone())));
    follow(client, &collection.url, &query, None, row_line).await
}

/// `metapaas events`.
pub(super) async fn events(client: &mut Client<'_>, arguments: &Events) -> Result<(), CliError> {
    let mut query = client.project_query().await?;
    if let Some(path) = &arguments.path {
        let types = client.types().await?;
        if path.contains('/') {
            let item = path::item(&types, path)?;
            let row = client.api.get(&item.url, &query).await?.body;
            let id = row["id"].as_str().unwrap_or_default().to_owned();
            let is_instance = item.collection.ty.parent.is_none();
            query.push((if is_instance { "instance_id" } else { "resource_id" }, id));
        } else {
            query.push(("type", path.clone()));
        }
    }
    let most = arguments.limit.unwrap_or(20);
    let mut listed = client.all("/v1/events", &query, most).await?;
    // What happened last stands last, where a terminal shows it.
    listed.items.reverse();
    let after = listed.items.last().and_then(|event| event["seq"].as_i64());
    if !arguments.follow {
        let answer = serde_json::json!({ "items": listed.items, "next_page_token": listed.next_page_token });
        return client.output.show(&answer, || {
            let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
            items.iter().map(|event| format!("{}\n", event_line("", event))).collect()
        });
    }
    for event in &listed.items {
        let data = serde_json::json!({ "type": "ADDED", "object": event });
        client.output.line(&data, || event_line("", event))?;
    }
    follow(client, "/v1/events", &query, after.map(|after| after.to_string()), event_line).await
}

/// Shows a stream until Ctrl-C. When it breaks off it is taken up after the last event that was seen.
async fn follow(
    client: &mut Client<'_>,
    url: &str,
    query: &Query<'_>,
    mut after: Option<String>,
    line: fn(&str, &Value) -> String,
) -> Result<(), CliError> {
    let following = async {
        let mut pause = FIRST_PAUSE;
        loop {
            match stream(client, url, query, &mut after, &mut pause, line).await {
                Ok(()) => {}
                Err(error) if error.is_temporary() => {
                    client.output.note("the server does not answer; trying again");
                }
                Err(error) if error.is_expired() => {
                    client
                        .output
                        .note("what happened meanwhile is no longer kept; this is how things are now");
                    after = None;
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(CliError::Silent(130)),
        ended = following => ended,
    }
}

/// Shows one connection's events.
async fn stream(
    client: &mut Client<'_>,
    url: &str,
    query: &Query<'_>,
    after: &mut Option<String>,
    pause: &mut Duration,
    line: fn(&str, &Value) -> String,
) -> Result<(), CliError> {
    let mut response = client.api.open_stream(url, query, after.as_deref()).await?;
    let mut reader = Reader::default();
    loop {
        // A connection that broke is no different from one that ended.
        let Ok(Ok(Some(bytes))) = tokio::time::timeout(SILENCE, response.chunk()).await else {
            return Ok(());
        };
        reader.push(&bytes);
        while let Some(event) = reader.next() {
            *pause = FIRST_PAUSE;
            let shown = match event.kind.as_str() {
                "SYNCED" | "BOOKMARK" => client.output.is_for_programs(),
                "ERROR" => return refusal(&event.data["object"]),
                _ => true,
            };
            if shown {
                client.output.line(&event.data, || line(&event.kind, &event.data["object"]))?;
            }
            if event.id.is_some() {
                *after = event.id;
            }
        }
    }
}

/// Why the server ended the stream. A token that ended is got anew by the next request, if it can be.
fn refusal(object: &Value) -> Result<(), CliError> {
    let detail = clean(object["detail"].as_str().unwrap_or_default());
    match object["code"].as_str() {
        Some("FORBIDDEN") => Err(CliError::Unauthenticated(detail)),
        _ => Ok(()),
    }
}

fn row_line(kind: &str, row: &Value) -> String {
    let text = |name: &str| row[name].as_str().map(clean);
    let key = ["name", "key", "path"].into_iter().find_map(text).or_else(|| text("id")).unwrap_or_default();
    let status = if kind == "DELETED" { "-".into() } else { view::state(row) };
    let generation = row["generation"].as_i64().map_or_else(|| "-".into(), |number| number.to_string());
    let ty = text("type").unwrap_or_default();
    format!("{kind:<9} {:<30} {status:<10} {generation}", format!("{ty}/{key}"))
}

fn event_line(_kind: &str, event: &Value) -> String {
    let text = |value: &Value| value.as_str().map(clean).unwrap_or_default();
    let place = format!("{}/{}/{}", text(&event["type"]), text(&event["plural"]), text(&event["name"]));
    let changes: Vec<String> =
        event["detail"]["changes"].as_array().into_iter().flatten().map(change).collect();
    let line = format!(
        "{} {:>7} {:<9} {place:<32} by {} {}",
        text(&event["at"]),
        event["seq"].as_i64().unwrap_or_default(),
        text(&event["action"]),
        text(&event["actor"]["name"]),
        changes.join(", ")
    );
    line.trim_end().to_owned()
}

fn change(change: &Value) -> String {
    let field = change["field"].as_str().map(clean).unwrap_or_default();
    if change["redacted"] == true || change["truncated"] == true {
        return field;
    }
    format!("{field}: {} -> {}", clean(&change["from"].to_string()), clean(&change["to"].to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read_however_their_text_is_cut() {
        let text = "retry: 1000\n\n: idle\n\nevent: ADDED\ndata: {\"object\":{\"name\":\"ä\"}}\n\nid: 7\nevent: SYNCED\ndata: {}\n\n";
        for length in 1..text.len() {
            let mut reader = Reader::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(length) {
                reader.push(piece);
                events.extend(std::iter::from_fn(|| reader.next()));
            }
            let added = Event { id: None, kind: "ADDED".into(), data: json!({"object": {"name": "ä"}}) };
            let synced = Event { id: Some("7".into()), kind: "SYNCED".into(), data: json!({}) };
            assert_eq!(events, [added, synced], "{length}");
        }
    }

    #[test]
    fn a_row_is_a_line() {
        let row = json!({"type": "demo", "name": "a", "status": "ACTIVE", "generation": 2, "observed_generation": 2});
        assert_eq!(row_line("MODIFIED", &row), "MODIFIED  demo/a                         ACTIVE     2");
        let gone = json!({"type": "demo/pages", "key": "home", "id": "1"});
        assert_eq!(row_line("DELETED", &gone), "DELETED   demo/pages/home                -          -");
    }

    #[test]
    fn an_event_is_a_line() {
        let event = json!({
            "at": "2030-01-01T00:00:00.000000Z", "seq": 7, "action": "updated", "type": "demo",
            "plural": "instances", "name": "a", "actor": {"name": "olga"},
            "detail": {"changes": [{"field": "greeting", "from": "x", "to": "y"}, {"field": "password", "redacted": true}]},
        });
        let line = event_line("", &event);
        assert!(line.ends_with("by olga greeting: \"x\" -> \"y\", password"), "{line}");
    }
}
