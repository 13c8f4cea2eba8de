//! What S3 says about each operation: inputs from `s3s` become reads and changes of the store.

mod buckets;
mod conditions;
mod copy;
mod delete;
mod get;
mod listing;
mod lock;
mod multipart;
mod put;
mod tags;

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::access::{Access, Caller};
use crate::fault::{Fault, refuse};
use crate::live::{App, Live};
use crate::store::{BucketRow, Reading};

/// The server's operations.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) app: Arc<App>,
    pub(crate) access: Access,
}

/// Operations that are a function from a request to an output.
macro_rules! operations {
    ($($name:ident: $input:ident -> $output:ident = $function:path,)*) => {
        #[async_trait::async_trait]
        impl S3 for Service {$(
            async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                Ok(S3Response::new($function(self, request).await?))
            }
        )*}
    };
}

operations! {
    list_buckets: ListBucketsInput -> ListBucketsOutput = buckets::list,
    create_bucket: CreateBucketInput -> CreateBucketOutput = buckets::create,
    delete_bucket: DeleteBucketInput -> DeleteBucketOutput = buckets::delete,
    head_bucket: HeadBucketInput -> HeadBucketOutput = buckets::head,
    get_bucket_location: GetBucketLocationInput -> GetBucketLocationOutput = buckets::location,
    get_bucket_versioning: GetBucketVersioningInput -> GetBucketVersioningOutput = buckets::versioning,
    put_bucket_versioning: PutBucketVersioningInput -> PutBucketVersioningOutput = buckets::set_versioning,
    get_bucket_encryption: GetBucketEncryptionInput -> GetBucketEncryptionOutput = buckets::encryption,
    get_object_lock_configuration: GetObjectLockConfigurationInput -> GetObjectLockConfigurationOutput = buckets::lock,
    get_bucket_acl: GetBucketAclInput -> GetBucketAclOutput = buckets::acl,
    get_bucket_policy: GetBucketPolicyInput -> GetBucketPolicyOutput = buckets::policy,
    get_bucket_cors: GetBucketCorsInput -> GetBucketCorsOutput = buckets::cors,
    get_bucket_tagging: GetBucketTaggingInput -> GetBucketTaggingOutput = buckets::tagging,
    get_bucket_lifecycle_configuration: GetBucketLifecycleConfigurationInput -> GetBucketLifecycleConfigurationOutput
        = buckets::lifecycle,
    list_objects: ListObjectsInput -> ListObjectsOutput = listing::objects,
    list_objects_v2: ListObjectsV2Input -> ListObjectsV2Output = listing::objects_v2,
    list_object_versions: ListObjectVersionsInput -> ListObjectVersionsOutput = listing::versions,
    get_object: GetObjectInput -> GetObjectOutput = get::get,
    head_object: HeadObjectInput -> HeadObjectOutput = get::head,
    get_object_attributes: GetObjectAttributesInput -> GetObjectAttributesOutput = get::attributes,
    get_object_acl: GetObjectAclInput -> GetObjectAclOutput = get::acl,
    put_object: PutObjectInput -> PutObjectOutput = put::put,
    copy_object: CopyObjectInput -> CopyObjectOutput = copy::copy,
    delete_object: DeleteObjectInput -> DeleteObjectOutput = delete::one,
    delete_objects: DeleteObjectsInput -> DeleteObjectsOutput = delete::many,
    get_object_tagging: GetObjectTaggingInput -> GetObjectTaggingOutput = tags::get,
    put_object_tagging: PutObjectTaggingInput -> PutObjectTaggingOutput = tags::put,
    delete_object_tagging: DeleteObjectTaggingInput -> DeleteObjectTaggingOutput = tags::delete,
    get_object_retention: GetObjectRetentionInput -> GetObjectRetentionOutput = lock::retention,
    put_object_retention: PutObjectRetentionInput -> PutObjectRetentionOutput = lock::set_retention,
    get_object_legal_hold: GetObjectLegalHoldInput -> GetObjectLegalHoldOutput = lock::legal_hold,
    put_object_legal_hold: PutObjectLegalHoldInput -> PutObjectLegalHoldOutput = lock::set_legal_hold,
    create_multipart_upload: CreateMultipartUploadInput -> CreateMultipartUploadOutput = multipart::create,
    upload_part: UploadPartInput -> UploadPartOutput = multipart::upload,
    upload_part_copy: UploadPartCopyInput -> UploadPartCopyOutput = copy::part,
    complete_multipart_upload: CompleteMultipartUploadInput -> CompleteMultipartUploadOutput = multipart::complete,
    abort_multipart_upload: AbortMultipartUploadInput -> AbortMultipartUploadOutput = multipart::abort,
    list_parts: ListPartsInput -> ListPartsOutput = multipart::parts,
    list_multipart_uploads: ListMultipartUploadsInput -> ListMultipartUploadsOutput = multipart::uploads,
}

impl Service {
    /// The bucket as it is stored, if the document has it.
    pub(crate) fn row(&self, live: &Live, reading: &Reading, bucket: &str) -> Result<BucketRow, Fault> {
        live.bucket(bucket)?;
        reading.bucket(bucket)?.ok_or_else(|| S3ErrorCode::NoSuchBucket.into())
    }

    /// What a missing object is called: who may not list the bucket is not told that it is missing.
    pub(crate) fn missing(&self, caller: &Caller, bucket: &str, version: Option<&str>) -> Fault {
        if self.access.allow(caller, "s3:ListBucket", bucket, None, None).is_err() {
            return refuse(S3ErrorCode::AccessDenied, "Access Denied");
        }
        match version {
            Some(_) => refuse(S3ErrorCode::NoSuchVersion, "The specified version does not exist."),
            None => refuse(S3ErrorCode::NoSuchKey, "The specified key does not exist."),
        }
    }
}

/// A bucket that is changed where it was made.
fn by_control_plane(what: &str) -> Fault {
    refuse(
        S3ErrorCode::AccessDenied,
        format!("{what} through the control plane of this service, not through S3"),
    )
}

fn owner(name: &str) -> Option<Owner> {
    Some(Owner { display_name: Some(name.to_owned()), id: Some(name.to_owned()) })
}
