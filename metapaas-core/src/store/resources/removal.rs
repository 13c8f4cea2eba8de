//! [`Removal`]: a row that nothing is left of goes in the transaction that asks for it to go.
//!
//! Only instances of types without a plan and without bindings: no worker does anything for them, so nothing is left as soon as there is
//! nothing below them. All others go when a pass has found that nothing is left.

use std::sync::Arc;

use sea_query::{Alias, Expr, ExprTrait, Query};

use super::statements::slots;
use crate::authz::Allowed;
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::store::operation::Operation;
use crate::store::operations::unfinished;
use crate::store::quotas::Quotas;
use crate::store::statement::{Statement, slot};
use crate::store::value::Arg;
use crate::store::{Store, StoreError, Tx};

/// Takes a row away that has just been marked, with all that the framework keeps for it.
pub(in crate::store) struct Removal {
    /// Each finds a row that stands against it. Slot 0 is the instance, slot 1 the limit.
    obstacles: Vec<Statement>,
    forget_work: Statement,
    remove: Operation,
    args: Vec<Arg>,
    quotas: Arc<Quotas>,
    row: Resource,
}

impl Store {
    /// For a row on its way out, where there may be nothing left. `None` when workers have to look.
    pub(super) fn removal(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        going: &Resource,
    ) -> Option<Removal> {
        let has_plan = self.registry.plan(registered.ty.slug).is_some();
        if !registered.ty.is_instance() || has_plan || self.registry.binds(registered.index) {
            return None;
        }
        let dialect = self.database.dialect();
        let some_of = |table: &str| {
            let rows = Query::select()
                .expr(Expr::cust("1"))
                .from(Alias::new(table))
                .and_where(Expr::col(Alias::new("instance_id")).eq(slot(0)))
                // Slot 1, as all numbers in statements are slots.
                .limit(1)
                .to_owned();
            Statement::new(dialect, &rows)
        };
        let below = self.registry.below(registered.index).map(|child| some_of(&child.ty.table()));
        let obstacles = below.chain([some_of("metapaas_nodes"), unfinished(dialect)]).collect();
        let forget_work = Query::delete()
            .from_table(Alias::new("metapaas_work"))
            .and_where(Expr::col(Alias::new("resource_id")).eq(slot(0)))
            .to_owned();
        let mut args = self.arguments(allowed, going, &going.key(), "deleted", None);
        args[slots::GENERATION_STEP] = Arg::from(going.meta.generation);
        args.extend(going.fields.iter().map(|_| Arg::Text(None)));
        Some(Removal {
            obstacles,
            forget_work: Statement::new(dialect, &forget_work),
            remove: self.statements(registered).remove.clone(),
            args,
            quotas: self.quotas.clone(),
            row: going.clone(),
        })
    }
}

impl Removal {
    /// Whether nothing is left; then the row is gone. The transaction holds the row, so that nothing comes below it.
    pub(super) async fn run(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        let instance = self.row.meta.instance_id;
        let args = [Arg::from(instance), Arg::from(1)];
        for obstacle in &self.obstacles {
            if !tx.fetch("look for what is left", obstacle, &args).await?.is_empty() {
                return Ok(false);
            }
        }
        tx.execute("forget work", &self.forget_work, &args).await?;
        self.remove.run_in(tx, "remove an instance", &self.args).await?;
        self.quotas.release(tx, instance).await?;
        Ok(true)
    }
}
