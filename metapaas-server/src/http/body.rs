//! Request bodies: size, media type, JSON.

use axum::body::Body;
use axum::http::{HeaderMap, Method, header};
use bytes::Bytes;
use metapaas_core::error::{Error, ErrorCode};
use serde_json::Value;

use crate::limits::BodyLimit;

/// Reads a JSON body within a limit.
///
/// # Errors
/// `BodyTooLarge`, `UnsupportedMediaType`, `RequestTimeout`, `InvalidRequest` with line and column.
pub(super) async fn read_json(
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    limit: BodyLimit,
) -> Result<Value, Error> {
    parse(&read_bytes(method, headers, body, limit).await?)
}

/// Reads a body of JSON as it was sent.
///
/// # Errors
/// `BodyTooLarge`, `UnsupportedMediaType`, `RequestTimeout`, `InvalidRequest` when it ends early or is nested too deeply.
pub(super) async fn read_bytes(
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    limit: BodyLimit,
) -> Result<Bytes, Error> {
    media_type(method, headers)?;
    let bytes = read(headers, body, limit).await?;
    if is_deeper(&bytes, limit.depth) {
        let detail = format!("the body has more than {} levels of arrays and objects", limit.depth);
        return Err(Error::invalid_at("", "TOO_DEEP", detail));
    }
    Ok(bytes)
}

/// JSON out of a body.
///
/// # Errors
/// `InvalidRequest` with line and column.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid_at("", "INVALID_JSON", format!("the body is not JSON: {error}")))
}

/// Reads the body of a request that need not have one; no body is an empty object.
///
/// # Errors
/// As [`read_json`].
pub(super) async fn read_optional(headers: &HeaderMap, body: Body, limit: BodyLimit) -> Result<Bytes, Error> {
    let bytes = read(headers, body, limit).await?;
    if bytes.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    media_type(&Method::POST, headers)?;
    Ok(bytes)
}

/// Reads the body of a request that takes none; an empty object is as good.
///
/// # Errors
/// As [`read_json`]; `InvalidRequest` when it says anything.
pub(super) async fn no_members(headers: &HeaderMap, body: Body, limit: BodyLimit) -> Result<(), Error> {
    match parse(&read_optional(headers, body, limit).await?)? {
        Value::Object(members) if members.is_empty() => Ok(()),
        _ => Err(Error::invalid_at("", "UNKNOWN_FIELD", "this takes no body, or {}")),
    }
}

async fn read(headers: &HeaderMap, body: Body, limit: BodyLimit) -> Result<Bytes, Error> {
    let BodyLimit { bytes: limit, timeout, .. } = limit;
    let too_large = || {
        let detail = format!("the body is larger than {limit} bytes");
        Error::new(ErrorCode::BodyTooLarge, detail).with("limit", limit)
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(timeout, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Error::invalid_at("", "INCOMPLETE_BODY", "the body ended early")),
        Err(_) => {
            let detail = format!("the body did not arrive within {timeout:?}");
            Err(Error::new(ErrorCode::RequestTimeout, detail))
        }
    }
}

/// Whether brackets outside of texts nest deeper than that; cheaper than to find out while reading.
fn is_deeper(json: &[u8], levels: usize) -> bool {
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > levels {
                    return true;
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_outside_of_texts_count_as_levels() {
        for (json, depth) in [
            ("1", 0),
            (r#"{"a": [1, [2]]}"#, 3),
            (r#"["[[[", "\"[[", "\\"]"#, 1),
            ("[[],[],[[]]]", 3),
            ("]]]][", 1),
        ] {
            assert!(!is_deeper(json.as_bytes(), depth), "{json}");
            assert!(depth == 0 || is_deeper(json.as_bytes(), depth - 1), "{json}");
        }
    }
}
