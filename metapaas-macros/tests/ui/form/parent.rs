use metapaas_core::paas_type;

#[paas_type(parent = "Demo", plural = "pages")]
pub struct Page {}

fn main() {}
