use metapaas_core::paas_type;

#[paas_type(slug = "My-Demo")]
pub struct Demo {}

fn main() {}
