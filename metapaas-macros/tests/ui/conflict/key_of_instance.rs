use metapaas_core::paas_type;

#[paas_type(slug = "demo", key = "host")]
pub struct Demo {
    host: String,
}

fn main() {}
