//! Answers of server-sent events.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures::{Future, StreamExt, stream};

use super::query::Query;

/// The position after which the client wants to go on: the header `Last-Event-ID`, or the parameter `last_event_id`
/// for clients that cannot set it. A browser's own header wins, since it is newer than the URL.
pub(super) fn last_event_id(headers: &HeaderMap, query: &mut Query) -> Option<i64> {
    let parameter = query.text("last_event_id");
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?").trim().to_owned());
    let text = header.or(parameter).filter(|text| !text.is_empty())?;
    let position = text.parse().ok().filter(|position| *position >= 0);
    if position.is_none() {
        query.wrong("Last-Event-ID", "INVALID_VALUE", "take it unchanged from the last `id:` of a stream");
    }
    position
}

/// An answer whose body `next` makes piece by piece, as the client reads it.
pub(super) fn respond<S, F>(state: S, next: impl Fn(S) -> F + Send + 'static) -> Response
where
    S: Send + 'static,
    F: Future<Output = Option<(Bytes, S)>> + Send + 'static,
{
    let body = Body::from_stream(stream::unfold(state, next).map(Ok::<Bytes, Infallible>));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // A proxy that collects an answer before it hands it on would hold back what is to be live.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
