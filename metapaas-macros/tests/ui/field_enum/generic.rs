use metapaas_core::FieldEnum;

#[derive(Clone, Copy, FieldEnum)]
pub enum Theme<const N: usize> {
    Light,
}

fn main() {}
