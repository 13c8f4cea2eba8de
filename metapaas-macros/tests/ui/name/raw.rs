use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    r#match: String,
}

fn main() {}
