use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(since = "v2")]
    greeting: String,
}

fn main() {}
