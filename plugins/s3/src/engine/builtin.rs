//! `builtin`: the server in `dp/s3d`. It reads one document and follows each change of it without a restart.

use std::io;
use std::time::Duration;

use metapaas_core::agent::{Applied, BoxFuture, DriverError, ItemError, NodeContext, ServiceSpec};
use metapaas_s3d::document::Usage;
use serde_json::json;

use super::{Engine, Feature};
use crate::plan::Wanted;
use crate::settings::EngineName;

/// How often and how long the server is asked whether buckets are gone.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(100);

pub(crate) struct Builtin;

impl Engine for Builtin {
    fn name(&self) -> EngineName {
        EngineName::Builtin
    }

    fn versions(&self) -> &'static [&'static str] {
        &[env!("CARGO_PKG_VERSION")]
    }

    fn can(&self, _: Feature) -> bool {
        true
    }

    fn apply<'a>(
        &'a self,
        node: &'a NodeContext,
        wanted: &'a Wanted,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            node.make_directory("data").await?;
            node.write_file("s3.json", json!(wanted.document).to_string(), 0o600).await?;
            let address = node.socket_address().to_string();
            let service = ServiceSpec::engine("s3", "s3d").arguments([&address, "s3.json", "data"]);
            let restarts = wanted.restarts.map_or_else(String::new, |restarts| restarts.to_string());
            node.ensure_service(&service.restart_on(restarts)).await?;
            let left = left(node, wanted).await;
            left.map(|errors| Applied { errors }).map_err(|source| DriverError::Effect {
                action: format!("let go of the buckets {}", wanted.leaving.join(", ")),
                source,
            })
        })
    }

    fn check<'a>(&'a self, node: &'a NodeContext, wanted: &'a Wanted) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            match node.http_get("/health").await? {
                answer if answer.body == wanted.document.digest.as_bytes() => Ok(()),
                _ => Err(io::Error::other("the server does not follow its document yet")),
            }
        })
    }

    fn usage<'a>(&'a self, node: &'a NodeContext, wanted: &'a Wanted) -> BoxFuture<'a, io::Result<Usage>> {
        Box::pin(async move {
            let request =
                node.request(reqwest::Method::GET, "/usage").bearer_auth(&wanted.document.usage_token);
            let answer = request.send().await.and_then(reqwest::Response::error_for_status);
            let bytes = answer.map_err(io::Error::other)?.bytes().await.map_err(io::Error::other)?;
            serde_json::from_slice(&bytes).map_err(io::Error::other)
        })
    }
}

/// Waits until the buckets that are to go have gone, or the server has said why one stays.
async fn left(node: &NodeContext, wanted: &Wanted) -> io::Result<Vec<ItemError>> {
    if wanted.leaving.is_empty() {
        return Ok(Vec::new());
    }
    let mut why = io::Error::other("they are being removed");
    for _ in 0..LOOKS {
        let found = async {
            Builtin.check(node, wanted).await?;
            Builtin.usage(node, wanted).await
        };
        match found.await {
            Ok(usage) => {
                let there = wanted.leaving.iter().filter_map(|name| Some((name, usage.buckets.get(name)?)));
                let held: Vec<_> = there.collect();
                if held.iter().all(|(_, bucket)| bucket.error.is_some()) {
                    return Ok(held
                        .into_iter()
                        .map(|(name, bucket)| refusal(name, bucket.objects))
                        .collect());
                }
            }
            Err(error) => why = error,
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(why)
}

fn refusal(name: &str, objects: u64) -> ItemError {
    ItemError {
        item: format!("buckets/{name}"),
        code: "BUCKET_NOT_EMPTY".to_owned(),
        message: format!(
            "objects were written while it was deleted: it holds {objects}, which are kept; delete it once more with \
             ?force=true to delete them too"
        ),
    }
}
