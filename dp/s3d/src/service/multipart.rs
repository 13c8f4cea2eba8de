//! Multipart uploads.

use metapaas_md5::Md5;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request};
use uuid::Uuid;

use super::conditions::{Conditions, etag};
use super::get::{checksum_type, no_customer_keys};
use super::listing::{Writer, limit};
use super::put::{Received, algorithm, encryption, length, traits};
use super::{Service, owner};
use crate::access::Caller;
use crate::document::Bucket;
use crate::fault::{Fault, refuse};
use crate::live::Live;
use crate::store::{
    ALGORITHMS, Claims, Contents, Part as PartRow, Put, Record, Sums, Upload, fields, new_id, now, of_parts,
    set_fields, timestamp,
};

const MOST_PARTS: i32 = 10_000;
/// Of all parts but the last.
const SMALLEST_PART: u64 = 5 << 20;

/// The upload that a client means.
pub(super) fn upload_id(text: &str) -> Result<Uuid, Fault> {
    text.parse().map_err(|_| no_such_upload())
}

fn no_such_upload() -> Fault {
    refuse(S3ErrorCode::NoSuchUpload, "The upload does not exist; it may have been aborted or completed")
}

pub(super) fn part_number(number: i32) -> Result<u32, Fault> {
    let valid = u32::try_from(number).ok().filter(|_| (1..=MOST_PARTS).contains(&number));
    valid.ok_or_else(|| {
        refuse(S3ErrorCode::InvalidArgument, "Part number must be an integer between 1 and 10000")
    })
}

pub(super) async fn create(
    service: &Service,
    request: S3Request<CreateMultipartUploadInput>,
) -> Result<CreateMultipartUploadOutput, Fault> {
    let caller = Caller::of(&request)?;
    let mut input = request.input;
    let live = &caller.live;
    let traits = traits!(input, live);
    let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned());
    if algorithm.as_ref().is_some_and(|name| !ALGORITHMS.contains(&&**name)) {
        return Err(refuse(S3ErrorCode::InvalidRequest, "The checksum algorithm is unknown"));
    }
    let is_crc = algorithm.as_deref().is_some_and(|name| name.starts_with("CRC"));
    let full_object = match input.checksum_type.as_ref().map(ChecksumType::as_str) {
        None => algorithm.as_deref() == Some("CRC64NVME"),
        Some(kind) => kind == ChecksumType::FULL_OBJECT,
    };
    if full_object && !is_crc || !full_object && algorithm.as_deref() == Some("CRC64NVME") {
        return Err(refuse(
            S3ErrorCode::InvalidRequest,
            "The checksum algorithm and the checksum type do not go together",
        ));
    }
    let upload = Upload { started: now(), traits, algorithm: algorithm.clone(), full_object };
    let (id, bucket, key) = (new_id(), input.bucket.clone(), input.key.clone());
    service.app.store.write(vec![], move |tables| tables.begin_upload(&bucket, &key, id, &upload)).await?;
    let kind = if full_object { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id.as_simple().to_string()),
        checksum_type: algorithm.as_ref().map(|_| ChecksumType::from_static(kind)),
        checksum_algorithm: algorithm.map(ChecksumAlgorithm::from),
        server_side_encryption: encryption(live.encrypts()),
        ..CreateMultipartUploadOutput::default()
    })
}

pub(super) async fn upload(
    service: &Service,
    request: S3Request<UploadPartInput>,
) -> Result<UploadPartOutput, Fault> {
    let caller = Caller::of(&request)?;
    let mut input = request.input;
    let live = caller.live.clone();
    no_customer_keys(input.sse_customer_algorithm.is_some())?;
    let (id, number) = (upload_id(&input.upload_id)?, part_number(input.part_number)?);
    let upload = service.upload(&live, &input.bucket, &input.key, id)?;
    let announced = algorithm(input.checksum_algorithm.as_ref(), request.headers.get("x-amz-trailer"));
    let claims = Claims {
        md5: input.content_md5.take(),
        fields: fields!(input),
        algorithm: upload.algorithm.or(announced),
        trailers: request.trailing_headers,
    };
    let length = length(input.content_length)?;
    let received = service.receive(&live, live.encrypts(), input.body.take(), length, &claims).await?;
    let part = service.store_part(&live, (input.bucket, input.key, id), number, received).await?;
    let mut output = UploadPartOutput { e_tag: Some(ETag::Strong(part.etag)), ..UploadPartOutput::default() };
    set_fields!(output, &part.sums);
    output.server_side_encryption = encryption(part.segment.key.is_some());
    Ok(output)
}

impl Service {
    pub(super) fn upload(&self, live: &Live, bucket: &str, key: &str, id: Uuid) -> Result<Upload, Fault> {
        self.app.store.read(|reading| {
            let row = self.row(live, reading, bucket)?;
            reading.upload(row.id, key, id)
        })
    }

    pub(super) async fn store_part(
        &self,
        live: &Live,
        (bucket, key, id): (String, String, Uuid),
        number: u32,
        received: Received,
    ) -> Result<PartRow, Fault> {
        let room = live.room(live.bucket(&bucket)?);
        let segment = received.written.segment.clone();
        let part = PartRow { segment, etag: received.etag, modified: now(), sums: received.sums };
        let row = part.clone();
        let change = move |tables: &mut crate::store::Tables<'_>| {
            tables.put_part((&bucket, &key, id), number, &row, room)
        };
        self.app.store.write(vec![received.written], change).await?;
        Ok(part)
    }
}

pub(super) async fn complete(
    service: &Service,
    request: S3Request<CompleteMultipartUploadInput>,
) -> Result<CompleteMultipartUploadOutput, Fault> {
    let caller = Caller::of(&request)?;
    let mut input = request.input;
    let live = caller.live.clone();
    let id = upload_id(&input.upload_id)?;
    let upload = service.upload(&live, &input.bucket, &input.key, id)?;
    let wanted = input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
    let conditions = Conditions {
        matches: input.if_match.take(),
        none_match: input.if_none_match.take(),
        ..Conditions::default()
    };
    let claimed = fields!(input);
    let (versioning, room) =
        (service.versioning(&caller, &input.bucket)?, live.room(live.bucket(&input.bucket)?));
    let (bucket, key, size) = (input.bucket.clone(), input.key.clone(), input.mpu_object_size);
    // All is looked up and decided in one change: parts may be uploaded anew until then.
    let change = move |tables: &mut crate::store::Tables<'_>| {
        let parts = chosen(&wanted, |number| tables.part(id, number))?;
        let mut record = assemble(&upload, &parts)?;
        for (name, claimed) in ALGORITHMS.iter().zip(&claimed) {
            let (Some(claimed), Some(value)) = (claimed, record.sums.values.get(*name)) else { continue };
            // Of a checksum of checksums clients may leave out the number of parts.
            if claimed != value && Some(&**claimed) != value.split_once('-').map(|(sum, _)| sum) {
                return Err(S3ErrorCode::BadDigest.into());
            }
        }
        if size.is_some_and(|size| u64::try_from(size) != Ok(record.size)) {
            return Err(refuse(
                S3ErrorCode::InvalidRequest,
                "The size of the parts is not the x-amz-mp-object-size",
            ));
        }
        let list = parts.into_iter().map(|part| part.segment).collect::<Vec<_>>();
        record.contents = Contents::Many(new_id());
        let condition = Box::new(move |current: Option<&Record>| conditions.check_write(current));
        tables.put(Put { bucket, key, record, list, versioning, room, condition, completes: Some(id) })
    };
    let record = service.app.store.write(vec![], change).await?;
    let mut output =
        CompleteMultipartUploadOutput { e_tag: etag(&record), ..CompleteMultipartUploadOutput::default() };
    set_fields!(output, &record.sums);
    output.checksum_type = checksum_type(&record.sums);
    output.location = Some(format!("/{}/{}", input.bucket, input.key));
    (output.bucket, output.key) = (Some(input.bucket), Some(input.key));
    output.server_side_encryption = encryption(record.encrypted);
    output.version_id = record.version;
    Ok(output)
}

/// The parts that a client names, which must be those that were uploaded.
fn chosen(
    wanted: &[CompletedPart],
    find: impl Fn(u32) -> Result<Option<PartRow>, Fault>,
) -> Result<Vec<PartRow>, Fault> {
    if wanted.is_empty() {
        return Err(refuse(S3ErrorCode::MalformedXML, "An upload is completed with at least one part"));
    }
    let mut parts: Vec<PartRow> = vec![];
    let mut last = 0;
    for named in wanted {
        let number = part_number(named.part_number.unwrap_or_default())?;
        if number <= last {
            return Err(S3ErrorCode::InvalidPartOrder.into());
        }
        last = number;
        let invalid = || {
            refuse(S3ErrorCode::InvalidPart, "A part was not uploaded, or its ETag or checksum is another")
        };
        let part = find(number)?.ok_or_else(invalid)?;
        let is_etag = named.e_tag.as_ref().is_none_or(|etag| etag.value() == part.etag);
        let mut named = named.clone();
        let mut claims = ALGORITHMS.iter().zip(fields!(named));
        let differs = |(name, claim): (&&str, Option<String>)| {
            claim.is_some() && part.sums.values.get(*name) != claim.as_ref()
        };
        if !is_etag || claims.any(differs) {
            return Err(invalid());
        }
        parts.push(part);
    }
    if parts.iter().rev().skip(1).any(|part| part.segment.size < SMALLEST_PART) {
        return Err(refuse(S3ErrorCode::EntityTooSmall, "All parts but the last have at least 5 MiB"));
    }
    Ok(parts)
}

fn assemble(upload: &Upload, parts: &[PartRow]) -> Result<Record, Fault> {
    let mut md5 = Md5::new();
    for part in parts {
        let bytes: Vec<u8> = (0..32)
            .step_by(2)
            .filter_map(|at| u8::from_str_radix(part.etag.get(at..at + 2)?, 16).ok())
            .collect();
        md5.update(&bytes);
    }
    let digest: String = md5.finish().iter().map(|byte| format!("{byte:02x}")).collect();
    let sums = match &upload.algorithm {
        None => Sums::default(),
        Some(name) => {
            let values: Vec<_> =
                parts.iter().map(|part| (part.sums.values.get(name), part.segment.size)).collect();
            of_parts(name, upload.full_object, &values).ok_or_else(|| {
                refuse(S3ErrorCode::InvalidRequest, "A part has no checksum of the upload's algorithm")
            })?
        }
    };
    Ok(Record {
        size: parts.iter().map(|part| part.segment.size).sum(),
        etag: format!("{digest}-{}", parts.len()),
        modified: now(),
        encrypted: parts.iter().all(|part| part.segment.key.is_some()),
        traits: upload.traits.clone(),
        sums,
        parts: parts.iter().map(|part| part.segment.size).collect(),
        ..Record::default()
    })
}

pub(super) async fn abort(
    service: &Service,
    request: S3Request<AbortMultipartUploadInput>,
) -> Result<AbortMultipartUploadOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let _: &Bucket = caller.live.bucket(&input.bucket)?;
    let id = upload_id(&input.upload_id)?;
    service.app.store.write(vec![], move |tables| tables.abort_upload(&input.bucket, &input.key, id)).await?;
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) async fn parts(
    service: &Service,
    request: S3Request<ListPartsInput>,
) -> Result<ListPartsOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let id = upload_id(&input.upload_id)?;
    let (limit, max_parts) = limit(input.max_parts)?;
    let after = input.part_number_marker.unwrap_or(0);
    let upload = service.upload(&caller.live, &input.bucket, &input.key, id)?;
    let from = u32::try_from(after).map_err(|_| S3ErrorCode::InvalidArgument)?;
    let mut rows = service.app.store.read(|reading| reading.parts(id, from, limit + 1))?;
    let is_truncated = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| is_truncated).and_then(|(number, _)| i32::try_from(*number).ok());
    let part = |(number, row): (u32, PartRow)| {
        let mut part = Part {
            e_tag: Some(ETag::Strong(row.etag)),
            last_modified: Some(timestamp(row.modified)),
            part_number: i32::try_from(number).ok(),
            size: i64::try_from(row.segment.size).ok(),
            ..Part::default()
        };
        set_fields!(part, &row.sums);
        part
    };
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        checksum_algorithm: upload.algorithm.map(ChecksumAlgorithm::from),
        is_truncated: Some(is_truncated),
        max_parts: Some(max_parts),
        next_part_number_marker: next,
        part_number_marker: Some(after),
        owner: owner(caller.name()),
        parts: Some(rows.into_iter().map(part).collect()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..ListPartsOutput::default()
    })
}

pub(super) async fn uploads(
    service: &Service,
    request: S3Request<ListMultipartUploadsInput>,
) -> Result<ListMultipartUploadsOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let writer = Writer::new(input.encoding_type.as_ref())?;
    let (limit, max_uploads) = limit(input.max_uploads)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let key = input.key_marker.clone().unwrap_or_default();
    // Without an upload, the marker stands for all uploads of its key.
    let id = match input.upload_id_marker.as_deref().filter(|marker| !marker.is_empty()) {
        Some(marker) => upload_id(marker)?,
        None if key.is_empty() => Uuid::nil(),
        None => Uuid::max(),
    };
    let mut rows = service.app.store.read(|reading| {
        let row = service.row(&caller.live, reading, &input.bucket)?;
        reading.uploads(row.id, &prefix, (&key, id), usize::MAX)
    })?;
    let (mut uploads, mut prefixes): (Vec<MultipartUpload>, Vec<String>) = (vec![], vec![]);
    let (mut is_truncated, mut last) = (false, None);
    for (key, id, upload) in rows.drain(..) {
        let common =
            input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty()).and_then(|delimiter| {
                let end = prefix.len() + key[prefix.len()..].find(delimiter)? + delimiter.len();
                Some(key[..end].to_owned())
            });
        let is_seen = common.as_ref().is_some_and(|common| prefixes.last() == Some(common));
        if !is_seen && uploads.len() + prefixes.len() >= limit {
            is_truncated = true;
            break;
        }
        last = Some((key.clone(), id));
        match common {
            Some(_) if is_seen => {}
            Some(common) => prefixes.push(common),
            None => uploads.push(MultipartUpload {
                key: Some(writer.write(&key)),
                upload_id: Some(id.as_simple().to_string()),
                initiated: Some(timestamp(upload.started)),
                checksum_algorithm: upload.algorithm.map(ChecksumAlgorithm::from),
                owner: owner(caller.name()),
                storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
                ..MultipartUpload::default()
            }),
        }
    }
    let (next_key, next_id) = last.filter(|_| is_truncated).unzip();
    let common_prefix = |prefix: String| CommonPrefix { prefix: Some(writer.write(&prefix)) };
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        common_prefixes: Some(prefixes.into_iter().map(common_prefix).collect()),
        delimiter: writer.some(input.delimiter.as_deref()),
        encoding_type: input.encoding_type.clone(),
        is_truncated: Some(is_truncated),
        key_marker: writer.some(Some(&key)),
        max_uploads: Some(max_uploads),
        next_key_marker: next_key.map(|key: String| writer.write(&key)),
        next_upload_id_marker: next_id.map(|id: Uuid| id.as_simple().to_string()),
        prefix: writer.some(Some(&prefix)),
        upload_id_marker: input.upload_id_marker,
        uploads: Some(uploads),
        request_charged: None,
    })
}
