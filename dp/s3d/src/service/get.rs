//! Objects are read: whole, in ranges, in parts, or only what is known about them.

use std::ops::Range;

use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request};

use super::conditions::{Conditions, etag};
use super::lock::mode as lock_mode;
use super::{Service, buckets};
use crate::access::Caller;
use crate::fault::{Fault, custom, refuse};
use crate::live::add;
use crate::store::{Record, Source, Sums, set_fields, timestamp};

/// How often an object that is replaced at the same time is looked for anew.
const TRIES: usize = 5;

/// Sets what `GetObject` and `HeadObject` both tell.
macro_rules! describe {
    ($output:ident, $record:ident) => {{
        let header = |name: &str| $record.traits.headers.get(name).cloned();
        $output.accept_ranges = Some("bytes".into());
        $output.cache_control = header("cache-control");
        $output.content_disposition = header("content-disposition");
        $output.content_encoding = header("content-encoding");
        $output.content_language = header("content-language");
        $output.content_type = header("content-type").or_else(|| Some("binary/octet-stream".into()));
        $output.expires =
            header("expires").and_then(|expires| Timestamp::parse(TimestampFormat::HttpDate, &expires).ok());
        $output.website_redirect_location = header("x-amz-website-redirect-location");
        $output.e_tag = etag(&$record);
        $output.last_modified = Some(timestamp($record.modified));
        $output.metadata = (!$record.traits.metadata.is_empty())
            .then(|| $record.traits.metadata.clone().into_iter().collect());
        $output.version_id = $record.version.clone();
        $output.server_side_encryption =
            $record.encrypted.then(|| ServerSideEncryption::from_static(ServerSideEncryption::AES256));
        $output.object_lock_mode = $record.traits.retention.map(|hold| lock_mode(hold.mode));
        $output.object_lock_retain_until_date = $record.traits.retention.map(|hold| timestamp(hold.until));
        $output.object_lock_legal_hold_status = $record
            .traits
            .legal_hold
            .then(|| ObjectLockLegalHoldStatus::from_static(ObjectLockLegalHoldStatus::ON));
    }};
}

/// An object that was found, and how to read it.
pub(super) struct Found {
    pub(super) record: Record,
    pub(super) sources: Vec<Source>,
}

impl Service {
    /// A version that can be read, or the refusal of S3.
    pub(super) fn find(
        &self,
        caller: &Caller,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Found, Fault> {
        self.app.store.read(|reading| {
            let row = self.row(&caller.live, reading, bucket)?;
            let record = reading.record(row.id, key, version)?;
            let record = record.ok_or_else(|| self.missing(caller, bucket, version))?;
            if record.is_marker {
                return Err(self.is_marker(caller, bucket, version, &record));
            }
            let sources = self.app.store.sources(reading, &record.contents, &caller.live.key)?;
            Ok(Found { record, sources })
        })
    }

    fn is_marker(&self, caller: &Caller, bucket: &str, version: Option<&str>, record: &Record) -> Fault {
        let mut headers = hyper::HeaderMap::new();
        headers.insert("x-amz-delete-marker", hyper::header::HeaderValue::from_static("true"));
        if let Ok(id) = record.version_id().parse() {
            headers.insert("x-amz-version-id", id);
        }
        let mut error = match version {
            Some(_) => S3Error::with_message(S3ErrorCode::MethodNotAllowed, "The version is a delete marker"),
            None => self.missing(caller, bucket, None).into(),
        };
        error.set_headers(headers);
        error.into()
    }
}

pub(super) async fn get(
    service: &Service,
    request: S3Request<GetObjectInput>,
) -> Result<GetObjectOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    no_customer_keys(input.sse_customer_algorithm.is_some())?;
    let conditions = Conditions {
        matches: input.if_match,
        none_match: input.if_none_match,
        modified_since: input.if_modified_since,
        unmodified_since: input.if_unmodified_since,
    };
    for _ in 0..TRIES {
        let Found { record, sources } =
            service.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?;
        conditions.check_read(&record, S3ErrorCode::NotModified)?;
        let (range, is_partial) = range(&record, input.range, input.part_number)?;
        let Some(stream) = service.app.store.stream(sources, range.clone())? else { continue };
        let length = range.end - range.start;
        add(&service.app.metrics.sent, length);
        let mut output =
            GetObjectOutput { body: Some(StreamingBlob::wrap(stream)), ..GetObjectOutput::default() };
        describe!(output, record);
        output.content_length = i64::try_from(length).ok();
        output.content_range = is_partial.then(|| content_range(&range, record.size));
        output.parts_count = input.part_number.and_then(|_| i32::try_from(record.parts.len()).ok());
        if input.checksum_mode.is_some() && range == (0..record.size) {
            set_fields!(output, &record.sums);
            output.checksum_type = checksum_type(&record.sums);
        }
        output.tag_count = i32::try_from(record.traits.tags.len()).ok().filter(|count| *count > 0);
        return Ok(output);
    }
    Err(refuse(S3ErrorCode::SlowDown, "The object is replaced faster than it can be read"))
}

pub(super) async fn head(
    service: &Service,
    request: S3Request<HeadObjectInput>,
) -> Result<HeadObjectOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    no_customer_keys(input.sse_customer_algorithm.is_some())?;
    let conditions = Conditions {
        matches: input.if_match,
        none_match: input.if_none_match,
        modified_since: input.if_modified_since,
        unmodified_since: input.if_unmodified_since,
    };
    let record = service.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?.record;
    conditions.check_read(&record, S3ErrorCode::NotModified)?;
    let (range, is_partial) = range(&record, input.range, input.part_number)?;
    let mut output = HeadObjectOutput::default();
    describe!(output, record);
    output.content_length = i64::try_from(range.end - range.start).ok();
    output.content_range = is_partial.then(|| content_range(&range, record.size));
    output.parts_count = input.part_number.and_then(|_| i32::try_from(record.parts.len()).ok());
    if input.checksum_mode.is_some() && range == (0..record.size) {
        set_fields!(output, &record.sums);
        output.checksum_type = checksum_type(&record.sums);
    }
    Ok(output)
}

/// The bytes that are asked for, and whether they are a part of the object.
fn range(
    record: &Record,
    range: Option<s3s::dto::Range>,
    part: Option<i32>,
) -> Result<(Range<u64>, bool), Fault> {
    match (range, part) {
        (Some(_), Some(_)) => {
            Err(refuse(S3ErrorCode::InvalidRequest, "Range and partNumber exclude each other"))
        }
        (Some(range), None) => Ok((range.check(record.size).map_err(S3Error::from)?, true)),
        (None, None) => Ok((0..record.size, false)),
        (None, Some(number)) => {
            let whole = [record.size];
            let sizes = if record.parts.is_empty() { &whole[..] } else { &record.parts };
            let index = usize::try_from(number - 1).ok().filter(|index| *index < sizes.len());
            let index = index.ok_or_else(no_such_part)?;
            let begin = sizes[..index].iter().sum();
            Ok((begin..begin + sizes[index], !record.parts.is_empty()))
        }
    }
}

fn no_such_part() -> Fault {
    let mut error = custom("InvalidPartNumber", "The requested partnumber is not satisfiable");
    error.set_status_code(hyper::StatusCode::RANGE_NOT_SATISFIABLE);
    error.into()
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

pub(super) fn checksum_type(sums: &Sums) -> Option<ChecksumType> {
    let name = if sums.composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    (!sums.values.is_empty()).then(|| ChecksumType::from_static(name))
}

/// Keys that clients hold themselves are not supported, and silence would be worse.
pub(super) fn no_customer_keys(are_given: bool) -> Result<(), Fault> {
    if are_given {
        return Err(refuse(
            S3ErrorCode::NotImplemented,
            "Encryption under keys of customers is not supported",
        ));
    }
    Ok(())
}

pub(super) async fn attributes(
    service: &Service,
    request: S3Request<GetObjectAttributesInput>,
) -> Result<GetObjectAttributesOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let record = service.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?.record;
    // `s3s` takes a header with several names for one name.
    let named = input.object_attributes.iter().flat_map(|names| names.as_str().split(','));
    let named: Vec<&str> = named.map(str::trim).collect();
    let asked = |name: &str| named.contains(&name);
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(timestamp(record.modified)),
        version_id: record.version.clone(),
        ..GetObjectAttributesOutput::default()
    };
    output.e_tag = etag(&record).filter(|_| asked(ObjectAttributes::ETAG));
    output.object_size = i64::try_from(record.size).ok().filter(|_| asked(ObjectAttributes::OBJECT_SIZE));
    output.storage_class =
        asked(ObjectAttributes::STORAGE_CLASS).then(|| StorageClass::from_static(StorageClass::STANDARD));
    if asked(ObjectAttributes::CHECKSUM) && !record.sums.values.is_empty() {
        let mut checksum = Checksum { checksum_type: checksum_type(&record.sums), ..Checksum::default() };
        set_fields!(checksum, &record.sums);
        output.checksum = Some(checksum);
    }
    if asked(ObjectAttributes::OBJECT_PARTS) && !record.parts.is_empty() {
        let total_parts_count = i32::try_from(record.parts.len()).ok();
        output.object_parts = Some(GetObjectAttributesParts { total_parts_count, ..Default::default() });
    }
    Ok(output)
}

pub(super) async fn acl(
    service: &Service,
    request: S3Request<GetObjectAclInput>,
) -> Result<GetObjectAclOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    service.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?;
    let (owner, grants) = buckets::grants(caller.name());
    Ok(GetObjectAclOutput { grants, owner, request_charged: None })
}
