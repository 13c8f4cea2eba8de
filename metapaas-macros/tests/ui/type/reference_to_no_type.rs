#![allow(dead_code)]
use metapaas_core::{Ref, paas_type};

pub struct Other {}

#[paas_type(slug = "demo")]
pub struct Demo {
    other: Ref<Other>,
}

fn main() {}
