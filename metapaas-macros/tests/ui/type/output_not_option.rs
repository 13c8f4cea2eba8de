use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(output)]
    used_bytes: u64,
}

fn main() {}
