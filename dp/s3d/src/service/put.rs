//! Objects are written.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use hyper::header;
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request, StdError};
use tokio::task::{JoinHandle, spawn_blocking};

use super::Service;
use super::conditions::Conditions;
use super::get::checksum_type;
use super::lock;
use crate::access::Caller;
use crate::fault::{Fault, refuse};
use crate::live::{Live, add};
use crate::store::{
    ALGORITHMS, Claims, Contents, Hasher, INLINE, Put, Record, STEP, Sink, Sums, Traits, Versioning, Written,
    check_tags, fields, now, set_fields,
};

/// How long a client may pause in the middle of a body.
const PAUSE: Duration = Duration::from_secs(60);
/// The largest object that is sent at once, and the largest part.
const LARGEST: u64 = 5 << 30;
/// Bytes of all names and values of user metadata.
const LARGEST_METADATA: usize = 2048;

/// What was received.
pub(super) struct Received {
    pub(super) written: Written,
    pub(super) etag: String,
    pub(super) sums: Sums,
}

/// Takes what a put, a copy or an upload says about its object out of the input.
macro_rules! traits {
    ($input:expr, $live:expr) => {{
        let lock = crate::service::lock::Wish {
            mode: $input.object_lock_mode.take(),
            until: $input.object_lock_retain_until_date.take(),
            legal_hold: $input.object_lock_legal_hold_status.take(),
        };
        let headers = [
            ("cache-control", $input.cache_control.take()),
            ("content-disposition", $input.content_disposition.take()),
            ("content-encoding", $input.content_encoding.take()),
            ("content-language", $input.content_language.take()),
            ("content-type", $input.content_type.take()),
            ("expires", $input.expires.take().and_then(crate::service::put::http_date)),
            ("x-amz-website-redirect-location", $input.website_redirect_location.take()),
        ];
        let metadata = $input.metadata.take().unwrap_or_default();
        let tags = $input.tagging.take().unwrap_or_default();
        let grants = [
            $input.grant_full_control.is_some(),
            $input.grant_read.is_some(),
            $input.grant_read_acp.is_some(),
            $input.grant_write_acp.is_some(),
        ];
        crate::service::put::no_grants($input.acl.as_ref().map(|acl| acl.as_str()), grants.contains(&true))?;
        crate::service::put::check_class($input.storage_class.as_ref())?;
        crate::service::put::check_encryption($input.server_side_encryption.as_ref())?;
        crate::service::get::no_customer_keys($input.sse_customer_algorithm.is_some())?;
        crate::service::put::read_traits($live.bucket(&$input.bucket)?, headers, metadata, &tags, lock)?
    }};
}
pub(super) use traits;

pub(super) async fn put(
    service: &Service,
    request: S3Request<PutObjectInput>,
) -> Result<PutObjectOutput, Fault> {
    let caller = Caller::of(&request)?;
    let mut input = request.input;
    let live = &caller.live;
    let traits = traits!(input, live);
    let claims = Claims {
        md5: input.content_md5.take(),
        fields: fields!(input),
        algorithm: algorithm(input.checksum_algorithm.as_ref(), request.headers.get("x-amz-trailer")),
        trailers: request.trailing_headers,
    };
    let conditions =
        Conditions { matches: input.if_match, none_match: input.if_none_match, ..Conditions::default() };
    if input.write_offset_bytes.is_some() {
        return Err(refuse(S3ErrorCode::NotImplemented, "Objects cannot be appended to"));
    }
    let length = length(input.content_length)?;
    let versioning = service.app.store.read(|reading| {
        let row = service.row(live, reading, &input.bucket)?;
        let versioning = live.bucket(&input.bucket)?.versions(&row);
        let current = reading.record(row.id, &input.key, None)?;
        conditions.check_write(current.as_ref())?;
        // Told early, so that nothing is received in vain; decided when it is stored.
        let less = current.filter(|_| versioning != Versioning::Enabled).map_or(0, |current| current.size);
        let total = reading.count("bytes")?;
        live.room(live.bucket(&input.bucket)?).check(
            row.bytes + row.pending,
            total,
            length.unwrap_or(0),
            less,
        )?;
        Ok(versioning)
    })?;
    let encrypts = live.encrypts() || input.server_side_encryption.is_some();
    let received = service.receive(live, encrypts, input.body.take(), length, &claims).await?;
    let room = live.room(live.bucket(&input.bucket)?);
    let record = received.record(traits);
    let put = Put {
        bucket: input.bucket,
        key: input.key,
        record,
        list: vec![],
        versioning,
        room,
        condition: Box::new(move |current| conditions.check_write(current)),
        completes: None,
    };
    let record = service.app.store.write(vec![received.written], move |tables| tables.put(put)).await?;
    let mut output =
        PutObjectOutput { e_tag: super::conditions::etag(&record), ..PutObjectOutput::default() };
    set_fields!(output, &record.sums);
    output.checksum_type = checksum_type(&record.sums);
    output.server_side_encryption = encryption(record.encrypted);
    output.version_id = record.version;
    Ok(output)
}

impl Received {
    pub(super) fn record(&self, traits: Traits) -> Record {
        let segment = self.written.segment.clone();
        Record {
            size: segment.size,
            etag: self.etag.clone(),
            modified: now(),
            encrypted: segment.key.is_some(),
            contents: if segment.size == 0 && segment.inline {
                Contents::Empty
            } else {
                Contents::One(segment)
            },
            traits,
            sums: self.sums.clone(),
            ..Record::default()
        }
    }
}

impl Service {
    /// Receives a body: it is on the disk (or about to be put into the index) when this returns, and checked.
    pub(super) async fn receive(
        &self,
        live: &Live,
        encrypts: bool,
        body: Option<StreamingBlob>,
        length: Option<u64>,
        claims: &Claims,
    ) -> Result<Received, Fault> {
        let key = encrypts.then_some(&live.key);
        let is_large = length.is_some_and(|length| length > INLINE as u64);
        let sink = Sink::new(self.app.store.blobs.clone(), key, claims.hasher(), is_large)?;
        let (written, received) = pour(sink, body, length).await?;
        add(&self.app.metrics.received, received);
        let Written { segment, inline, fresh, hasher } = written;
        let (md5, sums) = hasher.finish();
        claims.check(&md5, &sums)?;
        let etag = md5.iter().map(|byte| format!("{byte:02x}")).collect();
        let written = Written { segment, inline, fresh, hasher: Hasher::new([]) };
        Ok(Received { written, etag, sums })
    }
}

/// Writes a body in steps: while one is hashed, encrypted and written, the next is received.
async fn pour(sink: Sink, body: Option<StreamingBlob>, length: Option<u64>) -> Result<(Written, u64), Fault> {
    let (mut idle, mut busy): (Option<Sink>, Option<JoinHandle<std::io::Result<Sink>>>) = (Some(sink), None);
    let (mut batch, mut held, mut total): (Vec<Bytes>, usize, u64) = (vec![], 0, 0);
    if let Some(mut body) = body {
        while let Some(bytes) = next(&mut body).await? {
            total += bytes.len() as u64;
            held += bytes.len();
            batch.push(bytes);
            if total > LARGEST {
                return Err(S3ErrorCode::EntityTooLarge.into());
            }
            if held >= STEP {
                let sink = resume(&mut idle, &mut busy).await?;
                busy = Some(spawn_blocking(move || write(sink, &std::mem::take(&mut batch))));
                (batch, held) = (vec![], 0);
            }
        }
    }
    if length.is_some_and(|length| length != total) {
        return Err(S3ErrorCode::IncompleteBody.into());
    }
    let sink = resume(&mut idle, &mut busy).await?;
    // What goes into the index does not block.
    if total <= INLINE as u64 {
        return Ok((write(sink, &batch)?.finish()?, total));
    }
    let finish = spawn_blocking(move || write(sink, &batch)?.finish());
    Ok((finish.await.map_err(std::io::Error::other)??, total))
}

fn write(mut sink: Sink, batch: &[Bytes]) -> std::io::Result<Sink> {
    sink.write(batch)?;
    Ok(sink)
}

async fn resume(
    idle: &mut Option<Sink>,
    busy: &mut Option<JoinHandle<std::io::Result<Sink>>>,
) -> std::io::Result<Sink> {
    match (idle.take(), busy.take()) {
        (Some(sink), _) => Ok(sink),
        (None, Some(task)) => task.await.map_err(std::io::Error::other)?,
        (None, None) => Err(std::io::Error::other("a write has no sink")),
    }
}

async fn next(body: &mut StreamingBlob) -> Result<Option<Bytes>, Fault> {
    let next = tokio::time::timeout(PAUSE, body.next()).await.map_err(|_| S3ErrorCode::RequestTimeout)?;
    next.transpose().map_err(|error| broken(&error))
}

/// Why a body ends early, as far as `s3s` tells.
fn broken(error: &StdError) -> Fault {
    let text = error.to_string();
    let code = match text.as_str() {
        text if text.contains("Sha256Mismatch") => {
            let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
            let mut error = crate::fault::custom("XAmzContentSHA256Mismatch", message);
            error.set_status_code(hyper::StatusCode::BAD_REQUEST);
            return error.into();
        }
        text if text.contains("SignatureMismatch") => S3ErrorCode::SignatureDoesNotMatch,
        text if text.contains("FormatError") || text.contains("TooLarge") => S3ErrorCode::InvalidRequest,
        _ => S3ErrorCode::IncompleteBody,
    };
    S3Error::new(code).into()
}

/// The length that a client announces.
pub(super) fn length(length: Option<i64>) -> Result<Option<u64>, Fault> {
    let length =
        length.map(|length| u64::try_from(length).map_err(|_| S3ErrorCode::InvalidArgument)).transpose()?;
    if length.is_some_and(|length| length > LARGEST) {
        return Err(S3ErrorCode::EntityTooLarge.into());
    }
    Ok(length)
}

/// The algorithm of a checksum that is announced but not there yet.
pub(super) fn algorithm(
    named: Option<&ChecksumAlgorithm>,
    trailer: Option<&header::HeaderValue>,
) -> Option<String> {
    let trailer = trailer.and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let trailing = ALGORITHMS.iter().find(|name| {
        let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
        trailer.split(',').any(|item| item.trim() == header)
    });
    trailing.map(|name| (*name).to_owned()).or_else(|| named.map(|name| name.as_str().to_owned()))
}

pub(super) fn http_date(date: Timestamp) -> Option<String> {
    let mut text = vec![];
    date.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

pub(super) fn encryption(encrypted: bool) -> Option<ServerSideEncryption> {
    encrypted.then(|| ServerSideEncryption::from_static(ServerSideEncryption::AES256))
}

/// Access is the matter of policies; lists that would change it are refused, as by buckets of AWS without them.
pub(super) fn no_grants(acl: Option<&str>, are_there_more: bool) -> Result<(), Fault> {
    match acl {
        _ if are_there_more => Err(S3ErrorCode::AccessControlListNotSupported.into()),
        None | Some("private" | "bucket-owner-full-control" | "bucket-owner-read") => Ok(()),
        Some(_) => Err(S3ErrorCode::AccessControlListNotSupported.into()),
    }
}

/// All objects are kept alike.
pub(super) fn check_class(wanted: Option<&StorageClass>) -> Result<(), Fault> {
    match wanted.map(StorageClass::as_str) {
        None | Some(StorageClass::STANDARD) => Ok(()),
        Some(_) => Err(refuse(S3ErrorCode::InvalidStorageClass, "The only storage class is STANDARD")),
    }
}

pub(super) fn check_encryption(wanted: Option<&ServerSideEncryption>) -> Result<(), Fault> {
    match wanted.map(ServerSideEncryption::as_str) {
        None | Some(ServerSideEncryption::AES256) => Ok(()),
        Some(_) => Err(refuse(S3ErrorCode::NotImplemented, "The only encryption is AES256")),
    }
}

pub(super) fn read_traits(
    bucket: &crate::document::Bucket,
    headers: [(&str, Option<String>); 7],
    metadata: Metadata,
    tags: &str,
    lock: lock::Wish,
) -> Result<Traits, Fault> {
    let headers = headers.into_iter().filter_map(|(name, value)| {
        let value =
            value.map(|value| if name == "content-encoding" { without_framing(&value) } else { value })?;
        (!value.is_empty()).then(|| (name.to_owned(), value))
    });
    let metadata: BTreeMap<String, String> = metadata.into_iter().collect();
    if metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > LARGEST_METADATA {
        return Err(S3ErrorCode::MetadataTooLarge.into());
    }
    let tags: Vec<_> = url::form_urlencoded::parse(tags.as_bytes()).into_owned().collect();
    let (retention, legal_hold) = lock.hold(bucket)?;
    Ok(Traits { headers: headers.collect(), metadata, tags: check_tags(&tags)?, retention, legal_hold })
}

/// `aws-chunked` is how the body came, not what it is.
fn without_framing(encoding: &str) -> String {
    let kept = encoding.split(',').map(str::trim).filter(|item| !item.eq_ignore_ascii_case("aws-chunked"));
    kept.collect::<Vec<_>>().join(",")
}
