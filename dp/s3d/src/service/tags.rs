//! Tags of objects.

use s3s::S3Request;
use s3s::dto::*;

use super::Service;
use crate::access::Caller;
use crate::fault::Fault;
use crate::store::{Record, check_tags};

pub(super) async fn get(
    service: &Service,
    request: S3Request<GetObjectTaggingInput>,
) -> Result<GetObjectTaggingOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let record = service.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?.record;
    let tag = |(key, value)| Tag { key: Some(key), value: Some(value) };
    Ok(GetObjectTaggingOutput {
        tag_set: record.traits.tags.into_iter().map(tag).collect(),
        version_id: record.version,
    })
}

pub(super) async fn put(
    service: &Service,
    request: S3Request<PutObjectTaggingInput>,
) -> Result<PutObjectTaggingOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let tags = input.tagging.tag_set.into_iter();
    let tags: Vec<_> = tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect();
    let tags = check_tags(&tags)?;
    let action =
        if input.version_id.is_some() { "s3:PutObjectVersionTagging" } else { "s3:PutObjectTagging" };
    let caller = caller.with_tags(&tags);
    service.access.allow(&caller, action, &input.bucket, Some(&input.key), input.version_id.as_deref())?;
    let record = service.set_tags(&caller, input.bucket, input.key, input.version_id, tags).await?;
    Ok(PutObjectTaggingOutput { version_id: record.version })
}

pub(super) async fn delete(
    service: &Service,
    request: S3Request<DeleteObjectTaggingInput>,
) -> Result<DeleteObjectTaggingOutput, Fault> {
    let caller = Caller::of(&request)?;
    let input = request.input;
    let none = std::collections::BTreeMap::new();
    let record = service.set_tags(&caller, input.bucket, input.key, input.version_id, none).await?;
    Ok(DeleteObjectTaggingOutput { version_id: record.version })
}

impl Service {
    async fn set_tags(
        &self,
        caller: &Caller,
        bucket: String,
        key: String,
        version: Option<String>,
        tags: std::collections::BTreeMap<String, String>,
    ) -> Result<Record, Fault> {
        caller.live.bucket(&bucket)?;
        let change = move |record: &mut Record| {
            record.traits.tags = tags;
            Ok(())
        };
        let update = move |tables: &mut crate::store::Tables<'_>| {
            tables.update(&bucket, &key, version.as_deref(), change)
        };
        self.app.store.write(vec![], update).await
    }
}
