use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(mutable = true)]
    greeting: String,
    #[field(output(yes))]
    seen: Option<u8>,
}

fn main() {}
// 2 errors
