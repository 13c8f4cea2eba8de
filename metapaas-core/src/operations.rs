//! [`Operations`]: what became of actions, for those who may see the resource; waiting for an end, and cancelling.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::authz::{Projects, authorize};
use crate::descriptor::{Action, EnumVariant};
use crate::error::{Error, ErrorCode};
use crate::query::{Field, Kind, Place};
use crate::registry::RegisteredType;
use crate::request::RequestContext;
pub use crate::store::iam::{Listed, PageAt};
use crate::store::operations::OperationFilter;
use crate::store::{Effect, Store};
pub use crate::store::{OperationRecord, OperationStatus};

/// How often somebody who waits looks by itself: another control plane may have ended the operation.
const LOOK: Duration = Duration::from_millis(500);

/// Operations of all hosted types.
#[derive(Clone, Debug)]
pub struct Operations {
    store: Arc<Store>,
}

/// Which operations a list is of.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Only this project.
    pub project: Option<Uuid>,
    /// Which part.
    pub page: PageAt,
}

/// What lists of operations can be filtered and sorted by.
pub const FIELDS: &[Field] = &[
    Field { sortable: true, ..field("id", Place::Id, Kind::Uuid) },
    field("status", Place::Column("/status"), Kind::Enum(STATUSES)),
    field("project_id", Place::Column("/project_id"), Kind::Uuid),
    field("resource_id", Place::Column("/resource/id"), Kind::Uuid),
    field("instance_id", Place::Column("/resource/instance_id"), Kind::Uuid),
    // The id says it.
    Field { sortable: true, ..field("created_at", Place::CreatedAt, Kind::Time) },
];

/// Members of operations as lists have them.
pub const MEMBERS: &[&str] = &[
    "id",
    "action",
    "status",
    "project_id",
    "resource",
    "generation",
    "parameters",
    "actor",
    "request_id",
    "error",
    "created_at",
    "updated_at",
    "finished_at",
];

const STATUSES: &[EnumVariant] = &{
    let mut all = [EnumVariant { name: "", doc: "" }; OperationStatus::ALL.len()];
    let mut index = 0;
    while index < all.len() {
        all[index].name = OperationStatus::ALL[index].as_str();
        index += 1;
    }
    all
};

const fn field(name: &'static str, place: Place, kind: Kind) -> Field {
    Field { name, place, kind, nullable: false, sortable: false }
}

impl Operations {
    /// Operations in `store`.
    pub const fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// The operation of that id; with `wait`, once it has ended or the time is over.
    ///
    /// # Errors
    /// `NotFound` also when the caller may not read the resource, `Unavailable`.
    ///
    /// # Cancellation
    /// It changes nothing, so it may be dropped at any time.
    pub async fn get(
        &self,
        context: &RequestContext,
        id: Uuid,
        wait: Duration,
    ) -> Result<OperationRecord, Error> {
        let until = Instant::now() + wait;
        let mut changes = self.store.changes();
        loop {
            let (record, _) = self.visible(context, id).await?;
            let left = until.saturating_duration_since(Instant::now());
            if record.status.is_end() || left.is_zero() {
                return Ok(record);
            }
            let hint = hint_for(&mut changes, record.instance_id);
            // The end of the wait for a hint means that it is time to look.
            let _ = timeout(left.min(LOOK), hint).await;
        }
    }

    /// A page of the operations on resources that the caller may read.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list(
        &self,
        context: &RequestContext,
        asked: Asked,
    ) -> Result<Listed<OperationRecord>, Error> {
        let mut visible: Vec<(Projects, Vec<_>)> = Vec::new();
        for registered in self.store.registry().types() {
            let ty = registered.ty;
            let sees = authorize(context, ty, Action::Read).sees().clone();
            match visible.iter_mut().find(|(projects, _)| *projects == sees) {
                Some((_, types)) => types.push((ty.slug, ty.plural)),
                None => visible.push((sees, vec![(ty.slug, ty.plural)])),
            }
        }
        let Asked { project, page } = asked;
        let limit = usize::from(page.limit);
        let mut items = self.store.operations(&OperationFilter { visible, project, page }).await?;
        let has_more = items.len() > limit;
        items.truncate(limit);
        Ok(Listed { items, has_more })
    }

    /// Ends an operation before its change is in force. The change stays, and nodes go on with it; nobody waits.
    /// Cancelling a cancelled one changes nothing. A dry run changes nothing either way, and answers what would be.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden` without the permission to run the action, `InvalidState` when it has ended otherwise.
    pub async fn cancel(
        &self,
        context: &RequestContext,
        id: Uuid,
        effect: Effect,
    ) -> Result<OperationRecord, Error> {
        let (record, registered) = self.visible(context, id).await?;
        let verb = registered.action(&record.action).map_or(Action::Update, |one| Action::Custom(one.verb));
        authorize(context, registered.ty, verb).in_project(record.project_id)?;
        if !record.status.is_end() {
            if effect == Effect::DryRun {
                return Ok(OperationRecord { status: OperationStatus::Cancelled, ..record });
            }
            self.store.cancel_operation(&record).await?;
        }
        let (record, _) = self.visible(context, id).await?;
        match record.status {
            OperationStatus::Cancelled => Ok(record),
            status => Err(Error::new(
                ErrorCode::InvalidState,
                format!("operation {id} has ended already; it is {}", status.as_str()),
            )
            .with("operation_status", status.as_str())),
        }
    }

    /// The operation, when the caller may read the resource that it is about.
    async fn visible(
        &self,
        context: &RequestContext,
        id: Uuid,
    ) -> Result<(OperationRecord, &RegisteredType), Error> {
        let missing = || Error::not_found(format_args!("operation {id}"));
        let record = self.store.operation(id).await?.ok_or_else(missing)?;
        let registered = self.store.registry().find(&record.slug, &record.plural).ok_or_else(missing)?;
        if authorize(context, registered.ty, Action::Read).sees().contains(record.project_id) {
            Ok((record, registered))
        } else {
            Err(missing())
        }
    }
}

/// Resolves when something of `instance` changed, or may have.
async fn hint_for(changes: &mut broadcast::Receiver<Uuid>, instance: Uuid) {
    loop {
        match changes.recv().await {
            Ok(changed) if changed != instance => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
