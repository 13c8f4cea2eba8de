//! Copies within the service. Bytes are read and written anew: each copy has its own files and its own key.

use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request};

use super::Service;
use super::conditions::{Conditions, etag};
use super::get::{Found, checksum_type};
use super::multipart::{part_number, upload_id};
use super::put::{encryption, traits};
use crate::access::Caller;
use crate::fault::{Fault, refuse};
use crate::store::{Claims, Put, Record, Sums, set_fields, timestamp};

/// The object that is copied.
struct Origin {
    bucket: String,
    key: String,
    found: Found,
}

impl Service {
    fn origin(&self, caller: &Caller, source: &CopySource, conditions: &Conditions) -> Result<Origin, Fault> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(S3ErrorCode::NotImplemented.into());
        };
        let found = self.find(caller, bucket, key, version_id.as_deref())?;
        conditions.check_read(&found.record, S3ErrorCode::PreconditionFailed)?;
        Ok(Origin { bucket: bucket.to_string(), key: key.to_string(), found })
    }

    fn body(&self, found: Found, range: std::ops::Range<u64>) -> Result<StreamingBlob, Fault> {
        let stream = self.app.store.stream(found.sources, range)?;
        let stream = stream
            .ok_or_else(|| refuse(S3ErrorCode::SlowDown, "The source was replaced meanwhile; try again"))?;
        Ok(StreamingBlob::wrap(stream))
    }
}

macro_rules! source_conditions {
    ($input:expr) => {
        Conditions {
            matches: $input.copy_source_if_match.take(),
            none_match: $input.copy_source_if_none_match.take(),
            modified_since: $input.copy_source_if_modified_since.take(),
            unmodified_since: $input.copy_source_if_unmodified_since.take(),
        }
    };
}

pub(super) async fn copy(
    service: &Service,
    request: S3Request<CopyObjectInput>,
) -> Result<CopyObjectOutput, Fault> {
    let caller = Caller::of(&request)?;
    let mut input = request.input;
    let live = caller.live.clone();
    let conditions = source_conditions!(input);
    let origin = service.origin(&caller, &input.copy_source, &conditions)?;
    let old = origin.found.record.clone();
    let replaces =
        input.metadata_directive.as_ref().is_some_and(|it| it.as_str() == MetadataDirective::REPLACE);
    let retags = input.tagging_directive.as_ref().is_some_and(|it| it.as_str() == TaggingDirective::REPLACE);
    let is_itself = origin.bucket == input.bucket && origin.key == input.key;
    let is_current = matches!(&input.copy_source, CopySource::Bucket { version_id: None, .. });
    let encrypts = live.encrypts() || input.server_side_encryption.is_some();
    if is_itself
        && is_current
        && !replaces
        && !retags
        && encrypts == old.encrypted
        && input.checksum_algorithm.is_none()
    {
        let message = "This copy request is illegal because it is trying to copy an object to itself without changing \
                       the object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(refuse(S3ErrorCode::InvalidRequest, message));
    }
    let target = Conditions::of_target(&request.headers)?;
    let algorithm = input.checksum_algorithm.take().map(|algorithm| algorithm.as_str().to_owned());
    let mut traits = traits!(input, live);
    if !replaces {
        traits.headers.clone_from(&old.traits.headers);
        traits.metadata.clone_from(&old.traits.metadata);
    }
    if !retags {
        traits.tags.clone_from(&old.traits.tags);
    }
    let versioning = service.app.store.read(|reading| {
        let row = service.row(&live, reading, &input.bucket)?;
        target.check_write(reading.record(row.id, &input.key, None)?.as_ref())?;
        Ok(live.bucket(&input.bucket)?.versions(&row))
    })?;
    let claims = Claims {
        algorithm: algorithm.or_else(|| old.sums.values.keys().next().cloned()),
        ..Claims::default()
    };
    let body = service.body(origin.found, 0..old.size)?;
    let received = service.receive(&live, encrypts, Some(body), Some(old.size), &claims).await?;
    let record = received.record(traits);
    let room = live.room(live.bucket(&input.bucket)?);
    let condition = Box::new(move |current: Option<&Record>| target.check_write(current));
    let (bucket, key) = (input.bucket, input.key);
    let put = Put { bucket, key, record, list: vec![], versioning, room, condition, completes: None };
    let record = service.app.store.write(vec![received.written], move |tables| tables.put(put)).await?;
    let mut result = CopyObjectResult {
        e_tag: etag(&record),
        last_modified: Some(timestamp(record.modified)),
        checksum_type: checksum_type(&record.sums),
        ..CopyObjectResult::default()
    };
    set_fields!(result, &record.sums);
    Ok(CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: old.version,
        server_side_encryption: encryption(record.encrypted),
        version_id: record.version,
        ..CopyObjectOutput::default()
    })
}

pub(super) async fn part(
    service: &Service,
    request: S3Request<UploadPartCopyInput>,
) -> Result<UploadPartCopyOutput, Fault> {
    let caller = Caller::of(&request)?;
    let mut input = request.input;
    let live = caller.live.clone();
    let (id, number) = (upload_id(&input.upload_id)?, part_number(input.part_number)?);
    let upload = service.upload(&live, &input.bucket, &input.key, id)?;
    let conditions = source_conditions!(input);
    let origin = service.origin(&caller, &input.copy_source, &conditions)?;
    let (size, version) = (origin.found.record.size, origin.found.record.version.clone());
    let range = match input.copy_source_range.as_deref() {
        None => 0..size,
        Some(text) => {
            let range = Range::parse(text)
                .map_err(|_| refuse(S3ErrorCode::InvalidArgument, "x-amz-copy-source-range is malformed"))?;
            range.check(size).map_err(S3Error::from)?
        }
    };
    let claims = Claims { algorithm: upload.algorithm, ..Claims::default() };
    let length = range.end - range.start;
    let body = service.body(origin.found, range)?;
    let received = service.receive(&live, live.encrypts(), Some(body), Some(length), &claims).await?;
    let part = service.store_part(&live, (input.bucket, input.key, id), number, received).await?;
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: Some(timestamp(part.modified)),
        ..CopyPartResult::default()
    };
    let sums: &Sums = &part.sums;
    set_fields!(result, sums);
    Ok(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: version,
        server_side_encryption: encryption(part.segment.key.is_some()),
        ..UploadPartCopyOutput::default()
    })
}
