use metapaas_core::paas_type;

#[paas_type(slug = "demo", element = "demo_aas")]
pub struct Demo {}

fn main() {}
