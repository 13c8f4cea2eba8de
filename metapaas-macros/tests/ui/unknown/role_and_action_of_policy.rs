use metapaas_core::paas_type;

#[paas_type(slug = "demo", iam(create = "admin", updte = "owner"))]
pub struct Demo {}

fn main() {}
// 2 errors
