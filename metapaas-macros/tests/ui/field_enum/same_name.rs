use metapaas_core::FieldEnum;

#[derive(Clone, Copy, FieldEnum)]
pub enum Theme {
    Light,
    #[field_enum(name = "light")]
    Bright,
}

fn main() {}
