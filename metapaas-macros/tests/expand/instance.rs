//! The instance type of the architecture page.

/// S3-compatible object storage.
#[paas_type(slug = "s3", element = "s3aas")]
pub struct S3Instance {
    /// Bucket made with the instance; it cannot be renamed.
    pub bucket_name: BucketName,
    #[field(mutable, iam = "owner", default = Encryption::None)]
    pub encryption: Encryption,
    #[field(mutable, default = false)]
    pub versioning: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, FieldEnum)]
pub enum Encryption {
    None,
    Aes256,
}
