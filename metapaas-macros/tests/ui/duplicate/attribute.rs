use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
#[paas_type(retention = "1d")]
pub struct Demo {}

fn main() {}
