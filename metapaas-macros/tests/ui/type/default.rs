use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(default = "hello")]
    greeting: String,
}

fn main() {}
