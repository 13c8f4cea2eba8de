use metapaas_core::paas_type;

#[paas_type(slug = "a", iam = "owner")]
pub struct A {}

#[paas_type(slug = "b", iam(create, update = owner))]
pub struct B {}

fn main() {}
// 3 errors
