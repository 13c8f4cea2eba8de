//! The last good document: which one may replace it, and how it is kept.

use std::io;
use std::path::Path;

use metapaas_protocol::{ItemError, NodeDocument, PROTOCOL_VERSION};
use uuid::Uuid;

use crate::files;

/// Its name in the node's directory.
pub const DOCUMENT_FILE: &str = "document.json";

/// Why a document is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is newer than this agent.
    #[error(
        "the document has protocol {found}, this agent knows up to {known}; start the agent from a newer program"
    )]
    Protocol {
        /// The document's.
        found: u32,
        /// This agent's.
        known: u32,
    },
    /// It is another node's.
    #[error("the document is for node {found}")]
    Node {
        /// Whose it is.
        found: Uuid,
    },
    /// It is older than what the node has.
    #[error("the document has generation {found}, this node has {held}")]
    Stale {
        /// The document's.
        found: i64,
        /// The node's.
        held: i64,
    },
    /// The node is on its way out, which has no way back.
    #[error("this node is being removed")]
    Removing,
}

impl Refusal {
    /// As it stands in a report.
    pub fn item_error(&self) -> ItemError {
        let code = match self {
            Self::Protocol { .. } => "UNKNOWN_PROTOCOL",
            Self::Node { .. } => "WRONG_NODE",
            Self::Stale { .. } => "STALE_GENERATION",
            Self::Removing => "NODE_REMOVING",
        };
        ItemError { item: String::new(), code: code.to_owned(), message: self.to_string() }
    }
}

/// Whether `document` may take the place of `held` on the node.
///
/// # Errors
/// Says why it may not.
pub fn accept(node: Uuid, held: Option<&NodeDocument>, document: &NodeDocument) -> Result<(), Refusal> {
    if document.protocol > PROTOCOL_VERSION {
        return Err(Refusal::Protocol { found: document.protocol, known: PROTOCOL_VERSION });
    }
    if document.node_id != node {
        return Err(Refusal::Node { found: document.node_id });
    }
    match held {
        Some(held) if document.generation < held.generation => {
            Err(Refusal::Stale { found: document.generation, held: held.generation })
        }
        Some(held) if held.removing && !document.removing => Err(Refusal::Removing),
        _ => Ok(()),
    }
}

/// The kept document, if there is one that can be read and is this node's.
pub fn load(directory: &Path, node: Uuid) -> Option<NodeDocument> {
    let bytes = files::read_optional(&directory.join(DOCUMENT_FILE)).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot read the kept document");
        None
    })?;
    let document: NodeDocument = match serde_json::from_slice(&bytes) {
        Ok(document) => document,
        Err(error) => {
            tracing::error!(%error, "the kept document is damaged; waiting for a new one");
            return None;
        }
    };
    match accept(node, None, &document) {
        Ok(()) => Some(document),
        Err(refusal) => {
            tracing::error!(%refusal, "the kept document is of no use");
            None
        }
    }
}

/// Keeps a document, so that it is there after any crash.
///
/// # Errors
/// Whatever the file system answers.
pub fn keep(directory: &Path, document: &NodeDocument) -> io::Result<()> {
    files::write_atomic(&directory.join(DOCUMENT_FILE), &serde_json::to_vec(document)?, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_document_that_is_not_older_is_taken() {
        let node = Uuid::from_u128(1);
        let held = NodeDocument {
            protocol: PROTOCOL_VERSION,
            node_id: node,
            type_slug: "demo".to_owned(),
            place: "web-0".to_owned(),
            address: [127, 64, 0, 1].into(),
            port: 1,
            generation: 5,
            digest: "d".to_owned(),
            removing: false,
            config: serde_json::Value::Null,
            endpoints: Vec::new(),
        };
        let removing = NodeDocument { removing: true, ..held.clone() };
        assert_eq!(accept(node, None, &held), Ok(()));
        assert_eq!(accept(node, Some(&held), &held), Ok(()));
        assert_eq!(accept(node, Some(&held), &NodeDocument { generation: 6, ..held.clone() }), Ok(()));
        assert_eq!(accept(node, Some(&held), &removing), Ok(()));
        assert_eq!(accept(node, Some(&removing), &held), Err(Refusal::Removing));
        assert_eq!(
            accept(node, Some(&held), &NodeDocument { generation: 4, ..held.clone() }),
            Err(Refusal::Stale { found: 4, held: 5 })
        );
        let other = Uuid::from_u128(2);
        assert_eq!(accept(other, None, &held), Err(Refusal::Node { found: node }));
        let newer = NodeDocument { protocol: PROTOCOL_VERSION + 1, ..held };
        assert!(matches!(accept(node, None, &newer), Err(Refusal::Protocol { .. })));
    }
}
