//! Buckets, by requests of S3 itself; only quotas have a path of the admin API.

use std::collections::BTreeSet;
use std::io;

use metapaas_core::agent::{DriverError, ItemError};
use metapaas_s3d::document::{Bucket, Document, Encryption, RetentionMode};
use reqwest::Method;
use serde_json::json;

use super::admin::{Admin, element};
use crate::plan::Wanted;
use crate::sign::Call;

const ENCRYPTED: &str = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
    <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";

async fn there(admin: &Admin<'_>) -> Result<BTreeSet<String>, DriverError> {
    let text = admin.text("/", &[]).await;
    let text =
        text.map_err(|source| DriverError::Effect { action: "list the buckets".to_owned(), source })?;
    // The owner has a name as well, but not within a bucket.
    Ok(element(&text, "Bucket")
        .filter_map(|bucket| element(bucket, "Name").next())
        .map(str::to_owned)
        .collect())
}

/// Makes buckets be as wanted.
pub(super) async fn buckets(
    admin: &Admin<'_>,
    known: Option<&Document>,
    wanted: &Document,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    let there = there(admin).await?;
    for (name, bucket) in &wanted.buckets {
        let item = format!("buckets/{name}");
        let is_there = there.contains(name);
        let before = known.filter(|_| is_there).and_then(|known| known.buckets.get(name));
        if !is_there {
            let lock = bucket.object_lock.then_some(("x-amz-bucket-object-lock-enabled", "true"));
            let call = Call::new(Method::PUT, &format!("/{name}")).headers(lock.as_slice());
            if !admin.change(&item, call, errors).await? {
                continue;
            }
        }
        // What a new bucket is without being told.
        let plain = Bucket {
            versioning: bucket.object_lock,
            quota_bytes: 0,
            public: false,
            object_lock: bucket.object_lock,
            retention: None,
        };
        let before = before.or((!is_there).then_some(&plain));
        let encryption = match (known, is_there) {
            (_, false) => Some(Encryption::None),
            (Some(known), true) if known.buckets.contains_key(name) => Some(known.encryption),
            _ => None,
        };
        settle(admin, &item, name, before, bucket, errors).await?;
        if encryption != Some(wanted.encryption) {
            let encrypted = (wanted.encryption == Encryption::Aes256).then(|| ENCRYPTED.to_owned());
            part(admin, &item, name, "encryption", encrypted, errors).await?;
        }
    }
    Ok(())
}

/// Sets what differs from `before`; everything, when that is not known.
async fn settle(
    admin: &Admin<'_>,
    item: &str,
    name: &str,
    before: Option<&Bucket>,
    bucket: &Bucket,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    // Object lock implies versions, and RustFS refuses to suspend them.
    if before.is_none_or(|before| before.versioning != bucket.versioning) && !bucket.object_lock {
        let status = if bucket.versioning { "Enabled" } else { "Suspended" };
        let text = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        part(admin, item, name, "versioning", Some(text), errors).await?;
    }
    if bucket.object_lock && before.is_none_or(|before| before.retention != bucket.retention) {
        let rule = bucket.retention.map_or_else(String::new, |retention| {
            let mode = match retention.mode {
                RetentionMode::Governance => "GOVERNANCE",
                RetentionMode::Compliance => "COMPLIANCE",
            };
            let days = retention.days;
            format!(
                "<Rule><DefaultRetention><Mode>{mode}</Mode><Days>{days}</Days></DefaultRetention></Rule>"
            )
        });
        let text = format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"
        );
        part(admin, item, name, "object-lock", Some(text), errors).await?;
    }
    if before.is_none_or(|before| before.public != bucket.public) {
        let statement = json!({ "Effect": "Allow", "Principal": { "AWS": ["*"] }, "Action": ["s3:GetObject"],
                                "Resource": [format!("arn:aws:s3:::{name}/*")] });
        let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
        part(admin, item, name, "policy", bucket.public.then(|| policy.to_string()), errors).await?;
    }
    if before.is_none_or(|before| before.quota_bytes != bucket.quota_bytes) {
        let path = format!("/rustfs/admin/v3/quota/{name}");
        let call = match bucket.quota_bytes {
            0 => Call::new(Method::DELETE, &path),
            quota => Call::new(Method::PUT, &path).json(&json!({ "quota": quota, "quota_type": "HARD" })),
        };
        admin.change(item, call, errors).await?;
    }
    Ok(())
}

/// Sets a part of a bucket's configuration, or takes it away.
async fn part(
    admin: &Admin<'_>,
    item: &str,
    bucket: &str,
    part: &str,
    text: Option<String>,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    let method = if text.is_some() { Method::PUT } else { Method::DELETE };
    let call = Call::new(method, &format!("/{bucket}")).query(&[(part, "")]);
    admin.change(item, call.body(text.unwrap_or_default().into_bytes()), errors).await.map(drop)
}

/// Whether all buckets with a quota can be written to: RustFS refuses that before its scanner has counted a new one.
pub(super) async fn counted(admin: &Admin<'_>, wanted: &Document) -> io::Result<()> {
    for name in wanted.buckets.iter().filter(|(_, bucket)| bucket.quota_bytes > 0).map(|(name, _)| name) {
        admin.text(&format!("/rustfs/admin/v3/quota-stats/{name}"), &[]).await?;
    }
    Ok(())
}

/// Lets buckets go. One that holds something stays, unless it goes by force.
pub(super) async fn leaving(
    admin: &Admin<'_>,
    wanted: &Wanted,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    if wanted.leaving.is_empty() {
        return Ok(());
    }
    let there = there(admin).await?;
    for name in wanted.leaving.iter().filter(|name| there.contains(*name)) {
        let force = wanted.document.purge.contains(name).then_some(("x-rustfs-force-delete", "true"));
        let call = Call::new(Method::DELETE, &format!("/{name}")).headers(force.as_slice());
        admin.change(&format!("buckets/{name}"), call, errors).await?;
    }
    Ok(())
}
