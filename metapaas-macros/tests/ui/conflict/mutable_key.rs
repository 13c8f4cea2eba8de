use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {}

#[paas_type(parent = Demo, plural = "pages", key = "path")]
pub struct Page {
    #[field(mutable)]
    path: String,
}

fn main() {}
