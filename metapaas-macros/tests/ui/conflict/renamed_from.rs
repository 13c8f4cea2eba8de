use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(renamed_from = "present")]
    present: String,
    #[field(renamed_from = "present")]
    other: String,
}

fn main() {}
// 2 errors
