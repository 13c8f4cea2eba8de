//! Makes a node serve its site: one file that says what, one service that reads it.

use std::collections::BTreeMap;

use metapaas_core::agent::{
    Applied, BoxFuture, Driver, DriverError, Health, HealthReport, ItemError, NodeContext, NodeDocument,
    ServiceSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a node serves: the plan writes it, `site.json` holds it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Site {
    pub(crate) greeting: String,
    pub(crate) theme: String,
    /// Rises when the service has to restart.
    #[serde(default)]
    pub(crate) restarts: Option<u32>,
    pub(crate) pages: BTreeMap<String, String>,
    /// The digest of the document that it came with; the service answers it, so that health is that of this document.
    #[serde(default)]
    pub(crate) digest: String,
}

#[derive(Default)]
pub(crate) struct Website {
    digest: String,
}

impl Driver for Website {
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        document: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            let mut site = Site::deserialize(&document.config)
                .map_err(|error| DriverError::Document(format!("no site: {error}")))?;
            (self.digest, site.digest) = (document.digest.clone(), document.digest.clone());
            let refused = site.pages.remove("health").map(|_| ItemError {
                item: "pages/health".to_owned(),
                code: "RESERVED_PATH".to_owned(),
                message: "/health tells the platform how the site is; choose another path".to_owned(),
            });
            node.write_file("site.json", json!(site).to_string(), 0o600).await?;
            let address = node.socket_address().to_string();
            let service = ServiceSpec::engine("web", "demo-web").arguments([&address, "site.json"]);
            let restarts = site.restarts.map_or_else(String::new, |restarts| restarts.to_string());
            node.ensure_service(&service.restart_on(restarts)).await?;
            Ok(Applied { errors: refused.into_iter().collect() })
        })
    }

    fn health<'a>(&'a mut self, node: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(async move {
            let (health, message) = match node.http_get("/health").await {
                Ok(answer) if answer.body == self.digest.as_bytes() => (Health::Healthy, String::new()),
                Ok(_) => (Health::Unhealthy, "the site is not served as asked yet".to_owned()),
                Err(error) => (Health::Unhealthy, format!("the site does not answer: {error}")),
            };
            HealthReport { health, message }
        })
    }
}
