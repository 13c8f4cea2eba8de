use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(metric = "gauge")]
    a: Option<u8>,
}

#[paas_type(parent = Demo, plural = "pages")]
pub struct Page {
    #[field(output, metric = "counter")]
    b: Option<u8>,
}

fn main() {}
// 2 errors
