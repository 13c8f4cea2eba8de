#![allow(nonstandard_style)]
use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    bucketName: String,
    _private: String,
}

fn main() {}
// 2 errors
