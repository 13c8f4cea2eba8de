//! Rows that plans ask for: made once and removed, by the platform itself.

use serde_json::{Map, Value};

use super::Reconciler;
use super::summary::{self, Obstacle};
use crate::authz::authorize;
use crate::descriptor::Action;
use crate::error::ErrorCode;
use crate::plan::NewRow;
use crate::registry::RegisteredType;
use crate::request::RequestContext;
use crate::resource::{Datum, NewResource, Resource};
use crate::store::{Claim, StoreError, WriteOptions};

/// What came of rows that a plan asked for.
pub(super) enum Made {
    /// All were there.
    Nothing,
    /// At least one was made.
    Some,
    /// One cannot be made now.
    Hindered(Obstacle),
}

impl Reconciler {
    /// Makes those of `rows` whose keys are not among `children`.
    pub(super) async fn make_rows(
        &self,
        claim: &Claim,
        root: &RegisteredType,
        instance: &Resource,
        children: &[Vec<Resource>],
        rows: &[NewRow],
    ) -> Result<Made, StoreError> {
        let mut made = Made::Nothing;
        for row in rows {
            let Some(registered) = self.store.registry().of(row.ty) else { continue };
            if !registered.is_managed || registered.parent != Some(root.index) {
                let message = format!("the plan makes {}, which is no managed child of it", row.ty.name);
                return Ok(Made::Hindered(Obstacle::Terminal { reason: "Bug", message }));
            }
            let key = registered.ty.key_name().unwrap_or_default();
            let is_it = |other: &&Resource| {
                std::ptr::eq(other.ty, registered.ty)
                    && other.field(key).map(Datum::to_json).as_ref() == row.spec.get(key)
            };
            if children.iter().flatten().find(is_it).is_some() {
                continue;
            }
            let new = new_resource(instance, row);
            // A control plane that was overtaken would make rows for a state that is past.
            if !self.store.holds_work(claim).await? {
                return Ok(Made::Some);
            }
            let allowed = authorize(&RequestContext::system("reconcile"), registered.ty, Action::Create);
            let written =
                self.store.create(&allowed, registered, Some(instance), new, &WriteOptions::PLAIN).await;
            match written {
                Ok(_) => made = Made::Some,
                // Another control plane was faster, or the instance is going: the next pass sees it.
                Err(error) if matches!(error.code, ErrorCode::NameTaken | ErrorCode::InvalidState) => {
                    made = Made::Some;
                }
                Err(error) => return Ok(Made::Hindered(Obstacle::Transient(error.to_string()))),
            }
        }
        Ok(made)
    }

    /// Lets go of those of `children` that are `gone`. One that cannot go now stays until the plan names it again.
    pub(super) async fn drop_rows(
        &self,
        claim: &Claim,
        root: &RegisteredType,
        children: &[Vec<Resource>],
        gone: &[String],
    ) -> Result<(), StoreError> {
        let is_gone = |row: &&Resource| !row.is_deleting() && gone.contains(&summary::item(row));
        for row in children.iter().flatten().filter(is_gone) {
            let registered = self.store.registry().of(row.ty);
            let managed = registered.filter(|one| one.is_managed && one.parent == Some(root.index));
            let Some(registered) = managed else { continue };
            if !self.store.holds_work(claim).await? {
                return Ok(());
            }
            let allowed = authorize(&RequestContext::system("reconcile"), registered.ty, Action::Delete);
            if let Err(error) = self.store.delete(&allowed, registered, row, &WriteOptions::PLAIN).await {
                tracing::info!(row = %row.meta.id, %error, "a row that its plan gave up stays for now");
            }
        }
        Ok(())
    }
}

fn new_resource(instance: &Resource, row: &NewRow) -> NewResource {
    let fields = row.ty.fields.iter();
    NewResource {
        project_id: instance.meta.project_id,
        name: None,
        description: String::new(),
        version: String::new(),
        deletion_protection: false,
        labels: Value::Object(Map::new()),
        fields: fields.map(|field| row.spec.get(field.name).cloned().unwrap_or_default()).collect(),
        generated: Vec::new(),
    }
}
