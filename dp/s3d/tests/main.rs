//! The engine as a program, with real clients: boto3, the Python client of minio, s3cmd, rclone and curl.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod clients;
mod crash;
mod disk;
mod follow;
mod policy;
mod server;
