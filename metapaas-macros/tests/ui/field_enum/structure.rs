use metapaas_core::FieldEnum;

#[derive(Clone, Copy, FieldEnum)]
pub struct Theme {}

fn main() {}
