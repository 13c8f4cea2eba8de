use metapaas_core::paas_type;

#[paas_type(slug = "demo")]
pub struct Demo {
    #[field(output, mutable)]
    a: Option<u8>,
    #[field(output, default = None)]
    b: Option<u8>,
    #[field(output, iam = "owner")]
    c: Option<u8>,
    #[field(output, check = check)]
    d: Option<u8>,
    #[field(unique, output)]
    e: Option<u8>,
    #[field(output, renamed_from = "g")]
    f: Option<u8>,
}

fn main() {}
// 6 errors
