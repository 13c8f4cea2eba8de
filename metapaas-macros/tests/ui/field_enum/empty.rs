use metapaas_core::FieldEnum;

#[derive(Clone, Copy, FieldEnum)]
pub enum Theme {}

fn main() {}
