//! Makes a node speak S3, by the engine that its instance has chosen.

use std::collections::BTreeMap;
use std::io;

use metapaas_core::agent::{
    Applied, BoxFuture, Driver, DriverError, Health, HealthReport, NodeContext, NodeDocument,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine;
use crate::plan::Wanted;
use crate::sign;

#[derive(Default)]
pub(crate) struct Storage {
    wanted: Option<Wanted>,
    /// Whether the server has answered a signed request since it was last changed. One is enough: they count as usage.
    is_tried: bool,
}

impl Driver for Storage {
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        document: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            let mut wanted = Wanted::deserialize(&document.config)
                .map_err(|error| DriverError::Document(format!("no S3 instance: {error}")))?;
            wanted.document.digest.clone_from(&document.digest);
            self.is_tried = false;
            let wanted = self.wanted.insert(wanted);
            engine::of(&wanted.version).apply(node, wanted).await
        })
    }

    fn health<'a>(&'a mut self, node: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(async move {
            match self.look(node).await {
                Ok(()) => HealthReport { health: Health::Healthy, message: String::new() },
                Err(error) => HealthReport { health: Health::Unhealthy, message: format!("S3: {error}") },
            }
        })
    }

    fn observe<'a>(&'a mut self, node: &'a NodeContext) -> BoxFuture<'a, BTreeMap<String, Value>> {
        Box::pin(async move {
            let Some(wanted) = &self.wanted else { return BTreeMap::new() };
            let Ok(usage) = engine::of(&wanted.version).usage(node, wanted).await else {
                return BTreeMap::new();
            };
            let totals = [("objects", usage.objects), ("bytes", usage.bytes), ("requests", usage.requests)];
            // There is a request in any case, the one that tried it out: none means that nobody counts.
            let totals = totals.into_iter().filter(|(name, value)| *name != "requests" || *value > 0);
            let totals = totals.map(|(name, value)| (name.to_owned(), json!(value)));
            let buckets = usage.buckets.iter().map(|(name, bucket)| {
                (format!("buckets/{name}"), json!({ "objects": bucket.objects, "bytes": bucket.bytes }))
            });
            totals.chain(buckets).collect()
        })
    }
}

impl Storage {
    async fn look(&mut self, node: &NodeContext) -> io::Result<()> {
        let Some(wanted) = &self.wanted else { return Err(io::Error::other("nothing is wanted yet")) };
        engine::of(&wanted.version).check(node, wanted).await?;
        if !self.is_tried {
            sign::try_out(node, wanted).await?;
            self.is_tried = true;
        }
        Ok(())
    }
}
