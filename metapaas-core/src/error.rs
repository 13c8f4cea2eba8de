//! [`Error`]: what a request ends in when it cannot be served. Knows nothing of HTTP status codes.

use serde_json::{Map, Value};

use crate::store::StoreError;

/// Why a request cannot be served. The text is for the client; the source is for the log.
#[derive(Debug, thiserror::Error)]
#[error("{code:?}: {detail}")]
pub struct Error {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What happened and what to do, for the client.
    pub detail: String,
    /// Every problem of the request, when it is the request that is wrong.
    pub problems: Vec<Problem>,
    /// Further members of the answer, e.g. the id that has the name.
    pub extra: Map<String, Value>,
    /// The row exists, and the caller may not see it: for the audit, not for the client.
    pub hidden: bool,
    /// The cause, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// JSON pointer (RFC 6901) into the body, `?name` for a query parameter, `Name:` for a header.
    pub pointer: String,
    /// Stable word, catalogued in the book.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Problem {
    /// A problem at `pointer`.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Stable codes of failures, catalogued in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Body, parameter or filter is wrong.
    InvalidRequest,
    /// No or bad credentials.
    Unauthenticated,
    /// Visible, not allowed.
    Forbidden,
    /// The caller must change its password before anything else.
    PasswordChangeRequired,
    /// Not there, or not visible.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// A name or unique value is in use.
    NameTaken,
    /// The name fits several rows that the caller may see.
    AmbiguousName,
    /// The project may not have that much.
    QuotaExceeded,
    /// The row is not in a state that allows it.
    InvalidState,
    /// Other rows refer to the row.
    InUse,
    /// `If-Match` does not hold.
    PreconditionFailed,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// The request with this idempotency key is still carried out.
    IdempotencyInProgress,
    /// The page token or watch position is too old.
    Expired,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body is of another media type.
    UnsupportedMediaType,
    /// Path and query are over the limit.
    UriTooLong,
    /// The header fields are over the limit.
    HeadersTooLarge,
    /// The request did not arrive in time.
    RequestTimeout,
    /// Too many requests.
    TooManyRequests,
    /// The database is away.
    Unavailable,
    /// A bug.
    Internal,
}

impl ErrorCode {
    /// All, for the catalogue.
    pub const ALL: [Self; 23] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::PasswordChangeRequired,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NameTaken,
        Self::AmbiguousName,
        Self::QuotaExceeded,
        Self::InvalidState,
        Self::InUse,
        Self::PreconditionFailed,
        Self::IdempotencyKeyReused,
        Self::IdempotencyInProgress,
        Self::Expired,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::RequestTimeout,
        Self::TooManyRequests,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The word in the answer, e.g. `NAME_TAKEN`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::PasswordChangeRequired => "PASSWORD_CHANGE_REQUIRED",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::NameTaken => "NAME_TAKEN",
            Self::AmbiguousName => "AMBIGUOUS_NAME",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::InvalidState => "INVALID_STATE",
            Self::InUse => "IN_USE",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::IdempotencyInProgress => "IDEMPOTENCY_IN_PROGRESS",
            Self::Expired => "EXPIRED",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::UriTooLong => "URI_TOO_LONG",
            Self::HeadersTooLarge => "HEADERS_TOO_LARGE",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::TooManyRequests => "TOO_MANY_REQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }

    /// A few words for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::Unauthenticated => "Authentication is needed",
            Self::Forbidden => "Not allowed",
            Self::PasswordChangeRequired => "The password must be changed first",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::NameTaken => "The name is taken",
            Self::AmbiguousName => "The name is ambiguous",
            Self::QuotaExceeded => "The quota is used up",
            Self::InvalidState => "Not possible in this state",
            Self::InUse => "Still in use",
            Self::PreconditionFailed => "The resource has changed",
            Self::IdempotencyKeyReused => "The idempotency key belongs to another request",
            Self::IdempotencyInProgress => "The same request is under way",
            Self::Expired => "Expired",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::UriTooLong => "The URI is too long",
            Self::HeadersTooLarge => "The headers are too large",
            Self::RequestTimeout => "The request did not arrive in time",
            Self::TooManyRequests => "Too many requests",
            Self::Unavailable => "Temporarily unavailable",
            Self::Internal => "Internal error",
        }
    }
}

impl Error {
    /// An error with that code and text.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            problems: Vec::new(),
            extra: Map::new(),
            hidden: false,
            source: None,
        }
    }

    /// The row is not there, or not for the caller to see.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} does not exist, or you may not see it"))
    }

    /// The request is wrong in these places.
    pub fn invalid(problems: Vec<Problem>) -> Self {
        let detail = match problems.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.pointer, one.detail),
            many => format!("{} problems, see errors", many.len()),
        };
        Self { problems, ..Self::new(ErrorCode::InvalidRequest, detail) }
    }

    /// The request is wrong in one place.
    pub fn invalid_at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![Problem::new(pointer, code, detail)])
    }

    /// The caller lacks a permission.
    pub fn forbidden(permission: &str) -> Self {
        let text = format!(
            "you lack the permission {permission}; POST /v1/iam/explain, or `metapaas iam check {permission} \
             --explain`, tells why and who can give it"
        );
        Self::new(ErrorCode::Forbidden, text).with("permission", permission)
    }

    /// Adds a member to the answer.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }

    /// A bug, or a database row that cannot be: the client learns only that.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let text = "something went wrong on our side; the request id finds it in the log";
        Self { source: Some(source.into()), ..Self::new(ErrorCode::Internal, text) }
    }
}

/// An error and its causes in one line. A cause that the text before already ends with is not said again.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self {
                source: Some(error.into()),
                ..Self::new(
                    ErrorCode::Unavailable,
                    "the database is not available; nothing was changed, try again",
                )
            },
            StoreError::NoMasterKey { ref key, .. } => Self {
                detail: format!(
                    "a secret is sealed under the master key `{key}`, which this control plane does not have yet; \
                     nothing is lost, try again, or ask the operator to give it the key"
                ),
                source: Some(error.into()),
                ..Self::new(ErrorCode::Unavailable, "")
            },
            StoreError::Taken { .. } => Self {
                source: Some(error.into()),
                ..Self::new(ErrorCode::NameTaken, "another one has this name or unique value")
            },
            StoreError::Reference { .. } => Self {
                source: Some(error.into()),
                ..Self::new(
                    ErrorCode::InUse,
                    "a row that is referred to is missing, or this one is still referred to",
                )
            },
            error => Self::internal(error),
        }
    }
}
