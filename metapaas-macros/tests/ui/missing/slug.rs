use metapaas_core::paas_type;

#[paas_type]
pub struct Demo {}

fn main() {}
