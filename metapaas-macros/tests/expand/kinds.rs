//! Kinds of fields: secrets, references, outputs, collections.

#[paas_type(slug = "kinds")]
pub struct Kinds {
    #[field(mutable, default = Secret::generate())]
    password: Secret<String>,
    #[field(mutable)]
    backup_of: Option<Ref<Kinds>>,
    #[field(output)]
    used_bytes: Option<u64>,
    #[field(output, len = ..=100)]
    endpoints: Option<Vec<String>>,
    limits: Map<u32>,
    extra: Option<Json<Extra>>,
}
