use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {}

#[paas_type(parent = Demo, plural = "pages")]
pub struct Page {
    name: String,
}

fn main() {}
