use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(iam = "ownr")]
    greeting: String,
}

fn main() {}
