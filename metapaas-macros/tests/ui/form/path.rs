use metapaas_core::paas_type;

#[paas_type(slug = "demo", check = |new, old| Vec::new())]
pub struct Demo {}

fn main() {}
