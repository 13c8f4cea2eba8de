use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(renamed_from = "oldName")]
    new_name: String,
}

fn main() {}
