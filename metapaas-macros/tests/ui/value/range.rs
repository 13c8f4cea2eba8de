use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(range = 5..=1)]
    a: u8,
    #[field(range = 1..)]
    b: u8,
    #[field(range = 0..=9_223_372_036_854_775_807)]
    c: i64,
}

fn main() {}
// 3 errors
