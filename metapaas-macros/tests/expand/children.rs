//! A child with a name of its own, a grandchild with a key, one without any name, one without any field.

#[paas_type(slug = "site")]
pub struct Site {}

/// Who may log in.
#[paas_type(parent = Site, plural = "users", key = "name")]
pub struct User {
    pub name: DnsName,
}

#[paas_type(parent = User, plural = "access-keys", key = "access_key")]
pub struct AccessKey {
    #[field(unique = "everywhere")]
    pub access_key: String,
    pub comment: Option<String>,
}

#[paas_type(parent = Site, plural = "visits", key = "id", retention = "12h")]
pub struct Visit {
    pub path: String,
}

#[paas_type(parent = Site, plural = "flags")]
pub struct Flag {}
