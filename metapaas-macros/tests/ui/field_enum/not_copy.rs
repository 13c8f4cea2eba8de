use metapaas_core::FieldEnum;

#[derive(FieldEnum)]
pub enum Theme {
    Light,
}

fn main() {}
