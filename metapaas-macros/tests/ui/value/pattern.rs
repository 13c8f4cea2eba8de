use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(pattern = "^[a-z+$")]
    greeting: String,
}

fn main() {}
