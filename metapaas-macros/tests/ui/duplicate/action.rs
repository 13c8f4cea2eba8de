use metapaas_core::paas_type;

#[paas_type(slug = "demo", iam(create = "owner", create = "operator"))]
pub struct Demo {}

fn main() {}
