//! Request headers: the request's id, the bearer, entity tags.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use metapaas_core::authn;
use metapaas_core::error::{Error, ErrorCode};
use metapaas_core::resource::Resource;
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

/// The caller's own name for a request that it may send again.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The tags of a conditional header (RFC 9110 sections 8.8.3 and 13.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`: whatever there is.
    Any,
    /// One of these, each with whether it is weak.
    Some(Vec<(bool, String)>),
}

impl Tags {
    /// Reads `If-Match` or `If-None-Match`; `None` when it is absent.
    ///
    /// # Errors
    /// `InvalidRequest` when it is no list of tags.
    pub(super) fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Error> {
        let mut tags = Vec::new();
        let mut values = headers.get_all(name).iter().peekable();
        if values.peek().is_none() {
            return Ok(None);
        }
        let wrong = || {
            let name = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
            let detail = "expected * or tags in double quotes with commas between, as ETag has them";
            Error::invalid_at(format!("{name}:"), "INVALID_VALUE", detail)
        };
        let values: Vec<&str> =
            values.map(|value| value.to_str()).collect::<Result<_, _>>().map_err(|_| wrong())?;
        if let ["*"] = values.as_slice() {
            return Ok(Some(Self::Any));
        }
        for value in values {
            let mut rest = value.trim();
            while !rest.is_empty() {
                let (tag, after) = tag(rest).ok_or_else(wrong)?;
                tags.push(tag);
                // An empty element of a list is nothing.
                rest = after.trim_start_matches([',', ' ', '\t']);
                if rest.len() == after.len() && !rest.is_empty() {
                    return Err(wrong());
                }
            }
        }
        if tags.is_empty() { Err(wrong()) } else { Ok(Some(Self::Some(tags))) }
    }

    /// Strong comparison, for `If-Match`: a weak tag matches nothing.
    pub(super) fn match_strongly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Some(tags) => tags.iter().any(|(weak, tag)| !weak && tag == etag),
        }
    }

    /// Weak comparison, for `If-None-Match`.
    pub(super) fn match_weakly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Some(tags) => tags.iter().any(|(_, tag)| tag == etag),
        }
    }
}

/// The tag that `text` begins with, and the rest.
fn tag(text: &str) -> Option<((bool, String), &str)> {
    let (weak, quoted) = text.strip_prefix("W/").map_or((false, text), |strong| (true, strong));
    let end = quoted.strip_prefix('"')?.find('"')? + 2;
    let (tag, rest) = quoted.split_at(end);
    let fits =
        tag[1..end - 1].bytes().all(|byte| byte == b'!' || (b'#'..=b'~').contains(&byte) || byte >= 0x80);
    fits.then(|| ((weak, tag.to_owned()), rest))
}

/// What a request wants to hold of a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    generation: Option<i64>,
}

impl Preconditions {
    /// Those of a change of a row that is there.
    ///
    /// # Errors
    /// `InvalidRequest` when a header is malformed.
    pub(super) fn of(headers: &HeaderMap, generation: Option<i64>) -> Result<Self, Error> {
        Ok(Self {
            if_match: Tags::of(headers, &header::IF_MATCH)?,
            if_none_match: Tags::of(headers, &header::IF_NONE_MATCH)?,
            generation,
        })
    }

    /// Those of a create: it makes no row that is there already, which is all that can be asked of it.
    ///
    /// # Errors
    /// `InvalidRequest` for anything else.
    pub(super) fn of_create(headers: &HeaderMap) -> Result<Self, Error> {
        let given = Self::of(headers, None)?;
        let wrong = match (given.if_match, given.if_none_match) {
            (Some(_), _) => "If-Match:",
            (None, None | Some(Tags::Any)) => return Ok(Self::default()),
            (None, Some(Tags::Some(_))) => "If-None-Match:",
        };
        let detail = "a create has no row to compare with; only `If-None-Match: *` makes sense";
        Err(Error::invalid_at(wrong, "INVALID_VALUE", detail))
    }

    /// Whether the row is as the caller wants it.
    ///
    /// # Errors
    /// `PreconditionFailed` with what the row has.
    pub(super) fn hold(&self, row: &Resource) -> Result<(), Error> {
        let generation = row.meta.generation;
        let with_generation = |error: Error| error.with("generation", generation);
        self.hold_revision(row.meta.revision).map_err(with_generation)?;
        match self.generation {
            Some(wanted) if wanted != generation => {
                let what = format!("if_generation_match does not hold, the generation is {generation}");
                Err(with_generation(failed(&what, &etag(row.meta.revision))))
            }
            _ => Ok(()),
        }
    }

    /// Whether a row of that revision is as the caller wants it.
    ///
    /// # Errors
    /// `PreconditionFailed` with the tag that the row has.
    pub(super) fn hold_revision(&self, revision: i64) -> Result<(), Error> {
        let etag = etag(revision);
        if self.if_match.as_ref().is_some_and(|tags| !tags.match_strongly(&etag)) {
            return Err(failed("If-Match does not hold", &etag));
        }
        if self.if_none_match.as_ref().is_some_and(|tags| tags.match_weakly(&etag)) {
            return Err(failed("If-None-Match does not hold", &etag));
        }
        Ok(())
    }
}

fn failed(what: &str, etag: &str) -> Error {
    let detail = format!("{what}: the row is at {etag}; read it again");
    Error::new(ErrorCode::PreconditionFailed, detail).with("etag", etag)
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

    fn tags(value: &str) -> Result<Option<Tags>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, value.parse().unwrap());
        Tags::of(&headers, &header::IF_MATCH)
    }

    #[test]
    fn tags_match_alone_in_lists_and_by_star() {
        for (value, strongly, weakly) in [
            ("\"7\"", true, true),
            ("\"6\", \"7\"", true, true),
            ("\"6,\" ,,\"7\"", true, true),
            ("*", true, true),
            ("W/\"7\"", false, true),
            ("\"70\"", false, false),
        ] {
            let tags = tags(value).unwrap().unwrap();
            assert_eq!(tags.match_strongly("\"7\""), strongly, "{value}");
            assert_eq!(tags.match_weakly("\"7\""), weakly, "{value}");
        }
        assert!(Tags::of(&HeaderMap::new(), &header::IF_MATCH).unwrap().is_none());
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for value in ["7", "\"7", "\"7\" \"8\"x", "w/\"7\"", "", "*, \"7\"", "\"a b\""] {
            assert!(tags(value).is_err(), "{value}");
        }
    }
}
