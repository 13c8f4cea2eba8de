//! Request bodies: size, media type, JSON.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, header};
use bytes::Bytes;
use metapaas_core::error::{Error, ErrorCode};
use serde_json::Value;

/// How long a client may take to send its body.
const DEADLINE: Duration = Duration::from_secs(30);

/// Reads a JSON body of at most `limit` bytes.
///
/// # Errors
/// `BodyTooLarge`, `UnsupportedMediaType`, `InvalidRequest` with line and column.
pub(super) async fn read_json(
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Value, Error> {
    parse(&read_bytes(method, headers, body, limit).await?)
}

/// Reads a body of JSON as it was sent.
///
/// # Errors
/// `BodyTooLarge`, `UnsupportedMediaType`, `InvalidRequest` when it ends early.
pub(super) async fn read_bytes(
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Bytes, Error> {
    media_type(method, headers)?;
    read(headers, body, limit).await
}

/// JSON out of a body.
///
/// # Errors
/// `InvalidRequest` with line and column.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid_at("", "INVALID_JSON", format!("the body is not JSON: {error}")))
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Error> {
    let too_large = || {
        let detail = format!("the body is larger than {limit} bytes");
        Error::new(ErrorCode::BodyTooLarge, detail).with("limit", limit)
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(DEADLINE, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Error::invalid_at("", "INCOMPLETE_BODY", "the body ended early")),
        Err(_) => Err(Error::invalid_at("", "INCOMPLETE_BODY", "the body did not arrive in time")),
    }
}

fn is_limit(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        // The limiting body has a public error type in a crate that is no dependency of ours.
        if error.to_string() == "length limit exceeded" {
            return true;
        }
        source = error.source();
    }
    false
}

fn media_type(method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    let accepted: &[&str] = if *method == Method::PATCH {
        &["application/json", "application/merge-patch+json"]
    } else {
        &["application/json"]
    };
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if accepted.contains(&essence.as_str()) {
        return Ok(());
    }
    let found = if given.is_empty() { "none".into() } else { format!("{given:?}") };
    let detail = format!("send Content-Type: {}, found {found}", accepted.join(" or "));
    Err(Error::new(ErrorCode::UnsupportedMediaType, detail))
}
