//! `GET .../{id}/logs`: lines of an instance's nodes, as text, as JSON a line, or as server-sent events.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use chrono::SecondsFormat;
use metapaas_core::action::LOGS;
use metapaas_core::descriptor::Action;
use metapaas_core::error::Error;
use metapaas_core::logs::{LogEntry, LogReader, LogRequest, TAIL_MAX};
use metapaas_core::registry::RegisteredType;
use metapaas_core::store::Locator;
use tokio::sync::watch;

use super::Answer;
use super::headers::bearer;
use super::query::Query;
use super::resources::Call;
use super::stream::respond;

/// Lines without a word of how many.
const TAIL_DEFAULT: u32 = 100;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Events,
}

impl Call<'_> {
    /// Tells what the nodes have written.
    pub(super) async fn logs(&self, registered: &RegisteredType, mut locator: Locator) -> Answer {
        let mut query = Query::parse(self.query, &["project_id", "tail", "since", "follow", "node"]);
        locator.project = query.id("project_id");
        let request = LogRequest {
            tail: query
                .number("tail", TAIL_MAX.into())
                .map_or(TAIL_DEFAULT, |tail| tail.try_into().unwrap_or(TAIL_MAX)),
            since: query.time("since"),
            follow: query.flag("follow"),
            node: query.word("node"),
        };
        query.finish()?;
        let allowed = self.allowed(registered, Action::Custom(LOGS));
        let instance = self.app.store.get(&allowed, registered, &locator).await?;
        let reader = self.app.logs.read(allowed, bearer(self.headers)?, &instance, request).await?;
        let form = Form::of(self.headers);
        let streaming = Streaming { reader, form, stop: self.app.stop.clone() };
        let mut response: Response = respond(streaming, next);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
        Ok(response)
    }
}

struct Streaming {
    reader: LogReader,
    form: Form,
    stop: watch::Receiver<bool>,
}

async fn next(mut streaming: Streaming) -> Option<(Bytes, Streaming)> {
    let entries = tokio::select! {
        entries = streaming.reader.next() => entries?,
        // Whoever follows comes back, here or elsewhere.
        _ = streaming.stop.wait_for(|stop| *stop) => return None,
    };
    let text = match streaming.form {
        Form::Events if entries.is_empty() => ": idle\n\n".to_owned(),
        form => entries.iter().map(|entry| form.write(entry)).collect(),
    };
    Some((text.into(), streaming))
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges = accept.flat_map(|text| text.split(','));
        let mut named = ranges.map(|range| range.split(';').next().unwrap_or_default().trim());
        let form = named.find_map(|range| match range {
            "text/plain" => Some(Self::Text),
            "application/x-ndjson" | "application/json" => Some(Self::Json),
            "text/event-stream" => Some(Self::Events),
            _ => None,
        });
        form.unwrap_or(Self::Text)
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    fn write(self, entry: &LogEntry) -> String {
        let json = || serde_json::to_string(entry).map_err(Error::internal).unwrap_or_default();
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Text => {
                let time = entry.time.to_rfc3339_opts(SecondsFormat::Millis, true);
                writeln!(text, "{time} {}[{}]: {}", entry.node, entry.service, entry.text)
            }
            Self::Json => writeln!(text, "{}", json()),
            Self::Events => writeln!(text, "data: {}\n", json()),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_the_client_wants_them() {
        for (accept, expected) in [
            ("*/*", Form::Text),
            ("text/event-stream", Form::Events),
            ("application/x-ndjson, text/plain", Form::Json),
            ("text/plain;q=0.5", Form::Text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Form::of(&headers), expected, "{accept}");
        }
        let entry = LogEntry {
            time: chrono::DateTime::from_timestamp_millis(1_700_000_000_123).unwrap(),
            node: "web-1-0".into(),
            service: "web".into(),
            text: "hello".into(),
        };
        assert_eq!(Form::Text.write(&entry), "2023-11-14T22:13:20.123Z web-1-0[web]: hello\n");
        let json = r#"{"time":"2023-11-14T22:13:20.123Z","node":"web-1-0","service":"web","text":"hello"}"#;
        assert_eq!(Form::Json.write(&entry), format!("{json}\n"));
        assert_eq!(Form::Events.write(&entry), format!("data: {json}\n\n"));
    }
}
