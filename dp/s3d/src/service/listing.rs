//! Listings of objects and versions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request};

use super::conditions::etag;
use super::get::checksum_type;
use super::{Service, owner};
use crate::access::Caller;
use crate::fault::{Fault, refuse};
use crate::store::{Entry, List, Page, Record, timestamp};

const MOST: i32 = 1000;
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Writes keys as the client asks for them: as they are, or percent-encoded because XML cannot hold all characters.
pub(super) struct Writer(bool);

impl Writer {
    pub(super) fn new(encoding: Option<&EncodingType>) -> Result<Self, Fault> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(_) => {
                Err(refuse(S3ErrorCode::InvalidArgument, "Invalid Encoding Method specified in Request"))
            }
        }
    }

    pub(super) fn write(&self, key: &str) -> String {
        if self.0 { utf8_percent_encode(key, ENCODED).to_string() } else { key.to_owned() }
    }

    pub(super) fn some(&self, key: Option<&str>) -> Option<String> {
        key.map(|key| self.write(key))
    }
}

/// How many lines a page has.
pub(super) fn limit(asked: Option<i32>) -> Result<(usize, i32), Fault> {
    let limit = asked.unwrap_or(MOST).min(MOST);
    let count =
        usize::try_from(limit).map_err(|_| refuse(S3ErrorCode::InvalidArgument, "max-keys is negative"))?;
    Ok((count, limit))
}

impl Service {
    async fn page(
        &self,
        caller: &Caller,
        bucket: &str,
        list: List,
        versions: Option<Option<(String, String)>>,
    ) -> Result<Page, Fault> {
        caller.live.bucket(bucket)?;
        let (service, live, bucket) = (self.clone(), caller.live.clone(), bucket.to_owned());
        let read = move || {
            service.app.store.read(|reading| {
                let row = service.row(&live, reading, &bucket)?;
                if list.limit == 0 {
                    return Ok(Page::default());
                }
                match &versions {
                    None => reading.list(row.id, &list),
                    Some(behind) => {
                        let behind = behind.as_ref().map(|(key, version)| (&**key, &**version));
                        reading.list_versions(row.id, &list, behind)
                    }
                }
            })
        };
        tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
    }
}

fn object(writer: &Writer, key: &str, record: &Record, owner: Option<Owner>) -> Object {
    let algorithms =
        record.sums.values.keys().map(|name| ChecksumAlgorithm::from(name.clone())).collect::<Vec<_>>();
    Object {
        key: Some(writer.write(key)),
        last_modified: Some(timestamp(record.modified)),
        e_tag: etag(record),
        size: i64::try_from(record.size).ok(),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        checksum_type: checksum_type(&record.sums),
        checksum_algorithm: (!algorithms.is_empty()).then_some(algorithms),
        owner,
        restore_status: None,
    }
}

fn split(writer: &Writer, page: &Page, owner: Option<&Owner>) -> (Vec<Object>, Vec<CommonPrefix>) {
    let (mut objects, mut prefixes) = (vec![], vec![]);
    for entry in &page.entries {
        match entry {
            Entry::Object { key, record, .. } => objects.push(object(writer, key, record, owner.cloned())),
            Entry::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(writer.write(prefix)) }),
        }
    }
    (objects, prefixes)
}

pub(super) async fn objects(
    service: &Service,
    request: S3Request<ListObjectsInput>,
) -> Result<ListObjectsOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let writer = Writer::new(input.encoding_type.as_ref())?;
    let (limit, max_keys) = limit(input.max_keys)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let list = List { prefix, delimiter: input.delimiter.clone(), from: String::new(), limit };
    let list = list.after(input.marker.as_deref().unwrap_or_default());
    let page = service.page(&caller, &input.bucket, list, None).await?;
    let (contents, common_prefixes) = split(&writer, &page, owner(caller.name()).as_ref());
    let last = page.entries.last().filter(|_| page.is_truncated).map(|entry| match entry {
        Entry::Object { key, .. } | Entry::Prefix(key) => writer.write(key),
    });
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: writer.some(Some(input.prefix.as_deref().unwrap_or_default())),
        marker: writer.some(Some(input.marker.as_deref().unwrap_or_default())),
        max_keys: Some(max_keys),
        is_truncated: Some(page.is_truncated),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        delimiter: writer.some(input.delimiter.as_deref()),
        next_marker: last,
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

pub(super) async fn objects_v2(
    service: &Service,
    request: S3Request<ListObjectsV2Input>,
) -> Result<ListObjectsV2Output, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let writer = Writer::new(input.encoding_type.as_ref())?;
    let (limit, max_keys) = limit(input.max_keys)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let list = List { prefix, delimiter: input.delimiter.clone(), from: String::new(), limit };
    let list = match &input.continuation_token {
        Some(token) => List { from: from_token(token)?, ..list },
        None => list.after(input.start_after.as_deref().unwrap_or_default()),
    };
    let page = service.page(&caller, &input.bucket, list, None).await?;
    let owner = owner(caller.name()).filter(|_| input.fetch_owner == Some(true));
    let (contents, common_prefixes) = split(&writer, &page, owner.as_ref());
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: writer.some(Some(input.prefix.as_deref().unwrap_or_default())),
        max_keys: Some(max_keys),
        key_count: i32::try_from(page.entries.len()).ok(),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.is_truncated),
        next_continuation_token: page.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        delimiter: writer.some(input.delimiter.as_deref()),
        encoding_type: input.encoding_type,
        start_after: writer.some(input.start_after.as_deref()),
        request_charged: None,
    })
}

/// The key that a page begins with.
fn from_token(token: &str) -> Result<String, Fault> {
    let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| refuse(S3ErrorCode::InvalidArgument, "The continuation token provided is incorrect"))
}

pub(super) async fn versions(
    service: &Service,
    request: S3Request<ListObjectVersionsInput>,
) -> Result<ListObjectVersionsOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let writer = Writer::new(input.encoding_type.as_ref())?;
    let (limit, max_keys) = limit(input.max_keys)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let list = List { prefix, delimiter: input.delimiter.clone(), from: String::new(), limit };
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let version_marker = input.version_id_marker.clone().filter(|version| !version.is_empty());
    if version_marker.is_some() && key_marker.is_empty() {
        let message = "A version-id marker cannot be specified without a key marker.";
        return Err(refuse(S3ErrorCode::InvalidArgument, message));
    }
    let (list, behind) = match version_marker {
        Some(version) => (List { from: key_marker.clone(), ..list }, Some((key_marker, version))),
        None => (list.after(&key_marker), None),
    };
    let page = service.page(&caller, &input.bucket, list, Some(behind)).await?;
    let (mut versions, mut markers, mut prefixes) = (vec![], vec![], vec![]);
    for entry in &page.entries {
        match entry {
            Entry::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(writer.write(prefix)) }),
            Entry::Object { key, record, is_newest } if record.is_marker => markers.push(DeleteMarkerEntry {
                is_latest: Some(*is_newest),
                key: Some(writer.write(key)),
                last_modified: Some(timestamp(record.modified)),
                owner: owner(caller.name()),
                version_id: Some(record.version_id()),
            }),
            Entry::Object { key, record, is_newest } => {
                let object = object(&writer, key, record, owner(caller.name()));
                versions.push(ObjectVersion {
                    checksum_algorithm: object.checksum_algorithm,
                    checksum_type: object.checksum_type,
                    e_tag: object.e_tag,
                    is_latest: Some(*is_newest),
                    key: object.key,
                    last_modified: object.last_modified,
                    owner: object.owner,
                    restore_status: None,
                    size: object.size,
                    storage_class: Some(ObjectVersionStorageClass::from_static(
                        ObjectVersionStorageClass::STANDARD,
                    )),
                    version_id: Some(record.version_id()),
                });
            }
        }
    }
    let last = page.entries.last().filter(|_| page.is_truncated);
    let (next_key_marker, next_version_id_marker) = match last {
        Some(Entry::Object { key, record, .. }) => (Some(writer.write(key)), Some(record.version_id())),
        Some(Entry::Prefix(prefix)) => (Some(writer.write(prefix)), None),
        None => (None, None),
    };
    Ok(ListObjectVersionsOutput {
        common_prefixes: Some(prefixes),
        delete_markers: Some(markers),
        delimiter: writer.some(input.delimiter.as_deref()),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.is_truncated),
        key_marker: writer.some(Some(input.key_marker.as_deref().unwrap_or_default())),
        max_keys: Some(max_keys),
        name: Some(input.bucket),
        next_key_marker,
        next_version_id_marker,
        prefix: writer.some(Some(input.prefix.as_deref().unwrap_or_default())),
        request_charged: None,
        version_id_marker: input.version_id_marker,
        versions: Some(versions),
    })
}
