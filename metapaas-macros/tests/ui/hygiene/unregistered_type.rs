//! A type that nobody registers is a warning, here denied; a registered one is not.

#![deny(dead_code)]

mod types {
    use metapaas_core::paas_type;

    #[paas_type(slug = "demo")]
    pub struct Demo {
        greeting: String,
    }

    #[paas_type(parent = Demo, plural = "pages")]
    pub struct Page {
        text: String,
    }

    #[paas_type(parent = Demo, plural = "files")]
    pub struct Forgotten {
        text: String,
    }
}

pub fn plugin() -> metapaas_core::plugin::Plugin {
    metapaas_core::plugin::Plugin::new("demo", "0.1.0").instance::<types::Demo>().child::<types::Page>()
}

fn main() {
    plugin();
}
