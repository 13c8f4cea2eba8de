use metapaas_core::paas_type;

#[paas_type("demo")]
pub struct Demo {
    #[field = "mutable"]
    greeting: String,
}

fn main() {}
// 2 errors
