//! `POST .../{id}/actions/run`: a command for whoever waits for it, as a stream of what it writes, or as its result.
//!
//! Unlike other actions it is no change and has no operation: it ends with the request.

use std::collections::VecDeque;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use metapaas_core::action::{ActionDescriptor, ChooseFn};
use metapaas_core::descriptor::Action;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::registry::RegisteredType;
use metapaas_core::runs::{Run, RunEvent, RunResult};
use metapaas_core::store::Locator;
use metapaas_core::validate;
use metapaas_protocol::calls::Chunk;
use serde_json::json;
use tokio::sync::watch;

use super::Answer;
use super::body::{parse, read_optional};
use super::headers::{Preconditions, bearer};
use super::query::Query;
use super::resources::{Call, is_stream_wanted};
use super::stream::respond;

/// How much of the end of an output a result has, in bytes.
const END: usize = 64 * 1024;

impl Call<'_> {
    /// Runs a command on a node of the instance.
    pub(super) async fn run(
        &self,
        registered: &RegisteredType,
        mut locator: Locator,
        action: &ActionDescriptor,
        choose: &ChooseFn,
        body: Body,
    ) -> Answer {
        let mut query = Query::parse(self.query, &["project_id", "if_generation_match"]);
        locator.project = query.id("project_id");
        let generation = query.number("if_generation_match", i64::MAX.unsigned_abs()).map(u64::cast_signed);
        query.finish()?;
        let preconditions = Preconditions::of(self.headers, generation)?;
        if self.headers.contains_key("idempotency-key") {
            let detail = "a command is run each time; leave out Idempotency-Key (`metapaas run` does)";
            return Err(Error::invalid_at("Idempotency-Key:", "INVALID_VALUE", detail).into());
        }
        let bytes = read_optional(self.headers, body, self.app.body_limit).await?;
        let request = self.app.runs.request(&validate::parameters(action, &parse(&bytes)?)?)?;
        let allowed = self.allowed(registered, Action::Custom(action.verb));
        let instance = self.app.store.get(&allowed, registered, &locator).await?;
        allowed.on_row(instance.meta.project_id, &instance.key())?;
        preconditions.hold(&instance)?;
        let run = self.app.runs.begin(allowed, bearer(self.headers)?, &instance, choose, request).await?;
        let running = Running { run, stop: self.app.stop.clone() };
        if is_stream_wanted(self.headers) {
            return Ok(respond(running, |mut running| async move {
                Some((written(&running.next().await?), running))
            }));
        }
        let waiting = Some((running, Ends::default()));
        let mut response: Response = respond(waiting, |waiting| async move { result(waiting?).await });
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

struct Running {
    run: Run,
    stop: watch::Receiver<bool>,
}

impl Running {
    async fn next(&mut self) -> Option<RunEvent> {
        tokio::select! {
            event = self.run.next() => event,
            // It is not asked again: dropped with its connection, it ends the command.
            _ = self.stop.wait_for(|stop| *stop) => {
                self.run.give_up().map(|()| RunEvent::Broken("the control plane stops".to_owned()))
            }
        }
    }
}

/// An event of the stream.
fn written(event: &RunEvent) -> Bytes {
    let (kind, data) = match event {
        RunEvent::Idle => return Bytes::from_static(b": it goes on\n\n"),
        RunEvent::Stdout(chunk) => ("stdout", json!(chunk)),
        RunEvent::Stderr(chunk) => ("stderr", json!(chunk)),
        RunEvent::Exit(exited) => ("exit", json!(exited)),
        RunEvent::Broken(why) => ("error", json!({ "code": ErrorCode::Unavailable.as_str(), "detail": why })),
    };
    format!("event: {kind}\ndata: {data}\n\n").into()
}

/// A piece of the answer to who wants the result alone: white space, which keeps the connection, until it is there.
async fn result((mut running, mut ends): (Running, Ends)) -> Option<(Bytes, Option<(Running, Ends)>)> {
    loop {
        match running.next().await? {
            RunEvent::Idle => return Some((Bytes::from_static(b"\n"), Some((running, ends)))),
            RunEvent::Stdout(chunk) => ends.stdout.push(&chunk),
            RunEvent::Stderr(chunk) => ends.stderr.push(&chunk),
            RunEvent::Exit(exited) => return Some((ends.result(Some(exited.code), exited.message), None)),
            RunEvent::Broken(why) => return Some((ends.result(None, why), None)),
        }
    }
}

#[derive(Default)]
struct Ends {
    stdout: End,
    stderr: End,
}

impl Ends {
    fn result(self, code: Option<u8>, message: String) -> Bytes {
        let (stdout_bytes, stderr_bytes) = (self.stdout.all, self.stderr.all);
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        json!(RunResult { code, message, stdout, stderr, stdout_bytes, stderr_bytes }).to_string().into()
    }
}

/// The end of an output.
#[derive(Default)]
struct End {
    kept: VecDeque<u8>,
    all: u64,
}

impl End {
    fn push(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Text(text) => self.extend(text.as_bytes()),
            // The agent wrote it; what is no base64 counts for nothing.
            Chunk::Base64(text) => self.extend(&STANDARD.decode(text).unwrap_or_default()),
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.all += bytes.len() as u64;
        self.kept.extend(bytes);
        self.kept.drain(..self.kept.len().saturating_sub(END));
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&Vec::from(self.kept)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metapaas_protocol::calls::Exited;

    #[test]
    fn events_say_what_is_written_and_how_it_ends() {
        let exited = Exited { code: 3, message: String::new() };
        for (event, expected) in [
            (RunEvent::Stdout(Chunk::Text("a\nb".into())), "event: stdout\ndata: {\"text\":\"a\\nb\"}\n\n"),
            (
                RunEvent::Stderr(Chunk::Base64("/w==".into())),
                "event: stderr\ndata: {\"base64\":\"/w==\"}\n\n",
            ),
            (RunEvent::Exit(exited), "event: exit\ndata: {\"code\":3,\"message\":\"\"}\n\n"),
        ] {
            assert_eq!(written(&event), expected);
        }
    }

    #[test]
    fn of_a_long_output_the_end_is_kept() {
        let mut ends = Ends::default();
        for number in 0..20_000 {
            ends.stdout.push(&Chunk::Text(format!("{number}\n")));
        }
        ends.stderr.push(&Chunk::Base64(STANDARD.encode(b"\xff")));
        let result: serde_json::Value = serde_json::from_slice(&ends.result(Some(0), String::new())).unwrap();
        let stdout = result["stdout"].as_str().unwrap();
        assert!(stdout.len() == END && stdout.ends_with("\n19999\n"));
        assert_eq!((&result["stdout_bytes"], &result["stderr_bytes"]), (&json!(108_890), &json!(1)));
        assert_eq!(result["stderr"], "\u{fffd}");
    }
}
