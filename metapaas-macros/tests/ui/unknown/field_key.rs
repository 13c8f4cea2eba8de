use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(mutabel)]
    greeting: String,
}

fn main() {}
