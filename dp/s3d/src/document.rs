//! [`Document`]: all that the server is told, in one JSON file that is read again whenever it changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an S3 service is to be. Its driver writes it; the server follows without a restart.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Names this document. `/health` answers it once the document is in force.
    pub digest: String,
    /// Whether objects written from now on are encrypted.
    pub encryption: Encryption,
    /// The key that seals the objects' keys: 32 bytes in base64.
    pub instance_key: String,
    /// The bearer token that `/usage` asks for.
    pub usage_token: String,
    /// The TOTP secret (RFC 6238, base32) that versioned deletes ask for; `None` when they do not.
    #[serde(default)]
    pub mfa_secret: Option<String>,
    /// Room for all buckets together, in bytes.
    pub disk_bytes: u64,
    /// After how long a multipart upload that was not completed is aborted.
    #[serde(default = "week")]
    pub upload_expiry_seconds: u64,
    /// By name. A bucket that is no longer here is removed once it is empty, or at once when it is in [`Self::purge`].
    pub buckets: BTreeMap<String, Bucket>,
    /// Buckets to be removed with all they hold.
    #[serde(default)]
    pub purge: Vec<String>,
    /// AWS policy documents (Version 2012-10-17) by name, validated when they were written.
    #[serde(default)]
    pub policies: BTreeMap<String, Value>,
    /// By name.
    #[serde(default)]
    pub users: BTreeMap<String, User>,
}

fn week() -> u64 {
    7 * 24 * 3600
}

/// How objects are kept.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// As they come.
    None,
    /// AES-256-GCM, a key per object.
    Aes256,
}

/// A bucket that is to be there.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Whether overwritten and deleted objects are kept as versions. Off after on means suspended.
    pub versioning: bool,
    /// Room for the bucket in bytes; 0 is no limit of its own.
    pub quota_bytes: u64,
    /// Whether everybody may read its objects.
    pub public: bool,
    /// Whether its objects can be locked (WORM); implies versioning.
    pub object_lock: bool,
    /// How long new objects are locked, unless the request says otherwise.
    #[serde(default)]
    pub retention: Option<Retention>,
}

/// A default retention.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Who may shorten it.
    pub mode: RetentionMode,
    /// For how many days.
    pub days: u32,
}

/// Who may shorten a retention: who has `s3:BypassGovernanceRetention`, or nobody.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RetentionMode {
    /// Who may bypass it may.
    Governance,
    /// Nobody may.
    Compliance,
}

/// Somebody who may sign requests.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Whether it may do all, without policies: the instance's own.
    #[serde(default)]
    pub root: bool,
    /// Names in [`Document::policies`].
    #[serde(default)]
    pub policies: Vec<String>,
    /// Secret keys by access key id.
    #[serde(default)]
    pub access_keys: BTreeMap<String, AccessKey>,
}

/// A key pair.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The secret.
    pub secret: String,
    /// Requests signed with a disabled key are refused.
    pub enabled: bool,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AccessKey").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// What `/usage` answers on the service's address, to who shows [`Document::usage_token`] as a bearer token.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Usage {
    /// Current objects of all buckets.
    pub objects: u64,
    /// Bytes of all versions of all objects, as the clients sent them.
    pub bytes: u64,
    /// Requests answered since the service was made.
    pub requests: u64,
    /// By bucket name, of buckets that are there, whether in the document or not.
    pub buckets: BTreeMap<String, BucketUsage>,
}

/// What a bucket holds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct BucketUsage {
    /// Objects, versions and delete markers.
    pub objects: u64,
    /// Bytes of all versions.
    pub bytes: u64,
    /// Why the bucket is not as the document asks, e.g. that it holds objects and is not purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
