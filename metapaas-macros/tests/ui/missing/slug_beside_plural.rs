use metapaas_core::paas_type;

#[paas_type(plural = "pages")]
pub struct Page {}

fn main() {}
