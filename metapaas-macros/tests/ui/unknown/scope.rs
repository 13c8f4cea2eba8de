use metapaas_core::paas_type;

#[paas_type(slug = "demo", scope = "global")]
pub struct Demo {}

fn main() {}
