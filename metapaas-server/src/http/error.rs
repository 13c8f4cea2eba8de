//! Errors as `application/problem+json` (RFC 9457). The only place that knows status codes.

use std::any::Any;
use std::future::Future;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use metapaas_core::error::{Error, ErrorCode, chain};
use metapaas_core::iam::Denial;
use serde_json::{Map, Value, json};

use super::headers::RequestId;

tokio::task_local! {
    /// The id of the request that the task serves, for error answers.
    static REQUEST: RequestId;
}

/// Runs `work` as that request's.
pub(super) async fn in_request<T>(id: RequestId, work: impl Future<Output = T>) -> T {
    REQUEST.scope(id, work).await
}

/// An [`Error`] on its way out.
#[derive(Debug)]
pub(super) struct ApiError(pub Error);

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// The status that goes with a code.
pub(super) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden | ErrorCode::PasswordChangeRequired => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::NameTaken
        | ErrorCode::AmbiguousName
        | ErrorCode::QuotaExceeded
        | ErrorCode::InvalidState
        | ErrorCode::InUse
        | ErrorCode::IdempotencyInProgress => StatusCode::CONFLICT,
        ErrorCode::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorCode::Expired => StatusCode::GONE,
        ErrorCode::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::UriTooLong => StatusCode::URI_TOO_LONG,
        ErrorCode::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = status(error.code);
        if let Some(source) = &error.source
            && status.is_server_error()
        {
            let request_id = REQUEST.try_with(|id| id.0.clone()).unwrap_or_default();
            let error_chain = chain(source.as_ref());
            tracing::error!(%request_id, error = error_chain, code = error.code.as_str(), "request failed");
        }
        let denial = Denial::of(&error);
        let mut body: Map<String, Value> = error.extra;
        let allowed = body.get("allowed").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let retry_after = body.get("retry_after").and_then(Value::as_u64).unwrap_or(1);
        body.insert("type".into(), format!("urn:metapaas:error:{}", error.code.as_str()).into());
        body.insert("title".into(), error.code.title().into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("code".into(), error.code.as_str().into());
        body.insert("detail".into(), error.detail.into());
        if let Ok(id) = REQUEST.try_with(|id| id.0.to_string()) {
            body.insert("request_id".into(), id.into());
        }
        body.insert("errors".into(), json!(error.problems));
        let mut response = (status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let (ErrorCode::MethodNotAllowed, Some(allowed)) = (error.code, allowed) {
            headers.insert(header::ALLOW, allowed);
        }
        match error.code {
            ErrorCode::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ErrorCode::Unavailable | ErrorCode::TooManyRequests | ErrorCode::IdempotencyInProgress => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
            }
            // What is left of the body may still be on its way; this connection cannot be used again.
            ErrorCode::RequestTimeout => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        if let Some(denial) = denial {
            response.extensions_mut().insert(denial);
        }
        response
    }
}

/// The answer to a path that is not there.
pub(super) async fn no_such_path(request: Request) -> ApiError {
    ApiError(super::no_such_path(request.uri().path()))
}

/// The answer to a method that a path does not have.
pub(super) async fn method_not_allowed(request: Request) -> ApiError {
    // The router adds what the path takes.
    ApiError(wrong_method(request.method(), request.uri().path()))
}

/// The answer to a method that a path does not have. Its member `allowed`, where it has one, is the header `Allow`.
pub(super) fn wrong_method(method: &axum::http::Method, path: &str) -> Error {
    Error::new(ErrorCode::MethodNotAllowed, format!("{path} does not take {method}"))
}

/// The answer to a request whose handler panicked, which is a bug.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked; this is a bug");
    ApiError(Error::internal("a handler panicked")).into_response()
}
