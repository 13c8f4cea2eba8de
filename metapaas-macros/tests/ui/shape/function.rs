use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
fn demo() {}

fn main() {}
