//! Node tokens: `mpnt_<node id>_<HMAC-SHA256 of it>`. Nothing is stored; a node whose row is gone is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Makes and checks node tokens under one key.
#[derive(Clone)]
pub struct NodeTokens {
    key: Hmac<Sha256>,
}

impl std::fmt::Debug for NodeTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeTokens")
    }
}

const PREFIX: &str = "mpnt_";

impl NodeTokens {
    /// Tokens under `key`, which all control planes of an installation share.
    pub fn new(key: &[u8]) -> Self {
        // HMAC takes keys of any length (RFC 2104 section 3), so the other arm is never taken.
        let key = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { key }
    }

    /// The token of a node.
    pub fn issue(&self, node: Uuid) -> String {
        let tag = self.mac(node).finalize().into_bytes();
        format!("{PREFIX}{}_{}", node.simple(), URL_SAFE_NO_PAD.encode(tag))
    }

    /// The node that a token is for, when it is one of ours.
    pub fn verify(&self, token: &str) -> Option<Uuid> {
        let (node, tag) = token.strip_prefix(PREFIX)?.split_once('_')?;
        let node: Uuid = node.parse().ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        self.mac(node).verify_slice(&tag).ok().map(|()| node)
    }

    fn mac(&self, node: Uuid) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        mac.update(b"node token of ");
        mac.update(node.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_node_and_cannot_be_forged() {
        let tokens = NodeTokens::new(b"key");
        let node = Uuid::now_v7();
        let token = tokens.issue(node);
        assert_eq!(tokens.verify(&token), Some(node));
        assert_eq!(NodeTokens::new(b"other").verify(&token), None);
        let other = token.replace(&node.simple().to_string(), &Uuid::now_v7().simple().to_string());
        assert_eq!(tokens.verify(&other), None);
        assert_eq!(tokens.verify("mpnt_"), None);
    }
}
