use metapaas_core::paas_type;

#[paas_type(slug)]
pub struct Demo {
    #[field(default, len =)]
    greeting: String,
}

fn main() {}
// 3 errors
