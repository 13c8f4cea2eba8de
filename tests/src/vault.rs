//! `vault`: a type for tests that is full of secrets, on the instance, on its children and on theirs.

use metapaas_core::action::parameter;
use metapaas_core::agent::{
    Applied, BoxFuture, Driver, DriverError, Health, HealthReport, NodeContext, NodeDocument,
};
use metapaas_core::{
    ActionCall, ActionError, DnsName, FieldType, Map, NodeSpec, Plugin, Secret, migrations, paas_type,
};
use serde_json::{Value, json};

/// A box of secrets on nodes of its own.
#[paas_type(slug = "vault")]
pub struct Vault {
    /// What may be seen.
    #[field(mutable, default = String::new(), len = ..=200)]
    pub note: String,
    /// A secret that the client chooses.
    #[field(mutable, len = 1..=1000)]
    pub password: Secret<String>,
    /// A secret that is made when the client gives none, and shown once.
    #[field(mutable, default = Secret::generate())]
    pub token: Secret<String>,
    /// A list that is secret as a whole.
    #[field(mutable)]
    pub keys: Option<Secret<Vec<String>>>,
    /// A map that is secret as a whole.
    #[field(mutable)]
    pub settings: Option<Secret<Map<String>>>,
    /// How many nodes hold it.
    #[field(mutable, range = 0..=5, default = 1)]
    pub replicas: u32,
}

/// A secret with a name.
#[paas_type(parent = Vault, plural = "entries", key = "name")]
pub struct Entry {
    /// What it is called.
    pub name: DnsName,
    /// What it is.
    #[field(mutable)]
    pub value: Secret<String>,
}

/// A secret that somebody else got for an entry.
#[paas_type(parent = Entry, plural = "shares", key = "name")]
pub struct Share {
    /// Who got it.
    pub name: DnsName,
    /// What opens it.
    #[field(mutable, default = Secret::generate())]
    pub pin: Secret<String>,
}

/// What the plugin brings.
pub fn plugin() -> Plugin {
    Plugin::new("vault", env!("CARGO_PKG_VERSION"))
        .instance::<Vault>()
        .child::<Entry>()
        .child::<Share>()
        .migrations(migrations!())
        .action_with(
            "enter",
            "Takes a new password.",
            [parameter::<Secret<String>>("code", "The password.")],
            enter,
        )
        .plan::<Vault>(|vault| {
            let mut entries = serde_json::Map::new();
            for entry in vault.children::<Entry>()? {
                entries.insert(entry.spec.name.to_string(), entry.spec.value.to_json());
            }
            let spec = &vault.spec;
            let config = json!({
                "note": spec.note,
                "password": spec.password.to_json(),
                "token": spec.token.to_json(),
                "keys": spec.keys.as_ref().map_or(Value::Null, FieldType::to_json),
                "settings": spec.settings.as_ref().map_or(Value::Null, FieldType::to_json),
                "entries": entries,
            });
            Ok(NodeSpec::replicas(spec.replicas, "box", 8080, &config))
        })
        .driver::<Vault>(|| Box::new(Safe))
}

fn enter(mut vault: Vault, call: &ActionCall) -> Result<Vault, ActionError> {
    vault.password = call.parameter("code")?;
    Ok(vault)
}

/// Keeps all secrets in one file and serves nothing.
struct Safe;

impl Driver for Safe {
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        document: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            node.write_file("vault.json", document.config.to_string(), 0o600).await?;
            Ok(Applied::default())
        })
    }

    fn health<'a>(&'a mut self, _node: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(async { HealthReport { health: Health::Healthy, message: String::new() } })
    }
}
