use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(mutable, default = 1..2, check = check)]
    greeting: std::ops::Range<u8>,
}

fn check(_new: &std::ops::Range<u8>, _old: Option<&std::ops::Range<u8>>) -> Result<(), String> {
    Ok(())
}

fn main() {}
