//! `logs`: what the nodes of an instance write, and goes on with it when asked.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde_json::Value;

use super::client::{Client, Query};
use super::error::CliError;
use super::follow::{Reader, SILENCE};
use super::path;
use super::text::clean;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Lines that are made up for after a break.
const MISSED: &str = "10000";

/// `logs NAME`
#[derive(Args, Clone, Debug)]
pub struct LogsArguments {
    /// NAME of an app, or TYPE/NAME
    name: String,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// Show the last N lines
    #[arg(long, value_name = "N", default_value_t = 100)]
    tail: u32,
    /// Nothing that is older: a time such as 2026-01-31T12:00:00Z, or so long ago, e.g. 10m
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<DateTime<Utc>>,
    /// Only the node in this place, as `get` shows it
    #[arg(long, value_name = "PLACE")]
    node: Option<String>,
}

/// `metapaas logs`.
pub(super) async fn run(client: &mut Client<'_>, arguments: &LogsArguments) -> Result<(), CliError> {
    let types = client.types().await?;
    let name = match arguments.name.contains('/') {
        true => arguments.name.clone(),
        false => format!("app/{}", arguments.name),
    };
    let url = format!("{}/logs", path::item(&types, &name)?.url);
    let mut fixed = client.project_query().await?;
    fixed.extend(arguments.node.iter().map(|node| ("node", node.clone())));
    if !arguments.follow {
        let mut query = fixed.clone();
        query.push(("tail", arguments.tail.to_string()));
        query.extend(arguments.since.map(|since| ("since", written(since))));
        return show(client, &url, &query, &mut None).await;
    }
    fixed.push(("follow", "true".to_owned()));
    let following = async {
        let (mut last, mut pause) = (None, FIRST_PAUSE);
        loop {
            let mut query = fixed.clone();
            let (tail, since) = match last {
                None => (arguments.tail.to_string(), arguments.since),
                Some(last) => (MISSED.to_owned(), Some(last + chrono::TimeDelta::milliseconds(1))),
            };
            query.push(("tail", tail));
            query.extend(since.map(|since| ("since", written(since))));
            let before = last;
            match show(client, &url, &query, &mut last).await {
                Ok(()) => {}
                Err(error) if error.is_temporary() => {
                    client.output.note("the server does not answer; trying again");
                }
                Err(error) => return Err(error),
            }
            pause = if last == before { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(CliError::Silent(130)),
        ended = following => ended,
    }
}

/// Shows one connection's lines; `last` is the time of the last one.
async fn show(
    client: &mut Client<'_>,
    url: &str,
    query: &Query<'_>,
    last: &mut Option<DateTime<Utc>>,
) -> Result<(), CliError> {
    let mut response = client.api.open_stream(url, query, None).await?;
    let mut reader = Reader::default();
    loop {
        // A connection that broke is no different from one that ended.
        let Ok(Ok(Some(bytes))) = tokio::time::timeout(SILENCE, response.chunk()).await else {
            return Ok(());
        };
        reader.push(&bytes);
        while let Some(event) = reader.next() {
            client.output.line(&event.data, || line(&event.data))?;
            let time = event.data["time"].as_str().and_then(|time| time.parse().ok());
            *last = (*last).max(time);
        }
    }
}

fn line(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    // Tabs move the cursor no further than to the right.
    let said: Vec<String> = text("text").split('\t').map(clean).collect();
    format!(
        "{} {}[{}]: {}",
        clean(text("time")),
        clean(text("node")),
        clean(text("service")),
        said.join("\t")
    )
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let ago = chrono::TimeDelta::from_std(ago).map_err(|_| "that is too long ago".to_owned())?;
        return Utc::now().checked_sub_signed(ago).ok_or_else(|| "that is too long ago".to_owned());
    }
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.to_utc()).map_err(|_| "expected a time such as 2026-01-31T12:00:00Z, or 10m".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_cannot_drive_the_terminal() {
        let entry = json!({ "time": "2026-01-31T12:00:00.5Z", "node": "web-1-0", "service": "web", "text": "a\tb\u{1b}[2J" });
        assert_eq!(line(&entry), "2026-01-31T12:00:00.5Z web-1-0[web]: a\tb\\u{1b}[2J");
    }

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        assert_eq!(written(since("2026-01-31T13:00:00+01:00").unwrap()), "2026-01-31T12:00:00.000Z");
        assert!(since("10m").unwrap() < Utc::now());
        assert!(since("yesterday").is_err() && since("900000000y").is_err());
    }
}
