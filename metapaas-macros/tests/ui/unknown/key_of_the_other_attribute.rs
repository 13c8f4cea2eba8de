use metapaas_core::paas_type;

#[paas_type(slug = "demo", unique)]
pub struct Demo {
    #[field(retention = "1d")]
    greeting: String,
}

fn main() {}
// 2 errors
