//! [`orphans`]: nodes that a provider has and the database does not.

use crate::provider::{NodeRef, Provider, ProviderError};
use crate::store::{Store, StoreError};

/// Why orphans cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum OrphansError {
    /// The provider cannot list its nodes.
    #[error("list the nodes of a provider")]
    Provider(#[from] ProviderError),
    /// The database cannot be read.
    #[error("look up a node")]
    Store(#[from] StoreError),
}

/// The nodes of the installation `tag` that no row speaks of. A row is there before its node is made, and goes after
/// it is removed, so that none of these is one that a control plane is working on.
///
/// # Errors
/// See [`OrphansError`].
pub async fn orphans(
    store: &Store,
    provider: &dyn Provider,
    tag: &str,
) -> Result<Vec<NodeRef>, OrphansError> {
    let mut orphans = Vec::new();
    for node in provider.list(tag).await? {
        if store.node(node.id).await?.is_none() {
            orphans.push(node);
        }
    }
    Ok(orphans)
}
