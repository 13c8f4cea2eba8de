//! The test kit finds drivers that break their contract, and only those.

use libtest_mimic::Trial;
use metapaas_agent::testkit::{Finding, check_driver};
use metapaas_agent::{
    Applied, BoxFuture, Driver, DriverError, Health, HealthReport, NodeContext, NodeDocument, ServiceSpec,
};
use serde_json::json;

use crate::program::Web;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a good driver passes", good),
        trial("a driver that writes again and again is found", restless),
        trial("a driver that relies on an unbroken run is found", forgetful),
    ]
}

fn documents() -> Vec<NodeDocument> {
    let document = |generation, config, removing| NodeDocument {
        protocol: 1,
        node_id: uuid::Uuid::from_u128(1),
        type_slug: "web".to_owned(),
        place: "web-0".to_owned(),
        address: [127, 64, 0, 1].into(),
        port: 8080,
        generation,
        digest: String::new(),
        removing,
        config,
        endpoints: Vec::new(),
    };
    vec![
        document(1, json!({ "greeting": "hello" }), false),
        document(2, json!({ "greeting": "bye", "restart_on": "x" }), false),
        document(3, json!({}), true),
    ]
}

async fn good() {
    check_driver(|| Box::new(Web), &documents()).await.unwrap();
}

async fn restless() {
    let found = check_driver(|| Box::new(Bad::Restless), &documents()).await;
    assert!(matches!(found, Err(Finding::NotIdempotent { .. })), "{found:?}");
}

async fn forgetful() {
    let found = check_driver(|| Box::new(Bad::Forgetful), &documents()).await;
    assert!(matches!(found, Err(Finding::NotConverging { .. })), "{found:?}");
}

enum Bad {
    /// Does an effect without looking whether it is needed.
    Restless,
    /// Starts its service only if its file changed just now.
    Forgetful,
}

impl Driver for Bad {
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        document: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            let changed = node.write_file("config", document.config.to_string(), 0o600).await?;
            match self {
                Self::Restless => node.effect("call the service", async { Ok(()) }).await?,
                Self::Forgetful if changed => {
                    let service =
                        ServiceSpec::program("web", "sleep").restart_on(document.config.to_string());
                    node.ensure_service(&service).await?;
                }
                Self::Forgetful => {}
            }
            Ok(Applied::default())
        })
    }

    fn health<'a>(&'a mut self, _: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(async { HealthReport { health: Health::Healthy, message: String::new() } })
    }
}
