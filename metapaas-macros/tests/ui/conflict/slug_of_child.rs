use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {}

#[paas_type(parent = Demo, plural = "pages", slug = "pages")]
pub struct Page {}

fn main() {}
