use metapaas_core::FieldEnum;

#[derive(Clone, Copy, FieldEnum)]
pub enum Theme {
    Light,
    Custom(u8),
}

fn main() {}
