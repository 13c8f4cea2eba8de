//! Mistakes: the item stays, with an inert impl and an error each.

/// Kept.
#[paas_type(slog = "demo", scope = "galaxy")]
pub struct Wrong {
    #[field(mutabel)]
    pub greeting: String,
    #[field(output, mutable)]
    pub seen: Option<u8>,
}

#[derive(Clone, Copy, FieldEnum)]
pub enum Empty {}
