use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    theme: Theme,
}

pub enum Theme {
    Light,
}

fn main() {}
