//! One mistake is one error: all that uses the type goes on compiling.

use metapaas_core::{FieldEnum, PaasType, Ref, paas_type};

#[paas_type(slug = "demo", retentoin = "1d")]
pub struct Demo {
    #[field(mutable, default = Theme::Light)]
    pub theme: Theme,
}

#[paas_type(parent = Demo, plural = "pages")]
pub struct Page {
    pub of: Option<Ref<Demo>>,
}

#[derive(Clone, Copy, FieldEnum)]
pub enum Theme {
    Light,
}

fn main() {
    let demo = Demo { theme: Theme::Light };
    let _ = (demo.to_spec(), Demo::DESCRIPTOR.name, Page::DESCRIPTOR.parent);
}
