use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub enum Demo {
    A,
    B,
}

fn main() {}
