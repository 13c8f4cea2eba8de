use metapaas_core::FieldEnum;

#[derive(Clone, Copy, FieldEnum)]
pub enum Theme {
    #[field_enum(name = "very light")]
    Light,
    #[field_enum(nme = "x")]
    Dark,
}

fn main() {}
// 2 errors
