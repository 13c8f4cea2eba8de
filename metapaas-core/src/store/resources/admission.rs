//! Rules on a whole instance: looked at in the transaction of the change, once the change has locked the instance.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::dry_run::TreeReader;
use super::write::{Companion, WriteOptions};
use crate::error::Error;
use crate::hook::{AdmissionRows, ChangeKind};
use crate::registry::{RegisteredType, Registry};
use crate::resource::Resource;
use crate::secret::KeyRing;
use crate::store::desired::{desired, desired_row};
use crate::store::{Store, StoreError, Tx};

/// Asks a type's hook `admit`.
#[derive(Debug)]
struct Admitting {
    registry: Arc<Registry>,
    keys: Arc<KeyRing>,
    /// The type's place in the registry.
    ty: usize,
    kind: ChangeKind,
    /// The row as it was; none when it is made.
    old: Option<Resource>,
    tree: TreeReader,
}

impl Store {
    /// The options with the type's rule on whole instances, if it has one.
    pub(super) fn admitting(
        &self,
        registered: &RegisteredType,
        kind: ChangeKind,
        row: &Resource,
        options: &WriteOptions,
    ) -> Result<WriteOptions, Error> {
        if registered.hooks.admit.is_none() {
            return Ok(options.clone());
        }
        Ok(options.with(Arc::new(Admitting {
            registry: Arc::clone(self.registry()),
            keys: Arc::clone(self.keys()),
            ty: registered.index,
            kind,
            old: (kind != ChangeKind::Create).then(|| row.clone()),
            tree: self.tree_reader(row)?,
        })))
    }
}

impl Companion for Admitting {
    fn after<'t>(&'t self, tx: &'t mut Tx, row: &'t Resource) -> BoxFuture<'t, Result<(), Error>> {
        Box::pin(async move {
            let registered = &self.registry.types()[self.ty];
            let Some(admit) = &registered.hooks.admit else { return Ok(()) };
            let root = &self.registry.types()[registered.root];
            let found = self.tree.read(tx, row.clone()).await?;
            let mut rows = std::iter::once(&found.instance).chain(found.children.iter().flatten());
            let gone = || StoreError::Corrupt {
                action: "read what would be",
                detail: "the row that was changed is not there".into(),
            };
            let stored = rows.find(|other| other.meta.id == row.meta.id).ok_or_else(gone)?;
            let old = self.old.as_ref().map(|old| desired_row(&self.keys, old)).transpose()?;
            let rows = AdmissionRows { kind: self.kind, row: desired_row(&self.keys, stored)?, old };
            let tree =
                desired(&self.registry, &self.keys, root, &found.instance, &found.children, &found.nodes)?;
            Ok(admit(Arc::new(tree), &rows)?)
        })
    }
}
