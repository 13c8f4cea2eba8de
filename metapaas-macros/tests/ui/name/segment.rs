use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {}

#[paas_type(parent = Demo, plural = "keys", segment = "AccessKeys")]
pub struct AccessKey {}

#[paas_type(parent = Demo, plural = "own-actions", segment = "actions")]
pub struct Action {}

fn main() {}
// 2 errors
