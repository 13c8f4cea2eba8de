//! Conditional requests.

use hyper::HeaderMap;
use hyper::header::{IF_MATCH, IF_NONE_MATCH};
use s3s::S3ErrorCode;
use s3s::dto::{ETag, ETagCondition, Timestamp};

use crate::fault::{Fault, refuse};
use crate::store::{Record, millis};

/// `If-Match` and its relatives, or those about the source of a copy.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    pub(super) matches: Option<ETagCondition>,
    pub(super) none_match: Option<ETagCondition>,
    pub(super) modified_since: Option<Timestamp>,
    pub(super) unmodified_since: Option<Timestamp>,
}

impl Conditions {
    /// Those about what a copy replaces, which `s3s` leaves in the headers.
    pub(super) fn of_target(headers: &HeaderMap) -> Result<Self, Fault> {
        let of = |name| headers.get(name).map(|value| ETagCondition::parse_http_header(value.as_bytes()));
        let malformed = |_| refuse(S3ErrorCode::InvalidArgument, "If-Match or If-None-Match is malformed");
        let matches = of(IF_MATCH).transpose().map_err(malformed)?;
        let none_match = of(IF_NONE_MATCH).transpose().map_err(malformed)?;
        Ok(Self { matches, none_match, ..Self::default() })
    }

    /// For reads, in the order of RFC 9110: what is not modified is no error to a client that has it.
    pub(super) fn check_read(&self, record: &Record, not_modified: S3ErrorCode) -> Result<(), Fault> {
        // Dates of HTTP have no fractions of a second.
        let seconds = record.modified / 1000;
        let date = |timestamp: &Timestamp| millis(timestamp.clone()) / 1000;
        if let Some(condition) = &self.matches {
            if !holds(condition, record) {
                return Err(failed());
            }
        } else if self.unmodified_since.as_ref().is_some_and(|limit| seconds > date(limit)) {
            return Err(failed());
        }
        if let Some(condition) = &self.none_match {
            if holds(condition, record) {
                return Err(not_modified.into());
            }
        } else if self.modified_since.as_ref().is_some_and(|limit| seconds <= date(limit)) {
            return Err(not_modified.into());
        }
        Ok(())
    }

    /// For writes, about the object that is there, if any.
    pub(super) fn check_write(&self, record: Option<&Record>) -> Result<(), Fault> {
        let record = record.filter(|record| !record.is_marker);
        if let Some(condition) = &self.matches {
            let record = record.ok_or(S3ErrorCode::NoSuchKey)?;
            if !holds(condition, record) {
                return Err(failed());
            }
        }
        if let (Some(condition), Some(record)) = (&self.none_match, record)
            && holds(condition, record)
        {
            return Err(failed());
        }
        Ok(())
    }
}

fn holds(condition: &ETagCondition, record: &Record) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == record.etag,
    }
}

fn failed() -> Fault {
    refuse(S3ErrorCode::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// As S3 writes it.
pub(super) fn etag(record: &Record) -> Option<ETag> {
    Some(ETag::Strong(record.etag.clone()))
}
