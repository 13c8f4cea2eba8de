//! [`PageToken`]: where the next page begins, as an opaque text that fits one list with one filter and order alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Listing;
use super::literal::Literal;
use super::order::Order;

/// The place of a row in an order.
#[derive(Clone, Debug, PartialEq)]
pub struct After {
    /// Its values of the fields that the order begins with; `None` for null.
    pub keys: Vec<Option<Literal>>,
    /// Its id.
    pub id: Uuid,
}

/// Tokens of one list. Their first byte is the version of their form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageToken {
    fingerprint: [u8; 8],
}

/// A token is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is no token.
    Unreadable,
    /// It was given for another list, filter or order.
    OtherList,
    /// It was given by a version of the server whose tokens are read no more.
    TooOld,
}

const VERSION: u8 = b'3';
/// Versions that there were.
const OLD: &[u8] = b"12";

impl PageToken {
    /// Tokens of that filter and order over the rows that `place` stands for.
    pub fn of(place: &str, listing: &Listing) -> Self {
        let text = format!("{place}\n{}\n{}", listing.filter, listing.order);
        let mut fingerprint = [0; 8];
        fingerprint.iter_mut().zip(Sha256::digest(text)).for_each(|(to, from)| *to = from);
        Self { fingerprint }
    }

    /// The token of the page after that row.
    pub fn write(self, after: &After) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.fingerprint);
        bytes.extend(after.id.as_bytes());
        if !after.keys.is_empty() {
            let key = |key: &Option<Literal>| key.as_ref().map_or(Value::Null, Literal::to_json);
            bytes.extend(Value::Array(after.keys.iter().map(key).collect()).to_string().into_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The row that a token's page begins after.
    ///
    /// # Errors
    /// When there is no such row to be had from it.
    pub fn read(self, order: &Order, token: &str) -> Result<After, TokenError> {
        use TokenError::{OtherList, TooOld, Unreadable};

        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Unreadable)?;
        let rest = match bytes.split_first() {
            Some((&VERSION, rest)) => rest,
            Some((version, _)) if OLD.contains(version) => return Err(TooOld),
            _ => return Err(Unreadable),
        };
        let (fingerprint, rest) = rest.split_at_checked(self.fingerprint.len()).ok_or(Unreadable)?;
        let (id, rest) = rest.split_at_checked(16).ok_or(Unreadable)?;
        if fingerprint != self.fingerprint {
            return Err(OtherList);
        }
        let id = Uuid::from_slice(id).map_err(|_| Unreadable)?;
        let values: Vec<Value> = match rest {
            [] => Vec::new(),
            rest => serde_json::from_slice(rest).map_err(|_| Unreadable)?,
        };
        if values.len() != order.keys().len() {
            return Err(Unreadable);
        }
        let keys = order.keys().iter().zip(&values).map(|(key, value)| match value {
            Value::Null if key.field.nullable => Ok(None),
            value => Literal::from_json(key.field.kind, value).map(Some).ok_or(Unreadable),
        });
        Ok(After { keys: keys.collect::<Result<_, _>>()?, id })
    }
}
