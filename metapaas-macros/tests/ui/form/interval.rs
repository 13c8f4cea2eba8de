use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(len = "80")]
    a: String,
    #[field(len = 1..80)]
    b: String,
    #[field(range = ..)]
    c: u8,
}

fn main() {}
// 3 errors
