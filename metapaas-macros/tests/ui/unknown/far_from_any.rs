use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(sortable)]
    greeting: String,
}

fn main() {}
