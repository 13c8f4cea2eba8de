use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {}

#[paas_type(parent = Demo, plural = "AccessKeys")]
pub struct AccessKey {}

#[paas_type(parent = Demo, plural = "actions")]
pub struct Action {}

fn main() {}
// 2 errors
