use metapaas_core::paas_type;

#[paas_type(slug = "demo", slug = "other")]
pub struct Demo {}

fn main() {}
