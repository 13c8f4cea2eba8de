//! The actions and condition keys of S3 that policies may name.

/// Actions, without `s3:`.
const ACTIONS: &str = "AbortMultipartUpload BypassGovernanceRetention CreateBucket DeleteBucket DeleteBucketPolicy \
    DeleteBucketWebsite DeleteObject DeleteObjectTagging DeleteObjectVersion DeleteObjectVersionTagging \
    GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAcl GetBucketCORS GetBucketLocation \
    GetBucketLogging GetBucketNotification GetBucketObjectLockConfiguration GetBucketOwnershipControls \
    GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging \
    GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration \
    GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration GetObject GetObjectAcl \
    GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent GetObjectVersion \
    GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionTagging GetObjectVersionTorrent \
    GetReplicationConfiguration HeadBucket HeadObject ListAllMyBuckets ListBucket ListBucketMultipartUploads \
    ListBucketVersions ListMultipartUploadParts ListenBucketNotification ListenNotification \
    PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAcl PutBucketCORS PutBucketLogging \
    PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy \
    PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite \
    PutEncryptionConfiguration PutIntelligentTieringConfiguration PutInventoryConfiguration \
    PutLifecycleConfiguration PutMetricsConfiguration PutObject PutObjectAcl PutObjectLegalHold PutObjectRetention \
    PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging PutReplicationConfiguration RestoreObject";

/// Keys that the server gives a value, or knows to have none.
const KEYS: &str = "aws:CurrentTime aws:EpochTime aws:PrincipalType aws:Referer aws:SecureTransport aws:SourceIp \
    aws:UserAgent aws:userid aws:username s3:authType s3:delimiter s3:max-keys s3:object-lock-legal-hold \
    s3:object-lock-mode s3:object-lock-retain-until-date s3:prefix s3:RequestObjectTagKeys s3:signatureAge \
    s3:signatureversion s3:VersionId s3:x-amz-acl s3:x-amz-content-sha256 s3:x-amz-copy-source \
    s3:x-amz-metadata-directive s3:x-amz-server-side-encryption s3:x-amz-storage-class";

/// Keys that a tag's name follows.
const TAG_KEYS: [&str; 2] = ["s3:existingobjecttag/", "s3:requestobjecttag/"];

/// Whether S3 has this action; a pattern need only look like one.
pub(super) fn is_action(action: &str) -> bool {
    let Some(name) =
        action.get(3..).filter(|_| action.get(..3).is_some_and(|it| it.eq_ignore_ascii_case("s3:")))
    else {
        return action == "*";
    };
    if name.contains(['*', '?']) {
        return name
            .chars()
            .all(|character| character.is_ascii_alphabetic() || matches!(character, '*' | '?'));
    }
    ACTIONS.split_ascii_whitespace().any(|known| known.eq_ignore_ascii_case(name))
}

pub(super) fn is_key(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    KEYS.split_ascii_whitespace().any(|known| known.eq_ignore_ascii_case(key))
        || TAG_KEYS.iter().any(|prefix| lower.strip_prefix(prefix).is_some_and(|tag| !tag.is_empty()))
}
