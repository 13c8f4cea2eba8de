//! The framework under another name, its own name taken by another crate. The one error is the last line's.

extern crate core as metapaas_core;
extern crate metapaas_core as framework;

use framework::{FieldEnum, PaasType, paas_type};

#[paas_type(slug = "demo", crate = framework)]
pub struct Demo {
    #[field(mutable, default = Theme::Light)]
    pub theme: Theme,
    #[field(output)]
    pub at: Option<u8>,
}

#[paas_type(parent = Demo, plural = "pages", crate = ::framework)]
pub struct Page {}

#[derive(Clone, Copy, FieldEnum)]
#[field_enum(crate = framework)]
pub enum Theme {
    Light,
}

fn main() {
    let _ = (Demo::DESCRIPTOR.name, Page::DESCRIPTOR.parent);
    this_line_is_wrong;
}
