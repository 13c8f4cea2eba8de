use metapaas_core::paas_type;

pub struct Demo {}

#[paas_type(parent = Demo, plural = "pages")]
pub struct Page {}

fn main() {}
