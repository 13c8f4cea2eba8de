use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {}

#[paas_type(parent = Demo, plural = "pages", key = "pth")]
pub struct Page {
    path: String,
}

fn main() {}
