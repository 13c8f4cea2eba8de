//! Making and ending bindings: what goes into the transaction of a binding's row, and what its target offers.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;
use uuid::Uuid;

use super::{LinkRow, arguments, own, read_link, secret_place};
use crate::authz::Allowed;
use crate::descriptor::Action;
use crate::error::{Error, ErrorCode, Problem};
use crate::field_type::{InstancePath, Map, Secret};
use crate::offer::{Bound, PARAMETERS, TO};
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::secret::random_text;
use crate::store::error::StoreError;
use crate::store::operation::Operation;
use crate::store::resources::statements::slots;
use crate::store::resources::write::{Companion, WriteOptions};
use crate::store::resources::{Locator, now};
use crate::store::statement::Statement;
use crate::store::value::{Arg, Required, raw_json};
use crate::store::{Store, Tx};

/// Letters and digits of a link's secret: 256 bits and a little.
const SECRET_LETTERS: usize = 43;

impl Store {
    /// The options of a create with all that a binding needs besides its row, and the instance that it leads to.
    pub(in crate::store) async fn binding(
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
        let tree =
            crate::store::desired::desired(&self.registry, &self.keys, root, &instance, &children, &nodes)?;
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
    pub(in crate::store) async fn unbinding(
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

    /// The options of a delete that nothing may be bound to.
    pub(in crate::store) fn unless_bound(&self, row: &Resource, options: &WriteOptions) -> WriteOptions {
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
