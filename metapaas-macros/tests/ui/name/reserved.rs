use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    id: u64,
    status: String,
}

fn main() {}
// 2 errors
