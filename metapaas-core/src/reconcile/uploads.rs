//! Uploads of an instance in a pass: which there are, which its plan needs, which go.

use chrono::{DateTime, Utc};

use super::Reconciler;
use crate::registry::RegisteredType;
use crate::resource::Resource;
use crate::store::{Claim, StoreError, Upload, now};

/// Who sends a file says only then what it is for.
const GRACE: chrono::Duration = chrono::Duration::hours(1);

impl Reconciler {
    /// The uploads of an instance whose type takes them.
    pub(super) async fn uploads(
        &self,
        root: &RegisteredType,
        instance: &Resource,
    ) -> Result<Vec<Upload>, StoreError> {
        if root.takes_uploads { self.store.uploads(instance.meta.id).await } else { Ok(Vec::new()) }
    }

    /// Notes which are needed and forgets the others once they have had their time; answers when the next one has.
    pub(super) async fn keep_uploads(
        &self,
        claim: &Claim,
        uploads: &[Upload],
        needed: &[String],
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let before = now() - GRACE;
        let mut next = None;
        for upload in uploads {
            let is_needed = needed.contains(&upload.digest);
            if is_needed != upload.is_needed {
                self.store.set_upload_needed(claim, upload, is_needed).await?;
            }
            match is_needed {
                true => {}
                false if upload.created_at <= before => self.store.drop_upload(claim, upload, before).await?,
                false => next = next.into_iter().chain([upload.created_at + GRACE]).min(),
            }
        }
        Ok(next)
    }
}
