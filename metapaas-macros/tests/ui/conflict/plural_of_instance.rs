use metapaas_core::paas_type;

#[paas_type(slug = "demo", plural = "demos")]
pub struct Demo {}

fn main() {}
