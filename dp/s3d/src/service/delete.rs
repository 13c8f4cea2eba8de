//! Objects and versions are deleted.

use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request};

use super::Service;
use super::conditions::Conditions;
use crate::access::Caller;
use crate::fault::{Fault, refuse};
use crate::mfa;
use crate::store::{Record, Removal, Versioning, millis};

/// Keys in one request.
const MOST: usize = 1000;

/// What a client expects of the object that it deletes.
struct Expected {
    matches: Option<ETagCondition>,
    size: Option<i64>,
    modified: Option<Timestamp>,
}

impl Expected {
    fn check(&self, record: Option<&Record>) -> Result<(), Fault> {
        let conditions = Conditions { matches: self.matches.clone(), ..Conditions::default() };
        conditions.check_write(record)?;
        let Some(record) = record else { return Ok(()) };
        let is_other_size = self.size.is_some_and(|size| u64::try_from(size) != Ok(record.size));
        let date = |modified: &Timestamp| millis(modified.clone()) / 1000;
        if is_other_size
            || self.modified.as_ref().is_some_and(|modified| date(modified) != record.modified / 1000)
        {
            return Err(S3ErrorCode::PreconditionFailed.into());
        }
        Ok(())
    }
}

pub(super) async fn one(
    service: &Service,
    request: S3Request<DeleteObjectInput>,
) -> Result<DeleteObjectOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let versioning = service.versioning(&caller, &input.bucket)?;
    if input.version_id.is_some() && versioning != Versioning::Off {
        service.check_mfa(&caller, input.mfa.as_deref())?;
    }
    let bypass = service.bypasses(&caller, input.bypass_governance_retention, &input.bucket, &input.key)?;
    let expected = Expected {
        matches: input.if_match,
        size: input.if_match_size,
        modified: input.if_match_last_modified_time,
    };
    let condition = Box::new(move |record: Option<&Record>| expected.check(record));
    let (bucket, key, version) = (input.bucket, input.key, input.version_id);
    let removal = Removal { bucket, key, version, versioning, bypass, condition };
    let removed = service.app.store.write(vec![], move |tables| tables.remove(removal)).await?;
    let delete_marker = removed.is_marker.then_some(true);
    Ok(DeleteObjectOutput { delete_marker, version_id: removed.version, request_charged: None })
}

pub(super) async fn many(
    service: &Service,
    request: S3Request<DeleteObjectsInput>,
) -> Result<DeleteObjectsOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let versioning = service.versioning(&caller, &input.bucket)?;
    let (objects, is_quiet) = (input.delete.objects, input.delete.quiet.unwrap_or(false));
    if objects.is_empty() || objects.len() > MOST {
        return Err(refuse(S3ErrorCode::MalformedXML, "A request deletes 1 to 1000 objects"));
    }
    if objects.iter().any(|object| object.version_id.is_some()) && versioning != Versioning::Off {
        service.check_mfa(&caller, input.mfa.as_deref())?;
    }
    let (mut removals, mut errors) = (vec![], vec![]);
    for object in objects {
        let action = if object.version_id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
        let (key, version) = (object.key, object.version_id);
        let allowed = service.access.allow(&caller, action, &input.bucket, Some(&key), version.as_deref());
        let bypass = allowed
            .map_err(Fault::from)
            .and_then(|()| service.bypasses(&caller, input.bypass_governance_retention, &input.bucket, &key));
        match bypass {
            Ok(bypass) => {
                let expected = Expected {
                    matches: object.e_tag.map(ETagCondition::ETag),
                    size: object.size,
                    modified: None,
                };
                let condition = Box::new(move |record: Option<&Record>| expected.check(record));
                let bucket = input.bucket.clone();
                removals.push(Removal { bucket, key, version, versioning, bypass, condition });
            }
            Err(fault) => errors.push(error(key, version, fault)),
        }
    }
    let removed = service.app.store.write(vec![], move |tables| {
        let mut outcomes = vec![];
        for removal in removals {
            let (key, version) = (removal.key.clone(), removal.version.clone());
            match tables.remove(removal) {
                Ok(removed) => outcomes.push((key, version, Ok(removed))),
                Err(Fault::S3(refusal)) => outcomes.push((key, version, Err(refusal))),
                Err(fault) => return Err(fault),
            }
        }
        Ok(outcomes)
    });
    let mut deleted = vec![];
    for (key, version_id, outcome) in removed.await? {
        match outcome {
            Ok(removed) => deleted.push(DeletedObject {
                key: Some(key),
                delete_marker: removed.is_marker.then_some(true),
                delete_marker_version_id: removed.version.filter(|_| removed.is_marker),
                version_id,
            }),
            Err(refusal) => errors.push(error(key, version_id, refusal.into())),
        }
    }
    let deleted = (!is_quiet).then_some(deleted);
    Ok(DeleteObjectsOutput { deleted, errors: Some(errors), request_charged: None })
}

fn error(key: String, version_id: Option<String>, fault: Fault) -> Error {
    let error = S3Error::from(fault);
    let message = error.message().map(str::to_owned);
    Error { code: Some(error.code().as_str().to_owned()), key: Some(key), message, version_id }
}

impl Service {
    pub(super) fn versioning(&self, caller: &Caller, bucket: &str) -> Result<Versioning, Fault> {
        let row = self.app.store.read(|reading| self.row(&caller.live, reading, bucket))?;
        Ok(caller.live.bucket(bucket)?.versions(&row))
    }

    /// Asks for a one-time password where versions may only be deleted with one.
    fn check_mfa(&self, caller: &Caller, header: Option<&str>) -> Result<(), Fault> {
        match &caller.live.document.mfa_secret {
            Some(secret) if !mfa::accepts(secret, header, &self.app.last_step) => Err(refuse(
                S3ErrorCode::AccessDenied,
                "Versions are deleted with x-amz-mfa: SERIAL CODE, and each code is good for one request",
            )),
            _ => Ok(()),
        }
    }
}
