//! Links: what the framework keeps of bindings beside the rows that tenants see.
//!
//! A link is written in the transaction of its binding, which also gives the other instance a new generation: that is
//! when its nodes accept the credentials. It is marked in the transaction that lets the binding go, which gives that
//! instance another generation: that is when they no longer do. Whoever dies in between leaves both to be carried out.

use std::sync::Arc;

use futures::future::BoxFuture;
use sea_query::{Alias, Expr, ExprTrait, Order, Query, SelectStatement};
use serde_json::json;
use uuid::Uuid;

use super::error::StoreError;
use super::operation::Operation;
use super::resources::rows::read_resource;
use super::resources::statements::slots;
use super::resources::write::{Companion, WriteOptions};
use super::resources::{Locator, now};
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required, Row, raw_json};
use super::work::clock;
use super::{Store, Tx};
use crate::authz::Allowed;
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode, Problem};
use crate::field_type::{InstancePath, Map, Secret};
use crate::offer::{Bound, PARAMETERS, TO};
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::secret::random_text;

const TABLE: &str = "metapaas_links";
/// Letters and digits of a link's secret: 256 bits and a little.
const SECRET_LETTERS: usize = 43;

/// A link as the database has it.
#[derive(Clone, Debug)]
pub(crate) struct LinkRow {
    /// The id of its binding.
    pub(crate) id: Uuid,
    /// The instance that is bound to.
    pub(crate) target_id: Uuid,
    /// Its type.
    pub(crate) target_slug: String,
    /// The generation of that instance which accepts the credentials; once it is leaving, which no longer does.
    pub(crate) generation: i64,
    /// Whether its binding is on its way out.
    pub(crate) is_leaving: bool,
    /// What the other instance sees of it; the secret is still sealed.
    path: String,
    parameters: Map<String>,
    sealed: String,
}

impl LinkRow {
    /// What paths name its binding by.
    pub(crate) fn key(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The statements on links.
#[derive(Debug)]
pub(super) struct LinkStatements {
    insert: Statement,
    by_id: Statement,
    of_binder: Statement,
    of_target: Statement,
    leave: Statement,
    forget: Statement,
    forget_all: Statement,
    used: Statement,
    wake: Statement,
}

mod own {
    pub(super) const ID: usize = 0;
    pub(super) const BINDER: usize = 1;
    pub(super) const TARGET: usize = 2;
    pub(super) const SLUG: usize = 3;
    pub(super) const PATH: usize = 4;
    pub(super) const PARAMETERS: usize = 5;
    pub(super) const SECRET: usize = 6;
    pub(super) const GENERATION: usize = 7;
    pub(super) const LEAVING: usize = 8;
    pub(super) const NOW: usize = 9;
    pub(super) const LIMIT: usize = 10;
    pub(super) const COUNT: usize = 11;
}

const COLUMNS: [(&str, usize); 10] = [
    ("id", own::ID),
    ("binder_id", own::BINDER),
    ("target_id", own::TARGET),
    ("target_type", own::SLUG),
    ("path", own::PATH),
    ("parameters", own::PARAMETERS),
    ("secret", own::SECRET),
    ("generation", own::GENERATION),
    ("leaving", own::LEAVING),
    ("created_at", own::NOW),
];

fn col(name: &str) -> Expr {
    Expr::col(Alias::new(name))
}

/// The name under which a link's secret is sealed.
pub(super) fn secret_place(id: impl std::fmt::Display) -> String {
    format!("{TABLE}.secret:{id}")
}

impl LinkStatements {
    pub(super) fn new(dialect: Dialect) -> Self {
        let table = || Alias::new(TABLE);
        let mut insert = Query::insert();
        insert.into_table(table()).columns(COLUMNS.map(|(name, _)| Alias::new(name)));
        // It fails only when columns and values differ in number, and they come in pairs.
        let _ = insert.values(COLUMNS.map(|(_, at)| slot(at)));
        let select = |column: &str, at: usize| -> SelectStatement {
            Query::select()
                .columns(COLUMNS.map(|(name, _)| Alias::new(name)))
                .from(table())
                .and_where(col(column).eq(slot(at)))
                .order_by(Alias::new("id"), Order::Asc)
                .to_owned()
        };
        let staying = || col("leaving").eq(slot(own::LEAVING));
        let leave = Query::update()
            .table(table())
            .value(Alias::new("leaving"), slot(own::LEAVING))
            .value(Alias::new("generation"), slot(own::GENERATION))
            .and_where(col("id").eq(slot(own::ID)))
            .to_owned();
        let delete = |column: &str, at: usize| {
            Query::delete().from_table(table()).and_where(col(column).eq(slot(at))).to_owned()
        };
        let used = Query::select()
            .column(Alias::new("path"))
            .from(table())
            .and_where(col("target_id").eq(slot(own::TARGET)))
            .and_where(staying())
            .order_by(Alias::new("path"), Order::Asc)
            .limit(own::LIMIT as u64)
            .to_owned();
        let binders = Query::select()
            .column(Alias::new("binder_id"))
            .from(table())
            .and_where(col("target_id").eq(slot(own::TARGET)))
            .to_owned();
        let wake = Query::update()
            .table(Alias::new("metapaas_work"))
            .value(Alias::new("due_at"), clock(dialect, own::NOW))
            .value(Alias::new("wake"), Expr::cust("wake + 1"))
            .and_where(col("resource_id").in_subquery(binders))
            .to_owned();
        Self {
            insert: Statement::new(dialect, &insert),
            by_id: Statement::new(dialect, &select("id", own::ID)),
            of_binder: Statement::new(dialect, &select("binder_id", own::BINDER)),
            of_target: Statement::new(dialect, select("target_id", own::TARGET).and_where(staying())),
            leave: Statement::new(dialect, &leave),
            forget: Statement::new(dialect, &delete("id", own::ID)),
            forget_all: Statement::new(dialect, &delete("binder_id", own::BINDER)),
            used: Statement::new(dialect, &used),
            wake: Statement::new(dialect, &wake),
        }
    }
}

fn read_link(row: &Row) -> Result<LinkRow, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt {
        action: "read a link",
        detail: format!("parameters: {error}"),
    };
    Ok(LinkRow {
        id: row.uuid(0).required("id")?,
        target_id: row.uuid(2).required("target_id")?,
        target_slug: row.text(3).required("target_type")?,
        path: row.text(4).required("path")?,
        parameters: serde_json::from_str(row.json(5).required("parameters")?.get()).map_err(corrupt)?,
        sealed: row.text(6).required("secret")?,
        generation: row.int(7).required("generation")?,
        is_leaving: row.bool(8).required("leaving")?,
    })
}

fn arguments(values: &[(usize, Arg)]) -> Vec<Arg> {
    let mut args = vec![Arg::Text(None); own::COUNT];
    args[own::LEAVING] = Arg::from(false);
    args[own::NOW] = Arg::from(now());
    for (at, value) in values {
        args[*at] = value.clone();
    }
    args
}

impl Store {
    /// What of an instance leads to others, in the order it was made.
    pub(crate) async fn links_of(&self, binder: Uuid) -> Result<Vec<LinkRow>, StoreError> {
        let args = arguments(&[(own::BINDER, binder.into())]);
        let rows = self.database.fetch("read links", &self.link.of_binder, &args).await?;
        rows.iter().map(read_link).collect()
    }

    /// The bindings that lead to an instance, in the order they were made.
    pub(crate) async fn bound_to(&self, target: Uuid) -> Result<Vec<Bound>, StoreError> {
        let args = arguments(&[(own::TARGET, target.into())]);
        let rows = self.database.fetch("read links", &self.link.of_target, &args).await?;
        rows.iter().map(|row| self.bound(&read_link(row)?)).collect()
    }

    /// A link as the instance sees it that it leads to, its secret in the open.
    pub(crate) fn bound(&self, link: &LinkRow) -> Result<Bound, StoreError> {
        const ACTION: &str = "open the secret of a link";
        let place = secret_place(link.id);
        let plain = self.keys.open(&place, &link.sealed);
        let plain = plain.map_err(|error| StoreError::sealed(ACTION, &place, error))?;
        let secret = String::from_utf8(plain.to_vec())
            .map_err(|error| StoreError::Corrupt { action: ACTION, detail: error.to_string() })?;
        Ok(Bound {
            id: link.id,
            by: link.path.clone(),
            parameters: link.parameters.clone(),
            secret: Secret::new(secret),
        })
    }

    /// The options of a create with all that a binding needs besides its row, and the instance that it leads to.
    pub(super) async fn binding(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        parent: Option<&Resource>,
        row: &Resource,
        options: WriteOptions,
    ) -> Result<(WriteOptions, Option<Uuid>), Error> {
        let (true, Some(parent)) = (registered.is_binding, parent) else { return Ok((options, None)) };
        let text = row.field(TO).map(|datum| datum.to_json()).unwrap_or_default();
        let to = InstancePath::new(text.as_str().unwrap_or_default())
            .map_err(|expected| Error::invalid_at(format!("/{TO}"), "INVALID_VALUE", expected))?;
        let target = self.target(allowed, parent, &to).await?;
        let path = [parent.ty.slug, &parent.key(), registered.ty.segment(), &row.key()].join("/");
        let parameters = row.field(PARAMETERS).map(|datum| datum.to_json()).unwrap_or_default();
        let bound = Bound {
            id: row.meta.id,
            by: path.clone(),
            parameters: serde_json::from_value(parameters.clone()).unwrap_or_default(),
            secret: Secret::new(random_text(SECRET_LETTERS)),
        };
        match self.offered(&target, &bound).await? {
            // What is not there yet is waited for.
            Ok(_) | Err(Denied::Later(_)) => {}
            Err(Denied::Refused(error)) => return Err(error),
        }
        let sealed = self.keys.seal(&secret_place(bound.id), bound.secret.expose().as_bytes());
        let args = arguments(&[
            (own::ID, bound.id.into()),
            (own::BINDER, parent.meta.id.into()),
            (own::TARGET, target.meta.id.into()),
            (own::SLUG, target.ty.slug.into()),
            (own::PATH, path.as_str().into()),
            (own::PARAMETERS, Arg::Json(Some(raw_json(&parameters)))),
            (own::SECRET, sealed.into()),
        ]);
        let raise = self.raise(allowed, &target, &path)?;
        let missing = missing(&to);
        let binding = Binding { raise, insert: self.link.insert.clone(), args, missing };
        Ok((options.with(Arc::new(binding)), Some(target.meta.id)))
    }

    /// The instance that a binding is to lead to, when the caller may change it.
    async fn target(
        &self,
        allowed: &Allowed,
        binder: &Resource,
        to: &InstancePath,
    ) -> Result<Resource, Error> {
        let refused = |detail: String| Error::invalid_at(format!("/{TO}"), "INVALID_VALUE", detail);
        let (slug, key) = to.as_str().split_once('/').unwrap_or_default();
        let root = self.registry.root(slug);
        let root = root.ok_or_else(|| refused(format!("there is no type {slug}")))?;
        if self.registry.offer(slug).is_none() {
            return Err(refused(format!("instances of {slug} offer nothing that others could be bound to")));
        }
        let project = binder.meta.project_id;
        let locator = Locator { keys: vec![key.to_owned()], project: Some(project) };
        let may_read = allowed.for_type(root.ty).also(Action::Read);
        let target = match self.get(&may_read, root, &locator).await {
            Err(error) if error.code == ErrorCode::NotFound => return Err(Error::invalid(vec![missing(to)])),
            found => found?,
        };
        if target.meta.project_id != project || target.is_deleting() {
            return Err(Error::invalid(vec![missing(to)]));
        }
        if target.meta.id == binder.meta.id {
            return Err(refused("an instance cannot be bound to itself".into()));
        }
        may_read.also(Action::Update).in_project(project)?;
        Ok(target)
    }

    /// What an instance offers to a binding.
    pub(crate) async fn offered(
        &self,
        target: &Resource,
        bound: &Bound,
    ) -> Result<Result<Map<String>, Denied>, StoreError> {
        let later = |why: &str| Ok(Err(Denied::Later(why.to_owned())));
        let root = self.registered(target)?;
        let Some(offer) = self.registry.offer(root.ty.slug) else { return later("its type offers nothing") };
        let Some((instance, children)) = self.tree(root, target.meta.id).await? else {
            return later("it is gone");
        };
        let nodes = self.nodes(instance.meta.id).await?;
        let tree = super::desired::desired(&self.registry, &self.keys, root, &instance, &children, &nodes)?;
        let offer = std::panic::AssertUnwindSafe(|| offer(Arc::new(tree), bound));
        let Ok(offered) = std::panic::catch_unwind(offer) else {
            tracing::error!(instance = %target.meta.id, slug = root.ty.slug, "the offer function panicked");
            return later("the offer function of its plugin panicked; the log has the details");
        };
        Ok(offered.map_err(Denied::from))
    }

    /// What gives an instance a new generation for a binding's sake.
    fn raise(&self, allowed: &Allowed, target: &Resource, binding: &str) -> Result<Raise, StoreError> {
        let mut row = target.clone();
        row.meta.updated_at = now();
        let detail = json!({ "binding": binding });
        let args = self.arguments(allowed, &row, &row.key(), "updated", Some(&detail));
        debug_assert_eq!(args.len(), slots::FIELDS);
        let operation = self.statements(self.registered(target)?).raise.clone();
        Ok(Raise { operation, args })
    }

    /// The options of a delete with what lets a binding's link go, and the instance that it leads to.
    pub(super) async fn unbinding(
        &self,
        allowed: &Allowed,
        registered: &RegisteredType,
        row: &Resource,
        options: &WriteOptions,
    ) -> Result<(WriteOptions, Option<Uuid>), Error> {
        if !registered.is_binding {
            return Ok((options.clone(), None));
        }
        let args = arguments(&[(own::ID, row.meta.id.into())]);
        let rows = self.database.fetch("read a link", &self.link.by_id, &args).await;
        let rows = rows.map_err(Error::from)?;
        let Some(link) = rows.first().map(read_link).transpose()?.filter(|link| !link.is_leaving) else {
            return Ok((options.clone(), None));
        };
        let unbinding = self.unbinding_of(allowed, &link).await?;
        Ok((options.with(Arc::new(unbinding)), Some(link.target_id)))
    }

    async fn unbinding_of(&self, allowed: &Allowed, link: &LinkRow) -> Result<Unbinding, StoreError> {
        let target = self.linked(link).await?;
        let raise = target.map(|target| self.raise(allowed, &target, &link.path)).transpose()?;
        Ok(Unbinding { raise, leave: self.link.leave.clone(), id: link.id })
    }

    /// The instance that a link leads to.
    pub(crate) async fn linked(&self, link: &LinkRow) -> Result<Option<Resource>, StoreError> {
        let Some(root) = self.registry.root(&link.target_slug) else { return Ok(None) };
        let mut args = vec![Arg::Uuid(None); slots::ID + 1];
        args[slots::ID] = Arg::from(link.target_id);
        let statement = &self.statements(root).by_id;
        let rows = self.database.fetch("read what is bound to", statement, &args).await?;
        rows.first().map(|row| read_resource(root.ty, row)).transpose()
    }

    /// Lets a link go whose whole instance goes.
    pub(crate) async fn unbind(&self, allowed: &Allowed, link: &LinkRow) -> Result<(), StoreError> {
        let unbinding = self.unbinding_of(allowed, link).await?;
        let written: Result<(), StoreError> = self
            .database
            .write("let a link go", move |tx| Box::pin(async move { unbinding.run(tx).await }))
            .await;
        written?;
        self.changed(link.target_id);
        Ok(())
    }

    /// Removes a link whose credentials are no longer accepted.
    pub(crate) async fn forget_link(&self, id: Uuid) -> Result<(), StoreError> {
        let args = arguments(&[(own::ID, id.into())]);
        self.run_write("forget a link", &self.link.forget, args).await.map(drop)
    }

    /// Removes all links of an instance that goes. Those that they lead to know already.
    pub(crate) async fn forget_links(&self, binder: Uuid) -> Result<(), StoreError> {
        let args = arguments(&[(own::BINDER, binder.into())]);
        self.run_write("forget links", &self.link.forget_all, args).await.map(drop)
    }

    /// Has those looked at that are bound to an instance, when it changed.
    pub(super) async fn wake_bound(&self, target: &Resource) -> Result<(), StoreError> {
        if !target.ty.is_instance() || self.registry.offer(target.ty.slug).is_none() {
            return Ok(());
        }
        let args = arguments(&[(own::TARGET, target.meta.id.into())]);
        self.run_write("wake what is bound", &self.link.wake, args).await.map(drop)
    }

    /// The options of a delete that nothing may be bound to.
    pub(super) fn unless_bound(&self, row: &Resource, options: &WriteOptions) -> WriteOptions {
        if !row.ty.is_instance() || self.registry.offer(row.ty.slug).is_none() {
            return options.clone();
        }
        let args = arguments(&[(own::TARGET, row.meta.id.into()), (own::LIMIT, Arg::from(10))]);
        options.with(Arc::new(Unbound { used: self.link.used.clone(), args }))
    }
}

/// Why an instance offers nothing to a binding.
#[derive(Debug)]
pub(crate) enum Denied {
    /// It will, perhaps.
    Later(String),
    /// What is asked for is wrong.
    Refused(Error),
}

impl From<crate::hook::Denial> for Denied {
    fn from(denial: crate::hook::Denial) -> Self {
        match denial {
            crate::hook::Denial::Refused(why) => Self::Later(why),
            crate::hook::Denial::Invalid(problems) => {
                let problem = |problem: crate::descriptor::FieldProblem| {
                    let pointer = format!("/{PARAMETERS}/{}", problem.field);
                    Problem::new(pointer.trim_end_matches('/'), "INVALID_VALUE", problem.detail)
                };
                Self::Refused(Error::invalid(problems.into_iter().map(problem).collect()))
            }
            other => Self::Refused(other.into()),
        }
    }
}

fn missing(to: &InstancePath) -> Problem {
    let detail = format!("no {to} is in this project, or it is being deleted, or you may not see it");
    Problem::new(format!("/{TO}"), "MISSING_REFERENCE", detail)
}

/// Gives an instance a new generation.
#[derive(Debug)]
struct Raise {
    operation: Operation,
    args: Vec<Arg>,
}

impl Raise {
    /// The generation; none when the instance is gone or going.
    async fn run(&self, tx: &mut Tx) -> Result<Option<i64>, StoreError> {
        let rows = self.operation.run_in(tx, "tell the instance that is bound to", &self.args).await?;
        rows.first().map(|row| row.int(1).required("generation")).transpose()
    }
}

/// Keeps the link beside its binding.
#[derive(Debug)]
struct Binding {
    raise: Raise,
    insert: Statement,
    args: Vec<Arg>,
    missing: Problem,
}

impl Companion for Binding {
    fn after<'t>(&'t self, tx: &'t mut Tx, _: &'t Resource) -> BoxFuture<'t, Result<(), Error>> {
        Box::pin(async move {
            let generation = self.raise.run(tx).await?;
            let generation = generation.ok_or_else(|| Error::invalid(vec![self.missing.clone()]))?;
            let mut args = self.args.clone();
            args[own::GENERATION] = Arg::from(generation);
            tx.execute("make a link", &self.insert, &args).await?;
            Ok(())
        })
    }
}

/// Marks the link of a binding that goes.
#[derive(Debug)]
struct Unbinding {
    raise: Option<Raise>,
    leave: Statement,
    id: Uuid,
}

impl Unbinding {
    async fn run(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let generation = match &self.raise {
            Some(raise) => raise.run(tx).await?,
            None => None,
        };
        let args = arguments(&[
            (own::ID, self.id.into()),
            (own::LEAVING, true.into()),
            // What is gone or going accepts nothing any more.
            (own::GENERATION, generation.unwrap_or_default().into()),
        ]);
        tx.execute("let a link go", &self.leave, &args).await.map(drop)
    }
}

impl Companion for Unbinding {
    fn after<'t>(&'t self, tx: &'t mut Tx, _: &'t Resource) -> BoxFuture<'t, Result<(), Error>> {
        Box::pin(async move { Ok(self.run(tx).await?) })
    }
}

/// Nothing is bound to an instance that is about to go. Its row is held by then, and a binding would change it.
#[derive(Debug)]
struct Unbound {
    used: Statement,
    args: Vec<Arg>,
}

impl Companion for Unbound {
    fn after<'t>(&'t self, tx: &'t mut Tx, row: &'t Resource) -> BoxFuture<'t, Result<(), Error>> {
        Box::pin(async move {
            let rows = tx.fetch("look for bindings", &self.used, &self.args).await?;
            let paths = rows.iter().map(|row| row.text(0).required("path")).collect::<Result<Vec<_>, _>>()?;
            if paths.is_empty() {
                return Ok(());
            }
            let what = format!("{} {:?} is bound to by {}", row.ty.name, row.key(), paths.join(", "));
            Err(Error::new(ErrorCode::InUse, format!("{what}; delete the binding first")))
        })
    }
}
