//! Node documents: what is sealed in the node's row and what goes over the wire.

use metapaas_protocol::{NodeDocument, PROTOCOL_VERSION};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::plan::NodeSpec;
use crate::store::Node;

/// The part of a node's document that plans decide; the rest is in the node's row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireDocument {
    /// Whether the node is about to go.
    pub removing: bool,
    /// What the driver gets.
    pub config: Value,
}

/// Hash of all that a document holds: generation, port, config, and whether the node is to go.
pub fn digest(generation: i64, port: u16, document: &WireDocument) -> String {
    let mut hash = Sha256::new();
    hash.update(generation.to_be_bytes());
    hash.update(port.to_be_bytes());
    hash.update([u8::from(document.removing)]);
    hash.update(document.config.to_string());
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The document that a node should have for `spec`.
pub fn document(spec: &NodeSpec) -> WireDocument {
    WireDocument { removing: false, config: spec.config.clone() }
}

/// What goes over the wire; `None` while the node has no address.
pub fn wire(
    node: &Node,
    document: WireDocument,
    digest: String,
    endpoints: Vec<String>,
) -> Option<NodeDocument> {
    Some(NodeDocument {
        protocol: PROTOCOL_VERSION,
        node_id: node.id,
        type_slug: node.slug.clone(),
        place: node.place.clone(),
        address: node.address?,
        port: node.port,
        generation: node.document_generation,
        digest,
        removing: document.removing,
        config: document.config,
        endpoints,
    })
}
