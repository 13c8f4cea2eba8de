use metapaas_core::paas_type;

#[paas_type(slug = "demo", segment = "demos")]
pub struct Demo {}

fn main() {}
