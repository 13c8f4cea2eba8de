//! What a tenant can ask for.

use metapaas_core::secret::{random_bytes, random_text};
use metapaas_core::{BucketName, FieldEnum, Json, Secret, paas_type};

use crate::rules;

/// S3-compatible object storage: port 9000 of its node speaks S3.
#[paas_type(slug = "s3", element = "s3aas", check = rules::mfa)]
pub struct S3Instance {
    /// The bucket that is made with the instance. It cannot be renamed.
    #[field(check = rules::bucket_name)]
    pub bucket_name: BucketName,
    /// How objects that are written from now on are kept.
    #[field(mutable, default = Encryption::None)]
    pub encryption: Encryption,
    /// Whether that bucket keeps overwritten and deleted objects as versions.
    #[field(mutable, default = false)]
    pub versioning: bool,
    /// Whether deleting a version asks for a one-time password.
    #[field(mutable, iam = "owner", default = false)]
    pub mfa_delete: bool,
    /// What makes the one-time passwords (TOTP, RFC 6238, base32). Made when `mfa_delete` is switched on without one.
    #[field(mutable, iam = "owner", len = 16..=128, pattern = "^[A-Z2-7]+$")]
    pub mfa_secret: Option<Secret<String>>,
    /// Processors.
    #[field(mutable, range = 1..=64, default = 1)]
    pub cpu: u32,
    /// Memory in MiB.
    #[field(mutable, range = 256..=262_144, default = 1024)]
    pub ram_mb: u32,
    /// Room for all objects, in GiB. It can grow and not shrink.
    #[field(mutable, range = 1..=16_384, default = 10, check = rules::grows)]
    pub disk_gb: u32,
    /// The secret of the instance's own access key, which may do everything.
    #[field(mutable, iam = "owner", len = 16..=64, pattern = "^[A-Za-z0-9/+]+$", default = secret_key())]
    pub secret_access_key: Secret<String>,
    /// The instance's own access key.
    #[field(output)]
    pub access_key_id: Option<String>,
    /// The key that seals the objects' keys.
    #[field(output)]
    pub instance_key: Option<Secret<String>>,
    /// What the platform asks the server for its usage with.
    #[field(output)]
    pub usage_token: Option<Secret<String>>,
    /// How often the action `restart` was run.
    #[field(output)]
    pub restarts: Option<u32>,
    /// Objects in all buckets.
    #[field(output, metric = "gauge")]
    pub objects: Option<u64>,
    /// Bytes of all versions of all objects.
    #[field(output, metric = "gauge")]
    pub bytes: Option<u64>,
    /// Requests answered.
    #[field(output, metric = "counter")]
    pub requests: Option<u64>,
}

/// How objects are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FieldEnum)]
pub enum Encryption {
    /// As they come.
    None,
    /// AES-256-GCM, a key per object.
    Aes256,
}

/// A bucket.
#[paas_type(parent = S3Instance, plural = "buckets", key = "name", check = rules::retention)]
pub struct Bucket {
    /// What it is called.
    #[field(check = rules::bucket_name)]
    pub name: BucketName,
    /// Whether overwritten and deleted objects are kept as versions.
    #[field(mutable, default = false)]
    pub versioning: bool,
    /// Room for its objects in bytes; 0 is as much as the instance has.
    #[field(mutable, default = 0)]
    pub quota_bytes: u64,
    /// Whether everybody may read its objects.
    #[field(mutable, default = false)]
    pub public: bool,
    /// Whether its objects can be locked against deletion. Needs `versioning`.
    #[field(default = false)]
    pub object_lock: bool,
    /// Who may shorten the lock that new objects get. Together with `retention_days`.
    #[field(mutable)]
    pub retention_mode: Option<RetentionMode>,
    /// For how many days new objects are locked. Needs `object_lock`.
    #[field(mutable, range = 1..=36_500)]
    pub retention_days: Option<u32>,
    /// Objects, versions and delete markers in it.
    #[field(output)]
    pub objects: Option<u64>,
    /// Bytes of all versions.
    #[field(output)]
    pub bytes: Option<u64>,
    /// Whether it goes with all that it holds.
    #[field(output)]
    pub purge: Option<bool>,
}

/// Who may shorten a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FieldEnum)]
pub enum RetentionMode {
    /// Who has `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody.
    Compliance,
}

/// What somebody may do, as an AWS policy document.
#[paas_type(parent = S3Instance, plural = "policies", key = "name", check = rules::document)]
pub struct Policy {
    /// What it is called.
    #[field(len = 1..=128, pattern = "^[A-Za-z0-9][A-Za-z0-9+=,.@_-]*$")]
    pub name: String,
    /// The document: Version 2012-10-17, Statement with Effect, Action, Resource, Condition.
    #[field(mutable)]
    pub document: Json<serde_json::Value>,
}

/// Somebody who uses the instance.
#[paas_type(parent = S3Instance, plural = "users", key = "name")]
pub struct User {
    /// What they are called.
    #[field(len = 1..=64, pattern = "^[A-Za-z0-9][A-Za-z0-9+=,.@_-]*$")]
    pub name: String,
}

/// A pair of keys of a user.
#[paas_type(parent = User, plural = "access-keys", key = "access_key_id")]
pub struct AccessKey {
    /// What the key is called.
    #[field(len = 16..=32, pattern = "^[A-Z0-9]+$", default = key_id())]
    pub access_key_id: String,
    /// What requests are signed with.
    #[field(len = 16..=64, pattern = "^[A-Za-z0-9/+]+$", default = secret_key())]
    pub secret_access_key: Secret<String>,
    /// Whether requests with it are answered.
    #[field(mutable, default = true)]
    pub enabled: bool,
}

/// A policy that a user has.
#[paas_type(parent = User, plural = "user-policies", segment = "policies", key = "name")]
pub struct UserPolicy {
    /// The name of a policy of the same instance.
    #[field(len = 1..=128)]
    pub name: String,
}

/// A new name of a key.
pub(crate) fn key_id() -> String {
    format!("MP{}", &base32()[..18])
}

/// A new secret of a key.
pub(crate) fn secret_key() -> Secret<String> {
    Secret::new(random_text(40))
}

/// 160 random bits and as many letters as RFC 4648 has for them.
pub(crate) fn base32() -> String {
    letters(&random_bytes())
}

/// Five bits of each byte as a letter or digit of base32.
pub(crate) fn letters(bytes: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}
