use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {}

#[paas_type(parent = Demo, plural = "pages", element = "pages", scope = "platform")]
pub struct Page {}

fn main() {}
// 2 errors
