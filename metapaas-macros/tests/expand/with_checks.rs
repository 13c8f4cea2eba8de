//! Checks whose names are those of generated code.

#[paas_type(slug = "checked", check = checks::new)]
pub struct Checked {
    #[field(check = checks::new)]
    spec: String,
}
