use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    name: String,
}

fn main() {}
