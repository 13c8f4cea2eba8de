use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(len = 8..=1)]
    a: String,
    #[field(len = 1..=4_294_967_296)]
    b: String,
    #[field(len = -1..=5)]
    c: String,
    #[field(len = 0.5..=5)]
    d: String,
    #[field(len = 0)]
    e: String,
}

fn main() {}
// 5 errors
