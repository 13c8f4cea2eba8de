use metapaas_core::paas_type;

#[paas_type(parent = Page, plural = "pages")]
pub struct Page {}

fn main() {}
