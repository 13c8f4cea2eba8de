//! What would be: an instance with all below it and its nodes, read in a transaction that is then undone.

use uuid::Uuid;

use super::rows::read_resource;
use super::statements::slots;
use crate::descriptor::TypeDescriptor;
use crate::resource::Resource;
use crate::store::nodes::{Node, read_node};
use crate::store::value::Arg;
use crate::store::{Statement, Store, StoreError, Tx};

/// A row as a change would leave it, and all that plans look at.
#[derive(Clone, Debug)]
pub struct WouldBe {
    /// The row that was to change.
    pub row: Resource,
    /// Its instance.
    pub instance: Resource,
    /// Rows below the instance by type, as the registry orders them.
    pub children: Vec<Vec<Resource>>,
    /// The nodes of the instance.
    pub nodes: Vec<Node>,
}

/// Reads an instance inside of a transaction.
#[derive(Debug)]
pub(super) struct TreeReader {
    instance: Uuid,
    root: (&'static TypeDescriptor, Statement),
    below: Vec<(&'static TypeDescriptor, Statement)>,
    nodes: Statement,
}

impl Store {
    pub(super) fn tree_reader(&self, row: &Resource) -> Result<TreeReader, StoreError> {
        let registered = self.registered(row)?;
        let root = self.registry.root(registered.ty.slug).unwrap_or(registered);
        let below = self.registry.below(root.index);
        Ok(TreeReader {
            instance: row.meta.instance_id,
            root: (root.ty, self.statements(root).by_id.clone()),
            below: below.map(|one| (one.ty, self.statements(one).of_instance.clone())).collect(),
            nodes: self.node.of_instance().clone(),
        })
    }
}

impl TreeReader {
    pub(super) async fn read(&self, tx: &mut Tx, row: Resource) -> Result<WouldBe, StoreError> {
        const ACTION: &str = "read what would be";
        let mut args = vec![Arg::Uuid(None); slots::INSTANCE + 1];
        args[slots::ID] = Arg::from(self.instance);
        args[slots::INSTANCE] = Arg::from(self.instance);
        let (ty, statement) = &self.root;
        let rows = tx.fetch(ACTION, statement, &args).await?;
        let gone = || StoreError::Corrupt { action: ACTION, detail: "the instance is not there".into() };
        let instance = read_resource(ty, rows.first().ok_or_else(gone)?)?;
        let mut children = Vec::with_capacity(self.below.len());
        for (ty, statement) in &self.below {
            let rows = tx.fetch(ACTION, statement, &args).await?;
            children.push(rows.iter().map(|row| read_resource(ty, row)).collect::<Result<_, _>>()?);
        }
        let of_instance = [Arg::from(Uuid::nil()), Arg::from(self.instance)];
        let nodes = tx.fetch(ACTION, &self.nodes, &of_instance).await?;
        let nodes = nodes.iter().map(read_node).collect::<Result<_, _>>()?;
        Ok(WouldBe { row, instance, children, nodes })
    }
}
