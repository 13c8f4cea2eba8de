use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(mutable, default = std::rc::Rc::new(1), check = check)]
    greeting: std::rc::Rc<u8>,
}

fn check(_new: &std::rc::Rc<u8>, _old: Option<&std::rc::Rc<u8>>) -> Result<(), String> {
    Ok(())
}

fn main() {}
