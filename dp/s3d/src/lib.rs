//! S3 over the local file system, as the engine of the `s3` type runs it.

pub mod document;
