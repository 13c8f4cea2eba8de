//! `zoo`: a type for tests with a field of every kind and every option, children and grandchildren, and no nodes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metapaas_core::{
    BucketName, Cidr, DnsName, Domain, Email, FieldEnum, Json, Map, Plugin, Ref, Secret, paas_type,
};
use serde_json::Value;
use uuid::Uuid;

/// A zoo with something of every kind.
#[paas_type(slug = "zoo")]
pub struct Zoo {
    /// The area of the zoo, which no other zoo has.
    #[field(unique)]
    pub site: DnsName,
    /// Whether visitors may come.
    #[field(mutable, default = true)]
    pub open: bool,
    /// How many paths it has.
    #[field(mutable, range = 1..=9, default = 1)]
    pub paths: u8,
    /// Height above the sea, in metres.
    #[field(mutable)]
    pub height: Option<i64>,
    /// Price of a ticket.
    #[field(mutable, range = 0.0..=100.0, default = 12.5)]
    pub price: f64,
    /// What the sign says.
    #[field(mutable, len = 1..=80)]
    pub sign: String,
    /// Where the way in is.
    #[field(mutable, pattern = "^[A-Z][0-9]{1,3}$", default = "A1".to_owned())]
    pub gate: String,
    /// What it is called on the map of the town.
    #[field(mutable)]
    pub map_id: Option<Uuid>,
    /// When it opened.
    pub since: Option<DateTime<Utc>>,
    /// How long a visit takes.
    #[field(mutable)]
    pub visit: Option<Duration>,
    /// The climate.
    #[field(mutable, iam = "owner", default = Climate::Mild)]
    pub climate: Climate,
    /// Who sells here.
    #[field(mutable, default = Vec::new(), len = ..=3)]
    pub shops: Vec<String>,
    /// Animals by kind.
    #[field(mutable, default = Map::new(), len = ..=4)]
    pub animals: Map<u32>,
    /// Whatever else.
    #[field(mutable)]
    pub notes: Option<Json<Value>>,
    /// Its site on the web.
    #[field(mutable)]
    pub domain: Option<Domain>,
    /// Whom to ask.
    #[field(mutable)]
    pub contact: Option<Email>,
    /// Where the pictures are.
    #[field(mutable)]
    pub pictures: Option<BucketName>,
    /// The network of the cameras.
    #[field(mutable)]
    pub network: Option<Cidr>,
    /// Opens the gate.
    #[field(mutable)]
    pub key: Option<Secret<String>>,
    /// Opens the cages; made when not given.
    #[field(mutable, default = Secret::generate())]
    pub master_key: Secret<String>,
    /// A zoo that helps out.
    #[field(mutable)]
    pub partner: Option<Ref<Zoo>>,
    /// How many visitors there are; the zoo counts.
    #[field(output)]
    pub visitors: Option<u64>,
}

/// Kinds of weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FieldEnum)]
pub enum Climate {
    /// Neither.
    Mild,
    /// Snow.
    Cold,
    /// Sun.
    Hot,
}

/// A house of a zoo.
#[paas_type(parent = Zoo, plural = "houses", key = "name")]
pub struct House {
    /// What the door says.
    pub name: DnsName,
    /// How warm it is.
    #[field(mutable, range = -40..=60, default = 20)]
    pub degrees: i32,
}

/// A cage in a house.
#[paas_type(parent = House, plural = "cages", key = "id")]
pub struct Cage {
    /// Who lives in it.
    #[field(mutable, len = 1..=40)]
    pub animal: String,
    /// Where its food comes from.
    #[field(mutable)]
    pub food: Option<Ref<House>>,
}

/// What the plugin brings.
pub fn plugin() -> Plugin {
    Plugin::new("zoo", env!("CARGO_PKG_VERSION"))
        .instance::<Zoo>()
        .child::<House>()
        .child::<Cage>()
        .migrations(include!("../zoo/migrations/list.rs"))
}
