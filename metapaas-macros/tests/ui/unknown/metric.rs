use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(output, metric = "guage")]
    a: Option<u8>,
}

fn main() {}
