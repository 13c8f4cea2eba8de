//! Multipart uploads. Their parts are segments already: to complete one moves no bytes.

use redb::ReadableTable;
use s3s::S3ErrorCode;
use uuid::Uuid;

use super::index::{PARTS, Reading, Tables, UPLOADS, decode, encode};
use super::objects::Room;
use super::record::{BucketRow, Part, Segment, Upload};
use crate::fault::Fault;

impl Reading {
    pub(crate) fn upload(&self, bucket: u64, key: &str, id: Uuid) -> Result<Upload, Fault> {
        decode(self.table(UPLOADS)?.get((bucket, key, id.as_u128()))?)?
            .ok_or_else(|| S3ErrorCode::NoSuchUpload.into())
    }

    /// Uploads behind a key and an upload, in the order of keys, then of time.
    pub(crate) fn uploads(
        &self,
        bucket: u64,
        prefix: &str,
        after: (&str, Uuid),
        limit: usize,
    ) -> Result<Vec<(String, Uuid, Upload)>, Fault> {
        let mut uploads = vec![];
        let from = if after.0 < prefix { (bucket, prefix, 0) } else { (bucket, after.0, after.1.as_u128()) };
        for row in self.table(UPLOADS)?.range(from..)? {
            let (at, row) = row?;
            let (owner, key, id) = at.value();
            let id = Uuid::from_u128(id);
            if owner != bucket || !key.starts_with(prefix) || uploads.len() >= limit {
                break;
            }
            if (key, id) > after {
                uploads.push((key.to_owned(), id, serde_json::from_slice(row.value())?));
            }
        }
        Ok(uploads)
    }

    /// Parts with numbers above `after`.
    pub(crate) fn parts(&self, id: Uuid, after: u32, limit: usize) -> Result<Vec<(u32, Part)>, Fault> {
        let Some(from) = after.checked_add(1) else { return Ok(vec![]) };
        let mut parts = vec![];
        for row in self.table(PARTS)?.range((id.as_u128(), from)..=(id.as_u128(), u32::MAX))?.take(limit) {
            let (at, row) = row?;
            parts.push((at.value().1, serde_json::from_slice(row.value())?));
        }
        Ok(parts)
    }

    /// Uploads that began before a time.
    pub(crate) fn stale_uploads(&self, bucket: u64, before: i64) -> Result<Vec<(String, Uuid)>, Fault> {
        let all = self.uploads(bucket, "", ("", Uuid::nil()), usize::MAX)?;
        Ok(all
            .into_iter()
            .filter(|(_, _, upload)| upload.started < before)
            .map(|(key, id, _)| (key, id))
            .collect())
    }
}

impl Tables<'_> {
    pub(crate) fn begin_upload(
        &mut self,
        bucket: &str,
        key: &str,
        id: Uuid,
        upload: &Upload,
    ) -> Result<(), Fault> {
        let bucket = self.bucket(bucket)?;
        self.uploads.insert((bucket.id, key, id.as_u128()), &*encode(upload)?)?;
        Ok(())
    }

    /// Stores a part in place of one with the same number.
    pub(crate) fn put_part(
        &mut self,
        (bucket, key, id): (&str, &str, Uuid),
        number: u32,
        part: &Part,
        room: Room,
    ) -> Result<(), Fault> {
        let mut row = self.bucket(bucket)?;
        if self.uploads.get((row.id, key, id.as_u128()))?.is_none() {
            return Err(S3ErrorCode::NoSuchUpload.into());
        }
        let replaced: Option<Part> = decode(self.parts.get((id.as_u128(), number))?)?;
        let less = replaced.as_ref().map_or(0, |replaced| replaced.segment.size);
        room.check(row.bytes + row.pending, self.count(super::objects::BYTES)?, part.segment.size, less)?;
        if let Some(replaced) = replaced {
            self.release(&[replaced.segment])?;
        }
        self.parts.insert((id.as_u128(), number), &*encode(part)?)?;
        row.pending = row.pending.saturating_add(part.segment.size).saturating_sub(less);
        self.count_bytes(part.segment.size, less)?;
        self.set_bucket(bucket, &row)
    }

    pub(crate) fn part(&self, id: Uuid, number: u32) -> Result<Option<Part>, Fault> {
        decode(self.parts.get((id.as_u128(), number))?)
    }

    pub(crate) fn abort_upload(&mut self, bucket: &str, key: &str, id: Uuid) -> Result<(), Fault> {
        let mut row = self.bucket(bucket)?;
        if self.uploads.get((row.id, key, id.as_u128()))?.is_none() {
            return Err(S3ErrorCode::NoSuchUpload.into());
        }
        self.forget_upload(&mut row, key, id, &[])?;
        self.set_bucket(bucket, &row)
    }

    /// Removes an upload and its parts, but for the segments that go on as an object.
    pub(super) fn forget_upload(
        &mut self,
        bucket: &mut BucketRow,
        key: &str,
        id: Uuid,
        kept: &[Segment],
    ) -> Result<(), Fault> {
        if self.uploads.remove((bucket.id, key, id.as_u128()))?.is_none() {
            return Err(S3ErrorCode::NoSuchUpload.into());
        }
        let mut numbers = vec![];
        for row in self.parts.range((id.as_u128(), 0)..=(id.as_u128(), u32::MAX))? {
            let (at, row) = row?;
            numbers.push((at.value().1, serde_json::from_slice::<Part>(row.value())?.segment));
        }
        let kept: std::collections::HashSet<Uuid> = kept.iter().map(|segment| segment.id).collect();
        for (number, segment) in numbers {
            self.parts.remove((id.as_u128(), number))?;
            bucket.pending = bucket.pending.saturating_sub(segment.size);
            self.count_bytes(0, segment.size)?;
            if !kept.contains(&segment.id) {
                self.release(&[segment])?;
            }
        }
        Ok(())
    }
}
