use metapaas_core::FieldEnum;

#[derive(Clone, Copy, FieldEnum)]
pub enum Theme<T> {
    Light,
}

fn main() {}
