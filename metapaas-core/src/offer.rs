//! Bindings: what instances of a type offer to those that are bound to them, and how both sides see a binding.
//!
//! A plugin says what its instances offer by one function ([`crate::Plugin::offer`]), another which of its child types
//! binds ([`crate::Plugin::binding`]); neither knows the other. Nothing secret of a binding is kept but one random text,
//! sealed: credentials are made out of it ([`Bound::derive`]), alike in the plan of the instance that has to accept them
//! and in what the bound instance is given.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::field_type::{Map, Secret};
use crate::hook::Denial;
use crate::plan::DesiredTree;

/// The field of a binding that says where it leads to.
pub const TO: &str = "to";
/// The field of a binding that says what is asked for.
pub const PARAMETERS: &str = "parameters";

/// A binding as the instance sees it that it leads to.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Its id, for names that nothing else has.
    pub id: Uuid,
    /// Who is bound, for people: `app/shop/bindings/store`.
    pub by: String,
    /// What is asked for.
    pub parameters: Map<String>,
    /// What its credentials are made of.
    pub secret: Secret<String>,
}

impl Bound {
    /// 32 bytes that only this binding has, others for each purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        // HMAC takes keys of any length (RFC 2104 section 3), so the other arm is never taken.
        let key = self.secret.expose().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// A binding as the instance sees it that has it.
#[derive(Clone, Debug)]
pub struct Link {
    /// Id of its row.
    pub id: Uuid,
    /// What paths name its row by.
    pub key: String,
    /// How it stands.
    pub state: LinkState,
}

/// How a binding stands.
#[derive(Clone, Debug)]
pub enum LinkState {
    /// The other instance does not accept the credentials yet, for this reason.
    Waiting(String),
    /// They work. Environment variables that tell where and how.
    Ready(Secret<Map<String>>),
    /// They were ready, and what they are cannot be said at the moment, for this reason. Whoever has them keeps them.
    Away(String),
    /// What is asked for is not offered any more, for this reason.
    Refused(String),
}

/// All bindings of an instance, to others and of others to it.
#[derive(Clone, Debug, Default)]
pub struct Ties {
    /// Its own, in the order they were made, less those on their way out.
    pub links: Vec<Link>,
    /// Those that lead to it, in the order they were made.
    pub bound: Vec<Bound>,
}

/// [`crate::Plugin::offer`] with its type taken off.
pub type OfferFn = Arc<dyn Fn(Arc<DesiredTree>, &Bound) -> Result<Map<String>, Denial> + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_is_of_this_binding_and_purpose() {
        let bound = |secret: &str| Bound {
            id: Uuid::nil(),
            by: "app/shop/bindings/store".into(),
            parameters: Map::new(),
            secret: Secret::new(secret.into()),
        };
        let (one, other) = (bound("one"), bound("other"));
        assert_eq!(one.derive("key"), one.derive("key"));
        assert_ne!(one.derive("key"), one.derive("id"));
        assert_ne!(one.derive("key"), other.derive("key"));
        assert!(!format!("{one:?}").contains("one\""));
    }
}
