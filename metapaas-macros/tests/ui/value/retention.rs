use metapaas_core::paas_type;

#[paas_type(slug = "demo", retention = "90 days")]
pub struct Demo {}

fn main() {}
