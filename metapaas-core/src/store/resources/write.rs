//! The one way in which a change of a row goes into the database, and what can be asked of it besides.
//!
//! The fast way is one [`Operation`] on its own, on PostgreSQL a single statement. Who asks for more (once only, not
//! kept, together with other rows) gets a transaction around the same operation.

use std::fmt::Debug;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::dry_run::{TreeReader, WouldBe};
use super::removal::Removal;
use super::statements::slots;
use crate::error::Error;
use crate::resource::Resource;
use crate::store::error::StoreError;
use crate::store::idempotency::{Answer, KeptAnswers, Once, Render};
use crate::store::operation::Operation;
use crate::store::quotas::Quotas;
use crate::store::value::{Arg, Required, Row};
use crate::store::{Store, Tx};

/// What is asked of a change besides the change itself. The default asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Carry it out once, and give the same answer to whoever sends it again.
    pub once: Option<Once>,
    /// What becomes of it.
    pub effect: Effect,
    /// What goes into the same transaction, in this order.
    pub(crate) companions: Vec<Arc<dyn Companion>>,
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It is made.
    #[default]
    Kept,
    /// It is made, looked at and undone: what the caller learns is what would be.
    DryRun,
}

/// Something that happens together with a change, or not at all. Its transaction may be undone after it has run, so it
/// has no effect but on the transaction.
pub(crate) trait Companion: Debug + Send + Sync {
    /// Runs before the change. An error gives the change up.
    fn before<'t>(&'t self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), Error>> {
        let _ = tx;
        Box::pin(async { Ok(()) })
    }

    /// Runs after the change, with the row as the change has left it. An error gives the change up.
    fn after<'t>(&'t self, tx: &'t mut Tx, row: &'t Resource) -> BoxFuture<'t, Result<(), Error>> {
        let _ = (tx, row);
        Box::pin(async { Ok(()) })
    }
}

impl WriteOptions {
    /// Nothing is asked.
    pub const PLAIN: Self = Self::of(Effect::Kept);

    /// Asks only that `effect` becomes of the change.
    pub const fn of(effect: Effect) -> Self {
        Self { once: None, effect, companions: Vec::new() }
    }

    /// The same, carried out once.
    #[must_use]
    pub fn once(self, once: Once) -> Self {
        Self { once: Some(once), ..self }
    }

    /// The same, with the answer made by `render`; for changes whose answer is known only once the row is read.
    #[must_use]
    pub fn rendered(&self, render: Render) -> Self {
        let mut options = self.clone();
        if let Some(once) = &mut options.once {
            once.render = render;
        }
        options
    }

    /// The same, and `companion` in the same transaction.
    #[must_use]
    pub(crate) fn with(&self, companion: Arc<dyn Companion>) -> Self {
        let mut options = self.clone();
        options.companions.push(companion);
        options
    }

    /// Whether one operation on its own does all that is asked.
    pub fn is_plain(&self) -> bool {
        self.once.is_none() && self.effect == Effect::Kept && self.companions.is_empty()
    }
}

/// What a change came to.
#[derive(Clone, Debug)]
pub enum Written {
    /// It is made; the row as it stands.
    Kept(Box<Resource>),
    /// It was tried and undone; what would be.
    WouldBe(Box<WouldBe>),
    /// It was made by an earlier request with the same key; the answer of then.
    Replayed(Answer),
    /// The row is gone, or in a dry run would be.
    Gone,
}

impl Written {
    /// The row as it stands or would stand; none for a change that was made before, or when there is none left.
    pub fn into_row(self) -> Option<Resource> {
        match self {
            Self::Kept(row) => Some(*row),
            Self::WouldBe(would_be) => Some(would_be.row),
            Self::Replayed(_) | Self::Gone => None,
        }
    }
}

/// A change, ready for the database.
pub(in crate::store) struct Write<'a> {
    /// Names it in errors.
    pub(in crate::store) action: &'static str,
    /// What is run; nothing when the row is as it should be already.
    pub(in crate::store) operation: Option<&'a Operation>,
    /// The values of the operation.
    pub(in crate::store) args: &'a [Arg],
    /// The row as the operation leaves it, less what only the database knows: revision and generations.
    pub(in crate::store) row: Resource,
    /// Takes the row away when nothing is left of it.
    pub(in crate::store) removal: Option<Removal>,
}

/// Why a change was not made. Nothing was changed.
pub(in crate::store) enum Unwritten {
    /// A guard of the operation did not hold.
    Guarded,
    /// A companion, or the caller's own key, stood against it.
    Refused(Error),
    /// The database did.
    Failed(StoreError),
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Store {
    /// Makes a change, the fast way or in a transaction, as the options ask.
    pub(in crate::store) async fn write(
        &self,
        write: Write<'_>,
        options: &WriteOptions,
    ) -> Result<Written, Unwritten> {
        let instance = write.row.meta.instance_id;
        let project = write.row.meta.project_id;
        if options.is_plain() && write.removal.is_none() && !self.limited.contains_key(&project) {
            let Some(operation) = write.operation else { return Ok(Written::Kept(Box::new(write.row))) };
            let rows = operation.run(&self.database, write.action, write.args.to_vec()).await?;
            if let Some(answer) = rows.first() {
                let row = settled(write.row, answer)?;
                self.changed(instance);
                return Ok(Written::Kept(Box::new(row)));
            }
            if !self.has_limits(project).await? {
                return Err(Unwritten::Guarded);
            }
            self.limited.insert(project, ());
        }
        let changes = write.operation.is_some();
        let tree = (options.effect == Effect::DryRun).then(|| self.tree_reader(&write.row)).transpose()?;
        let root = self.registered(&write.row)?.root;
        let work = Transaction {
            action: write.action,
            operation: write.operation.cloned(),
            args: write.args.to_vec(),
            row: write.row,
            removal: write.removal,
            options: options.clone(),
            idempotency: self.idempotency.clone(),
            quotas: self.quotas.clone(),
            root,
            tree,
        };
        let written = self.database.write(write.action, move |tx| Box::pin(work.run(tx))).await;
        match written {
            Ok(written) => {
                if changes {
                    self.changed(instance);
                }
                Ok(written)
            }
            Err(Ended::Undone(written)) => Ok(*written),
            Err(Ended::Unwritten(reason)) => Err(reason),
        }
    }
}

/// A change with all that goes with it.
struct Transaction {
    action: &'static str,
    operation: Option<Operation>,
    args: Vec<Arg>,
    row: Resource,
    removal: Option<Removal>,
    options: WriteOptions,
    idempotency: Arc<KeptAnswers>,
    quotas: Arc<Quotas>,
    root: usize,
    tree: Option<TreeReader>,
}

/// How a transaction ends that is not kept.
enum Ended {
    /// As it should: there is an answer, and nothing to keep.
    Undone(Box<Written>),
    Unwritten(Unwritten),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Unwritten(Unwritten::Failed(error))
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Unwritten(Unwritten::Refused(error))
    }
}

impl Transaction {
    async fn run(mut self, tx: &mut Tx) -> Result<Written, Ended> {
        // A dry run makes nothing that could be made twice.
        let once = self.options.once.filter(|_| self.options.effect == Effect::Kept);
        if let Some(once) = &once
            && let Some(answer) = self.idempotency.reserve(tx, &once.key).await?
        {
            return Err(Ended::Undone(Box::new(Written::Replayed(answer))));
        }
        for companion in &self.options.companions {
            companion.before(tx).await?;
        }
        let mut row = self.row;
        if let Some(operation) = &self.operation {
            self.args[slots::LIMITS_KEPT] = Arg::from(true);
            let rows = operation.run_in(tx, self.action, &self.args).await?;
            row = settled(row, rows.first().ok_or(Ended::Unwritten(Unwritten::Guarded))?)?;
            self.quotas.settle(tx, row.meta.project_id, self.root, row.meta.instance_id).await?;
        }
        for companion in &self.options.companions {
            companion.after(tx, &row).await?;
        }
        if let Some(once) = &once {
            self.idempotency.keep(tx, &once.key, &(once.render)(&row)).await?;
        }
        if let Some(removal) = &self.removal
            && removal.run(tx).await?
        {
            return match self.options.effect {
                Effect::Kept => Ok(Written::Gone),
                Effect::DryRun => Err(Ended::Undone(Box::new(Written::Gone))),
            };
        }
        match self.tree {
            None => Ok(Written::Kept(Box::new(row))),
            Some(reader) => {
                let would_be = reader.read(tx, row).await?;
                Err(Ended::Undone(Box::new(Written::WouldBe(Box::new(would_be)))))
            }
        }
    }
}

/// The row with what the operation answered of it: revision, generation, and for a child the instance generation that
/// holds it.
fn settled(mut row: Resource, answer: &Row) -> Result<Resource, StoreError> {
    row.meta.revision = answer.int(0).required("revision")?;
    row.meta.generation = answer.int(1).required("generation")?;
    row.meta.held_generation =
        if row.ty.is_instance() { row.meta.generation } else { answer.int(2).required("held_generation")? };
    Ok(row)
}
