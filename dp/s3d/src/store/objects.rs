//! Changes of objects: each is made whole or not at all, and sees no other in the middle.

use std::collections::BTreeMap;

use redb::ReadableTable;
use s3s::S3ErrorCode;
use uuid::Uuid;

use super::index::{CURRENT, OLDER, Reading, Tables, decode, encode};
use super::record::{BucketRow, Contents, Record, Segment, Versioning, now};
use crate::fault::{Fault, custom, refuse};

/// What the bytes of all buckets are counted under.
pub(super) const BYTES: &str = "bytes";

/// Refuses a change for what is there, if anything.
pub(crate) type Condition = Box<dyn FnOnce(Option<&Record>) -> Result<(), Fault> + Send>;

/// A new version of an object.
pub(crate) struct Put {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) record: Record,
    /// Segments of [`Contents::Many`].
    pub(crate) list: Vec<Segment>,
    pub(crate) versioning: Versioning,
    pub(crate) room: Room,
    /// Refuses the put for what is there now, if anything.
    pub(crate) condition: Condition,
    /// The upload that this completes, whose parts it does not keep are forgotten.
    pub(crate) completes: Option<Uuid>,
}

/// How much may be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// In the bucket; 0 is no limit.
    pub(crate) bucket: u64,
    /// In all buckets together.
    pub(crate) disk: u64,
}

/// A delete of an object or of one of its versions.
pub(crate) struct Removal {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) version: Option<String>,
    pub(crate) versioning: Versioning,
    /// Whether governance is bypassed.
    pub(crate) bypass: bool,
    pub(crate) condition: Condition,
}

/// What a delete did.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) version: Option<String>,
    /// Whether a marker was made or removed.
    pub(crate) is_marker: bool,
}

/// Where a version is: the newest one, or an older one by its order.
#[derive(Clone, Copy, Debug)]
enum Place {
    Current,
    Older(u64),
}

impl Room {
    /// Refuses more bytes than fit.
    pub(crate) fn check(self, bucket: u64, disk: u64, more: u64, less: u64) -> Result<(), Fault> {
        let after = |used: u64| used.saturating_add(more).saturating_sub(less);
        if more > less && self.bucket > 0 && after(bucket) > self.bucket {
            let mut error = custom("QuotaExceeded", "The bucket's quota does not leave room for this object");
            error.set_status_code(hyper::StatusCode::FORBIDDEN);
            return Err(error.into());
        }
        if more > less && after(disk) > self.disk {
            let mut error =
                custom("QuotaExceeded", "The disk size of the service does not leave room for this object");
            error.set_status_code(hyper::StatusCode::FORBIDDEN);
            return Err(error.into());
        }
        Ok(())
    }
}

impl Reading {
    /// A version, or the newest one; `None` also for a version id that no version can have.
    pub(crate) fn record(
        &self,
        bucket: u64,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<Record>, Fault> {
        let current = self.table(CURRENT)?;
        let found = locate(&current, &self.table(OLDER)?, bucket, key, version)?;
        Ok(found.map(|(record, _)| record))
    }
}

impl Tables<'_> {
    pub(crate) fn bucket(&self, name: &str) -> Result<BucketRow, Fault> {
        decode(self.buckets.get(name)?)?.ok_or_else(|| S3ErrorCode::NoSuchBucket.into())
    }

    pub(super) fn set_bucket(&mut self, name: &str, row: &BucketRow) -> Result<(), Fault> {
        self.buckets.insert(name, &*encode(row)?)?;
        Ok(())
    }

    pub(super) fn count(&self, name: &str) -> Result<u64, Fault> {
        Ok(self.counts.get(name)?.map_or(0, |count| count.value()))
    }

    /// Adds to the bytes of all buckets, and takes away from them.
    pub(super) fn count_bytes(&mut self, more: u64, less: u64) -> Result<(), Fault> {
        let bytes = self.count(BYTES)?.saturating_add(more).saturating_sub(less);
        self.counts.insert(BYTES, bytes)?;
        Ok(())
    }

    /// Stores a version; answers it as it is stored.
    pub(crate) fn put(&mut self, put: Put) -> Result<Record, Fault> {
        let Put { bucket: name, key, mut record, list, versioning, room, condition, completes } = put;
        let mut bucket = self.bucket(&name)?;
        let current: Option<Record> = decode(self.current.get((bucket.id, &*key))?)?;
        condition(current.as_ref())?;
        let replaced = self.null_version(bucket.id, &key, current.as_ref(), versioning)?;
        if let Some((replaced, _)) = &replaced {
            replaced.check_removal(false)?;
        }
        let less = replaced.as_ref().map_or(0, |(replaced, _)| replaced.size);
        let (total, pending) = (self.count(BYTES)?, completes.map_or(0, |_| record.size));
        room.check(bucket.bytes + bucket.pending, total, record.size, less + pending)?;
        if let Some(upload) = completes {
            self.forget_upload(&mut bucket, &key, upload, &list)?;
        }
        let less = self.make_way(&mut bucket, &key, current.as_ref(), replaced)?;
        stamp(&mut record, current.as_ref(), versioning);
        if let Contents::Many(id) = record.contents {
            self.lists.insert(id.as_u128(), &*encode(&list)?)?;
        }
        self.current.insert((bucket.id, &*key), &*encode(&record)?)?;
        bucket.objects += u64::from(!record.is_marker);
        bucket.versions += 1;
        bucket.bytes += record.size;
        self.count_bytes(record.size, less)?;
        self.set_bucket(&name, &bucket)?;
        Ok(record)
    }

    /// Deletes as S3 does: a marker where versions are kept, unless a version is named.
    pub(crate) fn remove(&mut self, removal: Removal) -> Result<Removed, Fault> {
        let Removal { bucket: name, key, version, versioning, bypass, condition } = removal;
        let mut bucket = self.bucket(&name)?;
        let found = locate(&self.current, &self.older, bucket.id, &key, version.as_deref())?;
        condition(found.as_ref().map(|(record, _)| record))?;
        if version.is_none() && versioning != Versioning::Off {
            let record = Record { is_marker: true, modified: now(), ..Record::default() };
            let room = Room { bucket: 0, disk: u64::MAX };
            let condition = Box::new(|_: Option<&Record>| Ok(()));
            let list = vec![];
            let put = Put { bucket: name, key, record, list, versioning, room, condition, completes: None };
            return Ok(Removed { version: Some(self.put(put)?.version_id()), is_marker: true });
        }
        let Some((record, place)) = found else { return Ok(Removed { version, is_marker: false }) };
        record.check_removal(bypass)?;
        self.drop_version(&mut bucket, &key, &record, place)?;
        if matches!(place, Place::Current) {
            self.promote(&mut bucket, &key)?;
        }
        self.count_bytes(0, record.size)?;
        self.set_bucket(&name, &bucket)?;
        Ok(Removed { version, is_marker: record.is_marker })
    }

    /// Changes what is known about a version.
    pub(crate) fn update(
        &mut self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        change: impl FnOnce(&mut Record) -> Result<(), Fault>,
    ) -> Result<Record, Fault> {
        let bucket = self.bucket(bucket)?;
        let found = locate(&self.current, &self.older, bucket.id, key, version)?;
        let missing = if version.is_some() { S3ErrorCode::NoSuchVersion } else { S3ErrorCode::NoSuchKey };
        let (mut record, place) = found.ok_or(missing)?;
        if record.is_marker {
            return Err(refuse(S3ErrorCode::MethodNotAllowed, "The version is a delete marker"));
        }
        change(&mut record)?;
        match place {
            Place::Current => drop(self.current.insert((bucket.id, key), &*encode(&record)?)?),
            Place::Older(order) => drop(self.older.insert((bucket.id, key, order), &*encode(&record)?)?),
        }
        Ok(record)
    }

    /// The null version, when a new one takes its place.
    fn null_version(
        &self,
        bucket: u64,
        key: &str,
        current: Option<&Record>,
        versioning: Versioning,
    ) -> Result<Option<(Record, Place)>, Fault> {
        match versioning {
            Versioning::Enabled => Ok(None),
            Versioning::Off => Ok(current.map(|record| (record.clone(), Place::Current))),
            Versioning::Suspended => locate(&self.current, &self.older, bucket, key, Some("null")),
        }
    }

    /// Removes the version that is replaced, and makes the newest one an older one; answers the bytes that are gone.
    fn make_way(
        &mut self,
        bucket: &mut BucketRow,
        key: &str,
        current: Option<&Record>,
        replaced: Option<(Record, Place)>,
    ) -> Result<u64, Fault> {
        let is_current_gone = matches!(replaced, Some((_, Place::Current)));
        let less = replaced.as_ref().map_or(0, |(record, _)| record.size);
        if let Some((record, place)) = replaced {
            self.drop_version(bucket, key, &record, place)?;
        }
        if let Some(current) = current.filter(|_| !is_current_gone) {
            self.older.insert((bucket.id, key, u64::MAX - current.order), &*encode(current)?)?;
            bucket.objects -= u64::from(!current.is_marker);
        }
        Ok(less)
    }

    fn drop_version(
        &mut self,
        bucket: &mut BucketRow,
        key: &str,
        record: &Record,
        place: Place,
    ) -> Result<(), Fault> {
        match place {
            Place::Current => {
                self.current.remove((bucket.id, key))?;
                bucket.objects -= u64::from(!record.is_marker);
            }
            Place::Older(order) => drop(self.older.remove((bucket.id, key, order))?),
        }
        bucket.versions = bucket.versions.saturating_sub(1);
        bucket.bytes = bucket.bytes.saturating_sub(record.size);
        self.release_contents(&record.contents)
    }

    /// Makes the newest older version the current one.
    fn promote(&mut self, bucket: &mut BucketRow, key: &str) -> Result<(), Fault> {
        let newest = {
            let mut range = self.older.range((bucket.id, key, 0)..=(bucket.id, key, u64::MAX))?;
            range.next().transpose()?.map(|(at, row)| (at.value().2, row.value().to_vec()))
        };
        if let Some((order, row)) = newest {
            self.older.remove((bucket.id, key, order))?;
            self.current.insert((bucket.id, key), &*row)?;
            let record: Record = serde_json::from_slice(&row)?;
            bucket.objects += u64::from(!record.is_marker);
        }
        Ok(())
    }
}

/// Gives a version its place in time, and its id where versions are kept.
fn stamp(record: &mut Record, current: Option<&Record>, versioning: Versioning) {
    let micros = u64::try_from(now()).unwrap_or_default().saturating_mul(1000);
    record.order = micros.max(current.map_or(0, |current| current.order + 1));
    record.version = (versioning == Versioning::Enabled)
        .then(|| format!("{:016x}{:016x}", record.order, Uuid::new_v4().as_u64_pair().0));
}

fn locate(
    current: &impl ReadableTable<(u64, &'static str), &'static [u8]>,
    older: &impl ReadableTable<(u64, &'static str, u64), &'static [u8]>,
    bucket: u64,
    key: &str,
    version: Option<&str>,
) -> Result<Option<(Record, Place)>, Fault> {
    let Some(newest) = decode::<Record>(current.get((bucket, key))?)? else { return Ok(None) };
    let Some(version) = version else { return Ok(Some((newest, Place::Current))) };
    if newest.version_id() == version {
        return Ok(Some((newest, Place::Current)));
    }
    if version == "null" {
        for row in older.range((bucket, key, 0)..=(bucket, key, u64::MAX))? {
            let (at, row) = row?;
            let record: Record = serde_json::from_slice(row.value())?;
            if record.version.is_none() {
                return Ok(Some((record, Place::Older(at.value().2))));
            }
        }
        return Ok(None);
    }
    let Some(order) = order_of(version) else { return Ok(None) };
    let found: Option<Record> = decode(older.get((bucket, key, u64::MAX - order))?)?;
    let found = found.filter(|record| record.version.as_deref() == Some(version));
    Ok(found.map(|record| (record, Place::Older(u64::MAX - order))))
}

/// The order that a version id tells of.
pub(super) fn order_of(version: &str) -> Option<u64> {
    (version.len() == 32).then(|| u64::from_str_radix(version.get(..16)?, 16).ok()).flatten()
}

/// Tags from `x-amz-tagging`, or from a body; refused as S3 does.
pub(crate) fn check_tags(tags: &[(String, String)]) -> Result<BTreeMap<String, String>, Fault> {
    let is_long = |(key, value): &(String, String)| {
        key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256
    };
    let unique: BTreeMap<String, String> = tags.iter().cloned().collect();
    if tags.len() > 10 {
        return Err(refuse(S3ErrorCode::InvalidTag, "An object has at most 10 tags"));
    }
    if tags.iter().any(is_long) || unique.len() < tags.len() {
        return Err(refuse(
            S3ErrorCode::InvalidTag,
            "Keys of tags are unique and have 1 to 128 characters, values up to 256",
        ));
    }
    Ok(unique)
}
