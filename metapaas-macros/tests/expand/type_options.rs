//! Every key of a type.

/// First line
/// and second.
///
/// Second paragraph.
#[paas_type(
    slug = "proxy",
    element = "proxy-aas",
    scope = "platform",
    iam(list = "viewer", create = "operator", delete = "owner"),
    retention = "90d",
    check = ends_in_order,
    crate = ::metapaas_core
)]
pub(crate) struct Proxy {
    pub(crate) first: u16,
    pub(crate) last: u16,
}
