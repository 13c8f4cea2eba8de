use metapaas_core::paas_type;

#[paas_type(slug = "demo", elemnt = "demo-aas")]
pub struct Demo {}

fn main() {}
