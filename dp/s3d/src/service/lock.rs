//! Object lock: retention and legal holds.

use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request};

use super::Service;
use super::buckets::mode as mode_name;
use crate::access::Caller;
use crate::document::{Bucket, RetentionMode};
use crate::fault::{Fault, refuse};
use crate::store::{Hold, millis, now, timestamp};

const DAY: i64 = 24 * 3600 * 1000;

/// How a new object is to be locked.
pub(super) struct Wish {
    pub(super) mode: Option<ObjectLockMode>,
    pub(super) until: Option<Timestamp>,
    pub(super) legal_hold: Option<ObjectLockLegalHoldStatus>,
}

impl Wish {
    /// The retention and the legal hold of a new object: those that are asked for, or what the bucket says.
    pub(super) fn hold(self, bucket: &Bucket) -> Result<(Option<Hold>, bool), Fault> {
        let is_asked = self.mode.is_some() || self.until.is_some() || self.legal_hold.is_some();
        if is_asked {
            check_bucket(bucket)?;
        }
        let retention = match (self.mode, self.until) {
            (Some(mode), Some(until)) => Some(hold(mode.as_str(), until)?),
            (None, None) => bucket
                .retention
                .filter(|_| bucket.object_lock)
                .map(|default| Hold { mode: default.mode, until: now() + i64::from(default.days) * DAY }),
            _ => return Err(refuse(S3ErrorCode::InvalidArgument, "A retention has a mode and a date")),
        };
        Ok((
            retention,
            self.legal_hold.is_some_and(|status| status.as_str() == ObjectLockLegalHoldStatus::ON),
        ))
    }
}

/// As objects have it.
pub(super) fn mode(mode: RetentionMode) -> ObjectLockMode {
    ObjectLockMode::from(mode_name(mode).as_str().to_owned())
}

fn check_bucket(bucket: &Bucket) -> Result<(), Fault> {
    if !bucket.object_lock {
        return Err(refuse(S3ErrorCode::InvalidRequest, "Bucket is missing Object Lock Configuration"));
    }
    Ok(())
}

fn hold(mode: &str, until: Timestamp) -> Result<Hold, Fault> {
    let mode = match mode {
        ObjectLockMode::GOVERNANCE => RetentionMode::Governance,
        ObjectLockMode::COMPLIANCE => RetentionMode::Compliance,
        _ => return Err(refuse(S3ErrorCode::MalformedXML, "The mode is neither GOVERNANCE nor COMPLIANCE")),
    };
    let until = millis(until);
    if until <= now() {
        return Err(refuse(S3ErrorCode::InvalidArgument, "The retain until date must be in the future!"));
    }
    Ok(Hold { mode, until })
}

pub(super) async fn retention(
    service: &Service,
    request: S3Request<GetObjectRetentionInput>,
) -> Result<GetObjectRetentionOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    check_bucket(caller.live.bucket(&input.bucket)?)?;
    let record = service.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?.record;
    let hold = record.traits.retention.ok_or(S3ErrorCode::NoSuchObjectLockConfiguration)?;
    let retention = ObjectLockRetention {
        mode: Some(mode_name(hold.mode)),
        retain_until_date: Some(timestamp(hold.until)),
    };
    Ok(GetObjectRetentionOutput { retention: Some(retention) })
}

pub(super) async fn set_retention(
    service: &Service,
    request: S3Request<PutObjectRetentionInput>,
) -> Result<PutObjectRetentionOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    check_bucket(caller.live.bucket(&input.bucket)?)?;
    let wanted = match input.retention.map(|retention| (retention.mode, retention.retain_until_date)) {
        Some((Some(mode), Some(until))) => Some(hold(mode.as_str(), until)?),
        None | Some((None, None)) => None,
        Some(_) => return Err(refuse(S3ErrorCode::MalformedXML, "A retention has a mode and a date")),
    };
    let bypass = service.bypasses(&caller, input.bypass_governance_retention, &input.bucket, &input.key)?;
    let (bucket, key, version) = (input.bucket, input.key, input.version_id);
    let change = move |record: &mut crate::store::Record| {
        let is_weaker = |hold: Hold| {
            let is_shorter = wanted.is_none_or(|wanted| wanted.until < hold.until);
            is_shorter
                || (hold.mode == RetentionMode::Compliance
                    && wanted.is_some_and(|wanted| wanted.mode != hold.mode))
        };
        if record.traits.retention.is_some_and(|hold| hold.holds(bypass) && is_weaker(hold)) {
            return Err(refuse(
                S3ErrorCode::AccessDenied,
                "The version is locked and its retention cannot be weakened",
            ));
        }
        record.traits.retention = wanted;
        Ok(())
    };
    let update =
        move |tables: &mut crate::store::Tables<'_>| tables.update(&bucket, &key, version.as_deref(), change);
    service.app.store.write(vec![], update).await?;
    Ok(PutObjectRetentionOutput::default())
}

pub(super) async fn legal_hold(
    service: &Service,
    request: S3Request<GetObjectLegalHoldInput>,
) -> Result<GetObjectLegalHoldOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    check_bucket(caller.live.bucket(&input.bucket)?)?;
    let record = service.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?.record;
    let status =
        if record.traits.legal_hold { ObjectLockLegalHoldStatus::ON } else { ObjectLockLegalHoldStatus::OFF };
    let hold = ObjectLockLegalHold { status: Some(ObjectLockLegalHoldStatus::from_static(status)) };
    Ok(GetObjectLegalHoldOutput { legal_hold: Some(hold) })
}

pub(super) async fn set_legal_hold(
    service: &Service,
    request: S3Request<PutObjectLegalHoldInput>,
) -> Result<PutObjectLegalHoldOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    check_bucket(caller.live.bucket(&input.bucket)?)?;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let is_on = match status.as_ref().map(ObjectLockLegalHoldStatus::as_str) {
        Some(ObjectLockLegalHoldStatus::ON) => true,
        Some(ObjectLockLegalHoldStatus::OFF) => false,
        _ => return Err(refuse(S3ErrorCode::MalformedXML, "The status is neither ON nor OFF")),
    };
    let (bucket, key, version) = (input.bucket, input.key, input.version_id);
    let change = move |record: &mut crate::store::Record| {
        record.traits.legal_hold = is_on;
        Ok(())
    };
    let update =
        move |tables: &mut crate::store::Tables<'_>| tables.update(&bucket, &key, version.as_deref(), change);
    service.app.store.write(vec![], update).await?;
    Ok(PutObjectLegalHoldOutput::default())
}

impl Service {
    /// Whether a governance retention is to be passed over, by somebody who may do so.
    pub(super) fn bypasses(
        &self,
        caller: &Caller,
        is_asked: Option<bool>,
        bucket: &str,
        key: &str,
    ) -> Result<bool, Fault> {
        if is_asked != Some(true) || !caller.live.bucket(bucket)?.object_lock {
            return Ok(false);
        }
        self.access.allow(caller, "s3:BypassGovernanceRetention", bucket, Some(key), None)?;
        Ok(true)
    }
}
