use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(check = check)]
    greeting: String,
}

fn check(_new: &u8, _old: Option<&u8>) -> Result<(), String> {
    Ok(())
}

fn main() {}
