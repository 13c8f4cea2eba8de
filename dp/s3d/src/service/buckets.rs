//! Buckets: what the document says about them. They are made and changed through the control plane.

use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request};

use super::{Service, by_control_plane, owner};
use crate::access::Caller;
use crate::document::RetentionMode;
use crate::fault::{Fault, custom, refuse};
use crate::store::{Versioning, timestamp};

pub(super) async fn list(
    service: &Service,
    request: S3Request<ListBucketsInput>,
) -> Result<ListBucketsOutput, Fault> {
    let caller = Caller::of(&request)?;
    let rows = service.app.store.read(|reading| reading.buckets())?;
    let prefix = request.input.prefix.clone().unwrap_or_default();
    let after = request.input.continuation_token.unwrap_or_default();
    let seen = rows.iter().filter(|(name, _)| {
        caller.live.document.buckets.contains_key(*name)
            && name.starts_with(&prefix)
            && **name > after
            && service.access.sees(&caller, name)
    });
    let bucket = |(name, row): (&String, &crate::store::BucketRow)| Bucket {
        name: Some(name.clone()),
        creation_date: Some(timestamp(row.created)),
        bucket_region: None,
    };
    let limit = request.input.max_buckets.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let mut buckets: Vec<Bucket> = seen.take(limit.saturating_add(1)).map(bucket).collect();
    let is_truncated = buckets.len() > limit;
    buckets.truncate(limit);
    let continuation_token = buckets.last().filter(|_| is_truncated).and_then(|bucket| bucket.name.clone());
    let owner = owner(caller.name());
    Ok(ListBucketsOutput { buckets: Some(buckets), owner, continuation_token, prefix: request.input.prefix })
}

pub(super) async fn create(
    service: &Service,
    request: S3Request<CreateBucketInput>,
) -> Result<CreateBucketOutput, Fault> {
    let caller = Caller::of(&request)?;
    let is_there = caller.live.document.buckets.contains_key(&request.input.bucket);
    if is_there && service.access.sees(&caller, &request.input.bucket) {
        return Err(S3ErrorCode::BucketAlreadyOwnedByYou.into());
    }
    Err(by_control_plane("Buckets are made"))
}

pub(super) async fn delete(
    _: &Service,
    request: S3Request<DeleteBucketInput>,
) -> Result<DeleteBucketOutput, Fault> {
    Caller::of(&request)?.live.bucket(&request.input.bucket)?;
    Err(by_control_plane("Buckets are deleted"))
}

pub(super) async fn head(
    _: &Service,
    request: S3Request<HeadBucketInput>,
) -> Result<HeadBucketOutput, Fault> {
    Caller::of(&request)?.live.bucket(&request.input.bucket)?;
    Ok(HeadBucketOutput::default())
}

pub(super) async fn location(
    _: &Service,
    request: S3Request<GetBucketLocationInput>,
) -> Result<GetBucketLocationOutput, Fault> {
    Caller::of(&request)?.live.bucket(&request.input.bucket)?;
    Ok(GetBucketLocationOutput::default())
}

pub(super) async fn versioning(
    service: &Service,
    request: S3Request<GetBucketVersioningInput>,
) -> Result<GetBucketVersioningOutput, Fault> {
    let live = Caller::of(&request)?.live;
    let row = service.app.store.read(|reading| service.row(&live, reading, &request.input.bucket))?;
    let status = match live.bucket(&request.input.bucket)?.versions(&row) {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED)),
        Versioning::Suspended => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::SUSPENDED)),
    };
    let mfa_delete = live.document.mfa_secret.as_ref();
    let mfa_delete = mfa_delete.map(|_| MFADeleteStatus::from_static(MFADeleteStatus::ENABLED));
    Ok(GetBucketVersioningOutput { mfa_delete, status })
}

pub(super) async fn set_versioning(
    _: &Service,
    request: S3Request<PutBucketVersioningInput>,
) -> Result<PutBucketVersioningOutput, Fault> {
    Caller::of(&request)?.live.bucket(&request.input.bucket)?;
    Err(by_control_plane("Versioning is set"))
}

pub(super) async fn encryption(
    _: &Service,
    request: S3Request<GetBucketEncryptionInput>,
) -> Result<GetBucketEncryptionOutput, Fault> {
    let live = Caller::of(&request)?.live;
    live.bucket(&request.input.bucket)?;
    if !live.encrypts() {
        let mut error =
            custom("ServerSideEncryptionConfigurationNotFoundError", "Objects are not encrypted by default");
        error.set_status_code(hyper::StatusCode::NOT_FOUND);
        return Err(error.into());
    }
    let by_default = ServerSideEncryptionByDefault {
        kms_master_key_id: None,
        sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
    };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(by_default),
        bucket_key_enabled: None,
    };
    let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
    Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(configuration) })
}

pub(super) async fn lock(
    _: &Service,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> Result<GetObjectLockConfigurationOutput, Fault> {
    let live = Caller::of(&request)?.live;
    let bucket = live.bucket(&request.input.bucket)?;
    if !bucket.object_lock {
        let message = "Object Lock configuration does not exist for this bucket";
        return Err(refuse(S3ErrorCode::ObjectLockConfigurationNotFoundError, message));
    }
    let rule = bucket.retention.map(|retention| ObjectLockRule {
        default_retention: Some(DefaultRetention {
            days: i32::try_from(retention.days).ok(),
            mode: Some(mode(retention.mode)),
            years: None,
        }),
    });
    let enabled = Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED));
    let configuration = ObjectLockConfiguration { object_lock_enabled: enabled, rule };
    Ok(GetObjectLockConfigurationOutput { object_lock_configuration: Some(configuration) })
}

/// As S3 writes it.
pub(super) fn mode(mode: RetentionMode) -> ObjectLockRetentionMode {
    ObjectLockRetentionMode::from_static(match mode {
        RetentionMode::Governance => ObjectLockRetentionMode::GOVERNANCE,
        RetentionMode::Compliance => ObjectLockRetentionMode::COMPLIANCE,
    })
}

/// The one grant there is: access is the matter of policies.
pub(super) fn grants(name: &str) -> (Option<Owner>, Option<Vec<Grant>>) {
    let grantee = Grantee {
        display_name: Some(name.to_owned()),
        email_address: None,
        id: Some(name.to_owned()),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let permission = Some(Permission::from_static(Permission::FULL_CONTROL));
    (owner(name), Some(vec![Grant { grantee: Some(grantee), permission }]))
}

pub(super) async fn acl(
    _: &Service,
    request: S3Request<GetBucketAclInput>,
) -> Result<GetBucketAclOutput, Fault> {
    let caller = Caller::of(&request)?;
    caller.live.bucket(&request.input.bucket)?;
    let (owner, grants) = grants(caller.name());
    Ok(GetBucketAclOutput { grants, owner })
}

/// Clients ask for these and take it well that there are none.
macro_rules! there_is_none {
    ($($name:ident: $input:ident -> $output:ident = $code:ident,)*) => {$(
        pub(super) async fn $name(_: &Service, request: S3Request<$input>) -> Result<$output, Fault> {
            Caller::of(&request)?.live.bucket(&request.input.bucket)?;
            Err(S3ErrorCode::$code.into())
        }
    )*};
}

there_is_none! {
    policy: GetBucketPolicyInput -> GetBucketPolicyOutput = NoSuchBucketPolicy,
    cors: GetBucketCorsInput -> GetBucketCorsOutput = NoSuchCORSConfiguration,
    tagging: GetBucketTaggingInput -> GetBucketTaggingOutput = NoSuchTagSet,
    lifecycle: GetBucketLifecycleConfigurationInput -> GetBucketLifecycleConfigurationOutput
        = NoSuchLifecycleConfiguration,
}
