//! Every key of a field.

#[paas_type(slug = "options")]
pub struct Options {
    plain: bool,
    #[field(mutable)]
    mutable: i64,
    #[field(iam = "owner")]
    guarded: String,
    #[field(default = "none".into())]
    default: String,
    #[field(unique)]
    unique: Option<String>,
    #[field(unique = "everywhere")]
    everywhere: String,
    #[field(len = 1..=80)]
    between: String,
    #[field(len = 1..)]
    at_least: String,
    #[field(len = ..=80)]
    at_most: Vec<String>,
    #[field(len = 16)]
    exactly: String,
    #[field(range = -5..=5)]
    range: i64,
    #[field(range = -0.5..=1_000.0)]
    ratio: f64,
    #[field(pattern = "^[a-z]+$")]
    pattern: String,
    #[field(renamed_from = "old_name")]
    renamed: String,
    #[field(check = may_only_grow)]
    size: u64,
    #[field(output, metric = "gauge")]
    found: Option<u64>,
    #[field(mutable, iam = "operator", default = 3)]
    #[field(unique, range = 1..=5, renamed_from = "count", check = may_only_grow)]
    all: u64,
}
