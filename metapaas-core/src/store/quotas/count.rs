//! Setting limits, which counts what there is, and showing them beside their use.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{Amounts, Quotas, arguments, own, quota_resources};
use crate::authz::Allowed;
use crate::error::{Error, Problem};
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::role::PLATFORM_PROJECT;
use crate::store::database::{Database, Tx};
use crate::store::error::StoreError;
use crate::store::iam::audit::AuditRecord;
use crate::store::resources::Effect;
use crate::store::resources::rows::read_resource;
use crate::store::resources::statements::between_slots;
use crate::store::statement::Statement;
use crate::store::value::{Arg, Required, Row};
use crate::store::{Store, raw_json};

/// Instances read at a time.
const PAGE: i64 = 200;
/// Instances that are looked at to show the use of what has no limit.
const SHOWN_MAX: i64 = 1_000;

/// Limit and use of one kind of resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuotaItem {
    /// Which.
    pub resource: String,
    /// The limit, where there is one.
    pub limit: Option<i64>,
    /// What is used or reserved.
    pub used: i64,
    /// Whether all was counted.
    pub exact: bool,
}

/// The line of the audit about limits before and after.
type Audited = dyn FnOnce(&BTreeMap<String, i64>, &BTreeMap<String, i64>) -> AuditRecord + Send;

/// Limits that every new project gets.
#[derive(Clone, Debug)]
pub struct NewProjectLimits {
    quotas: Arc<Quotas>,
    limits: Arc<BTreeMap<String, i64>>,
}

impl NewProjectLimits {
    /// Sets the limits of a project that this transaction makes: there is nothing to count in it.
    pub(crate) async fn set(&self, tx: &mut Tx, project: Uuid) -> Result<(), StoreError> {
        let mut args = arguments();
        args[own::PROJECT] = Arg::from(project);
        args[own::AMOUNT] = Arg::from(0);
        for (resource, limit) in self.limits.iter() {
            args[own::RESOURCE] = Arg::from(resource.as_str());
            args[own::LIMIT] = Arg::from(*limit);
            tx.execute("set a limit", &self.quotas.insert_limit, &args).await?;
        }
        Ok(())
    }
}

/// Reads inside of a transaction or outside of one.
enum Reader<'a> {
    Tx(&'a mut Tx),
    Database(&'a Database),
}

impl Reader<'_> {
    async fn fetch(
        &mut self,
        action: &'static str,
        statement: &Statement,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Tx(tx) => tx.fetch(action, statement, args).await,
            Self::Database(database) => database.fetch(action, statement, args).await,
        }
    }
}

impl Quotas {
    /// What each instance of a project uses by its plan, up to `most` instances, and whether that was all.
    async fn count(
        &self,
        reader: &mut Reader<'_>,
        project: Uuid,
        most: i64,
    ) -> Result<(Vec<(Uuid, Amounts)>, bool), StoreError> {
        let reserved = self.reserved(reader, project, most).await?;
        let mut counted = Vec::new();
        let mut left = most;
        for root in self.registry.roots() {
            let mut after = Uuid::nil();
            loop {
                let limit = PAGE.min(left);
                if limit == 0 {
                    return Ok((counted, false));
                }
                let mut args = vec![Arg::from(project), Arg::from(after), Arg::from(limit), Arg::Uuid(None)];
                let rows = reader.fetch("count instances", &self.types[root.index].in_project, &args).await?;
                let instances: Vec<Resource> =
                    rows.iter().map(|row| read_resource(root.ty, row)).collect::<Result<_, _>>()?;
                let Some(last) = instances.last().map(|last| last.meta.id) else { break };
                args[between_slots::LAST] = Arg::from(last);
                let mut children = self.children(reader, root, &args).await?;
                for instance in &instances {
                    let id = instance.meta.id;
                    let below: Vec<Vec<Resource>> =
                        children.iter_mut().map(|of_type| of_type.remove(&id).unwrap_or_default()).collect();
                    counted.push((id, self.amounts(root, instance, &below, reserved.get(&id))));
                }
                after = last;
                let read = i64::try_from(instances.len()).unwrap_or(i64::MAX);
                left -= read;
                if read < limit {
                    break;
                }
            }
        }
        Ok((counted, true))
    }

    /// Rows below the instances of a page, by type and instance.
    async fn children(
        &self,
        reader: &mut Reader<'_>,
        root: &RegisteredType,
        args: &[Arg],
    ) -> Result<Vec<BTreeMap<Uuid, Vec<Resource>>>, StoreError> {
        let mut all = Vec::new();
        if self.registry.plan(root.ty.slug).is_none() {
            return Ok(all);
        }
        for child in self.registry.below(root.index) {
            let mut of_type: BTreeMap<Uuid, Vec<Resource>> = BTreeMap::new();
            for row in &reader.fetch("count children", &self.types[child.index].between, args).await? {
                let row = read_resource(child.ty, row)?;
                of_type.entry(row.meta.instance_id).or_default().push(row);
            }
            all.push(of_type);
        }
        Ok(all)
    }

    /// What instances of a project have reserved.
    async fn reserved(
        &self,
        reader: &mut Reader<'_>,
        project: Uuid,
        most: i64,
    ) -> Result<BTreeMap<Uuid, Amounts>, StoreError> {
        let mut args = arguments();
        args[own::PROJECT] = Arg::from(project);
        args[own::INSTANCE] = Arg::from(Uuid::nil());
        args[own::LIMIT] = Arg::from(most);
        let rows = reader.fetch("read reservations", &self.reservations, &args).await?;
        rows.iter().map(|row| Ok((row.uuid(0).required("instance_id")?, Amounts::parse(row, 1)?))).collect()
    }

    /// Sets the limits of a project, and answers those that it had.
    async fn set(
        &self,
        tx: &mut Tx,
        project: Uuid,
        limits: &BTreeMap<String, i64>,
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        if let Some(lock) = &self.lock {
            tx.fetch("lock the instances", lock, &[]).await?;
        }
        let mut args = arguments();
        args[own::PROJECT] = Arg::from(project);
        let counted = match limits.is_empty() {
            true => Vec::new(),
            false => self.count(&mut Reader::Tx(tx), project, i64::MAX).await?.0,
        };
        let rows = tx.fetch("read limits", &self.limits, &args).await?;
        let limit_of = |row: &Row| {
            Ok::<_, StoreError>((row.text(0).required("resource")?, row.int(1).required("limit_value")?))
        };
        let before = rows.iter().map(limit_of).collect::<Result<_, _>>()?;
        tx.execute("clear limits", &self.clear_limits, &args).await?;
        tx.execute("clear reservations", &self.clear_reservations, &args).await?;
        let mut sum = Amounts::default();
        for (id, amounts) in counted {
            args[own::INSTANCE] = Arg::from(id);
            args[own::AMOUNTS] = Arg::from(raw_json(&amounts));
            tx.execute("keep a reservation", &self.reserve, &args).await?;
            sum.add(&amounts);
        }
        for (resource, limit) in limits {
            args[own::RESOURCE] = Arg::from(resource.as_str());
            args[own::LIMIT] = Arg::from(*limit);
            args[own::AMOUNT] = Arg::from(sum.get(resource));
            tx.execute("set a limit", &self.insert_limit, &args).await?;
        }
        Ok(before)
    }

    async fn deviations(&self, tx: &mut Tx, project: Uuid) -> Result<Vec<String>, StoreError> {
        if let Some(lock) = &self.lock {
            tx.fetch("lock the instances", lock, &[]).await?;
        }
        let mut args = arguments();
        args[own::PROJECT] = Arg::from(project);
        let rows = tx.fetch("read limits", &self.limits, &args).await?;
        let reserved = self.reserved(&mut Reader::Tx(tx), project, i64::MAX).await?;
        if rows.is_empty() {
            let left =
                (!reserved.is_empty()).then(|| format!("{} reservations without a limit", reserved.len()));
            return Ok(left.into_iter().collect());
        }
        let (counted, _) = self.count(&mut Reader::Tx(tx), project, i64::MAX).await?;
        let (reserved, counted) = (sum(reserved.values()), sum(counted.iter().map(|(_, amounts)| amounts)));
        let mut found = Vec::new();
        for row in &rows {
            let resource = row.text(0).required("resource")?;
            let used = row.int(2).required("used")?;
            let (reserved, counted) = (reserved.get(&resource), counted.get(&resource));
            if used != reserved || reserved != counted {
                found.push(format!("{resource}: used {used}, reservations {reserved}, recount {counted}"));
            }
        }
        Ok(found)
    }
}

fn sum<'a>(amounts: impl Iterator<Item = &'a Amounts>) -> Amounts {
    amounts.fold(Amounts::default(), |mut sum, amounts| {
        sum.add(amounts);
        sum
    })
}

impl Store {
    /// Limits for new projects.
    ///
    /// # Errors
    /// The names that are no resources.
    pub fn new_project_limits(&self, limits: BTreeMap<String, i64>) -> Result<NewProjectLimits, Vec<String>> {
        let known = quota_resources(&self.registry);
        let unknown: Vec<String> =
            limits.keys().filter(|resource| !known.contains(*resource)).cloned().collect();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        Ok(NewProjectLimits { quotas: self.quotas.clone(), limits: Arc::new(limits) })
    }

    /// Whether anything limits a project.
    pub(in crate::store) async fn has_limits(&self, project: Uuid) -> Result<bool, StoreError> {
        let mut args = arguments();
        args[own::PROJECT] = Arg::from(project);
        Ok(!self.database.fetch("look for limits", &self.quotas.limits, &args).await?.is_empty())
    }

    /// Limit and use of every kind of resource in a project that the caller may read.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Unavailable`.
    pub async fn quota(&self, allowed: &Allowed, project: Uuid) -> Result<Vec<QuotaItem>, Error> {
        allowed.on_row(project, &project)?;
        let quotas = &self.quotas;
        let mut args = arguments();
        args[own::PROJECT] = Arg::from(project);
        let rows = self.database.fetch("read limits", &quotas.limits, &args).await?;
        let mut limits = BTreeMap::new();
        for row in &rows {
            let numbers = (row.int(1).required("limit_value")?, row.int(2).required("used")?);
            limits.insert(row.text(0).required("resource")?, numbers);
        }
        let resources = quota_resources(&self.registry);
        let (mut counted, mut is_all) = (Vec::new(), true);
        if resources.iter().any(|resource| !limits.contains_key(resource)) {
            let mut reader = Reader::Database(&self.database);
            (counted, is_all) = quotas.count(&mut reader, project, SHOWN_MAX).await?;
        }
        let counted = sum(counted.iter().map(|(_, amounts)| amounts));
        let item = |resource: String| match limits.get(&resource) {
            Some((limit, used)) => QuotaItem { limit: Some(*limit), used: *used, exact: true, resource },
            None => QuotaItem { limit: None, used: counted.get(&resource), exact: is_all, resource },
        };
        Ok(resources.into_iter().map(item).collect())
    }

    /// Sets all limits of a project; what is not named has none. Counts what is there, while writers of instances
    /// wait.
    ///
    /// # Errors
    /// `Forbidden` without the permission in the platform project, `InvalidRequest` for what cannot be limited,
    /// `NotFound` when the project went meanwhile, `Unavailable`.
    pub async fn set_quota(
        &self,
        allowed: &Allowed,
        project: Uuid,
        limits: BTreeMap<String, i64>,
    ) -> Result<(), Error> {
        self.set_quota_with(allowed, project, limits, Effect::Kept, None).await
    }

    /// The same, kept or only tried, with a line of the audit in the same transaction.
    ///
    /// # Errors
    /// As [`Self::set_quota`].
    pub(crate) async fn set_quota_with(
        &self,
        allowed: &Allowed,
        project: Uuid,
        limits: BTreeMap<String, i64>,
        effect: Effect,
        audited: Option<Box<Audited>>,
    ) -> Result<(), Error> {
        allowed.in_project(PLATFORM_PROJECT)?;
        let known = quota_resources(&self.registry);
        let unknown = limits.keys().filter(|resource| !known.contains(*resource));
        let problems: Vec<Problem> = unknown
            .map(|resource| {
                let pointer = format!("/limits/{}", resource.replace('~', "~0").replace('/', "~1"));
                Problem::new(pointer, "INVALID_VALUE", format!("expected one of {}", known.join(", ")))
            })
            .collect();
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        let quotas = Arc::clone(&self.quotas);
        let set: Result<(), StoreError> = self
            .database
            .write_with(effect, "set limits", move |tx| {
                Box::pin(async move {
                    let before = quotas.set(tx, project, &limits).await?;
                    match audited {
                        Some(line) => quotas.audit.write(tx, line(&before, &limits)).await,
                        None => Ok(()),
                    }
                })
            })
            .await;
        match set {
            Err(StoreError::Reference { .. }) => Err(Error::not_found(format_args!("project {project}"))),
            set => Ok(set?),
        }
    }

    /// Where `used`, the sum of reservations and a recount of the plans of a project do not agree: empty, unless
    /// there is a bug, or a plugin's new version plans more or less for the same spec. Writers of instances wait.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn quota_deviations(&self, project: Uuid) -> Result<Vec<String>, StoreError> {
        let quotas = Arc::clone(&self.quotas);
        self.database
            .write("check quotas", move |tx| Box::pin(async move { quotas.deviations(tx, project).await }))
            .await
    }
}
