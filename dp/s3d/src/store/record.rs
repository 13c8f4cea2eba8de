//! What the index keeps about objects, uploads and buckets.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use s3s::S3ErrorCode;
use s3s::dto::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::document::RetentionMode;
use crate::fault::{Fault, refuse};

/// A run of bytes in a file, or in the index when it is short.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Segment {
    pub(crate) id: Uuid,
    /// Plain bytes.
    pub(crate) size: u64,
    /// Whether the index holds it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) inline: bool,
    /// Its wrapped key, when it is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

/// Where the bytes of an object are.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) enum Contents {
    /// It has none.
    #[default]
    Empty,
    One(Segment),
    /// A list of segments that is kept apart, so that listings need not read it.
    Many(Uuid),
}

/// One version of an object, or a delete marker.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Record {
    /// Orders the versions of a key; greater is newer.
    pub(crate) order: u64,
    /// `None` is the version that S3 calls null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) is_marker: bool,
    pub(crate) size: u64,
    pub(crate) etag: String,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
    #[serde(default)]
    pub(crate) contents: Contents,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) encrypted: bool,
    #[serde(flatten)]
    pub(crate) traits: Traits,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) sums: Sums,
    /// Sizes of the parts that it was uploaded in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<u64>,
}

/// What a client says about an object beside its bytes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Traits {
    /// `Content-Type` and its like, by lower-case name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retention: Option<Hold>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) legal_hold: bool,
}

/// Until when a version cannot be removed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Hold {
    pub(crate) mode: RetentionMode,
    /// Milliseconds since 1970.
    pub(crate) until: i64,
}

/// Checksums in base64.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Sums {
    /// By the name of the algorithm, as `x-amz-checksum-algorithm` writes it.
    pub(crate) values: BTreeMap<String, String>,
    /// Whether they are checksums of the parts' checksums.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) composite: bool,
}

/// A multipart upload that is under way.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Upload {
    pub(crate) started: i64,
    pub(crate) traits: Traits,
    /// The algorithm that its parts have checksums of.
    #[serde(default)]
    pub(crate) algorithm: Option<String>,
    #[serde(default)]
    pub(crate) full_object: bool,
}

/// A part of an upload.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Part {
    pub(crate) segment: Segment,
    pub(crate) etag: String,
    pub(crate) modified: i64,
    pub(crate) sums: Sums,
}

/// A bucket.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct BucketRow {
    pub(crate) id: u64,
    pub(crate) created: i64,
    /// Whether versions were ever kept: null versions are then told apart from others.
    #[serde(default)]
    pub(crate) versioned: bool,
    /// Current objects.
    #[serde(default)]
    pub(crate) objects: u64,
    /// Versions and delete markers, those of current objects too.
    #[serde(default)]
    pub(crate) versions: u64,
    /// Bytes of all versions.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// Bytes of parts of uploads.
    #[serde(default)]
    pub(crate) pending: u64,
}

/// How a bucket keeps versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Versioning {
    Off,
    Enabled,
    Suspended,
}

impl Record {
    /// As S3 writes it.
    pub(crate) fn version_id(&self) -> String {
        self.version.clone().unwrap_or_else(|| "null".into())
    }

    /// Refuses the removal of a locked version.
    pub(crate) fn check_removal(&self, bypass: bool) -> Result<(), Fault> {
        let locked = self.traits.retention.is_some_and(|hold| hold.holds(bypass));
        if self.traits.legal_hold || locked {
            return Err(refuse(S3ErrorCode::AccessDenied, "The version is locked and cannot be removed"));
        }
        Ok(())
    }
}

impl Hold {
    /// Whether it is in force now against who may or may not bypass governance.
    pub(crate) fn holds(self, bypass: bool) -> bool {
        self.until > now() && !(bypass && self.mode == RetentionMode::Governance)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// For answers.
pub(crate) fn timestamp(millis: i64) -> Timestamp {
    (UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())).into()
}

/// From requests.
pub(crate) fn millis(timestamp: Timestamp) -> i64 {
    let nanoseconds = time::OffsetDateTime::from(timestamp).unix_timestamp_nanos();
    i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
