use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(mutable)]
    #[field(len = 1..=8, mutable)]
    greeting: String,
}

fn main() {}
