use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    greeting: Strin,
}

fn main() {}
