//! Request headers: the request's id, the bearer, entity tags.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use metapaas_core::authn;
use metapaas_core::error::Error;
use uuid::Uuid;

/// Finds a request in logs, events and answers.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub Arc<str>);

/// The client's `X-Request-Id` when it is one that can stand in logs, a new one otherwise.
pub(super) fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    let fits = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    RequestId(given.filter(fits).map_or_else(|| Uuid::now_v7().to_string().into(), Into::into))
}

/// The credentials of `Authorization: Bearer ...`.
///
/// # Errors
/// `Unauthenticated` when there are none.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    authn::bearer(headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()))
}

/// The tags of a conditional header, `None` when it is absent.
pub(super) struct Tags(Vec<String>);

impl Tags {
    /// Reads `If-Match` or `If-None-Match` (RFC 9110 section 13.1).
    pub(super) fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut values = headers.get_all(name).iter().peekable();
        values.peek()?;
        let tags = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        Some(Self(tags.map(|tag| tag.trim().trim_start_matches("W/").to_owned()).collect()))
    }

    /// Whether one of them is `etag` or `*`.
    pub(super) fn match_(&self, etag: &str) -> bool {
        self.0.iter().any(|tag| tag == "*" || tag == etag)
    }
}

/// The entity tag of a revision.
pub(super) fn etag(revision: i64) -> String {
    format!("\"{revision}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_that_could_forge_a_log_line_is_replaced() {
        for (given, kept) in [("abc-1", true), ("a b", false), ("", false), (&"x".repeat(65), false)] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", given.parse().unwrap());
            assert_eq!(&*request_id(&headers).0 == given, kept, "{given:?}");
        }
    }

    #[test]
    fn tags_match_alone_in_lists_and_by_star() {
        for (header_value, expected) in
            [("\"7\"", true), ("\"6\", \"7\"", true), ("*", true), ("W/\"7\"", true), ("\"70\"", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, header_value.parse().unwrap());
            assert_eq!(Tags::of(&headers, &header::IF_MATCH).unwrap().match_("\"7\""), expected);
        }
        assert!(Tags::of(&HeaderMap::new(), &header::IF_MATCH).is_none());
    }
}
