use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(mutable len = 1..=8)]
    greeting: String,
}

fn main() {}
