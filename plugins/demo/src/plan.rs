//! What nodes a site has, what each of them is told (the whole site), and under which name the site is reached.

use std::collections::BTreeMap;

use metapaas_core::route::serving;
use metapaas_core::{Desired, FieldEnum, NodeSpec, ObservedNode, PlanError, Route};
use serde_json::json;

use crate::types::{Demo, Page};

/// `replicas` like nodes.
pub(crate) fn nodes(demo: &Desired<Demo>) -> Result<Vec<NodeSpec>, PlanError> {
    let pages = demo.children::<Page>()?.into_iter().map(|page| (page.spec.path, page.spec.text));
    let config = json!({
        "greeting": demo.spec.greeting,
        "theme": demo.spec.theme.name(),
        "restarts": demo.spec.restarts,
        "pages": pages.collect::<BTreeMap<_, _>>(),
    });
    Ok(NodeSpec::replicas(demo.spec.replicas, "web", 8080, &config))
}

/// `http://<name>-demo.<base domain>` leads to all nodes that serve. The suffix leaves plain names to apps.
pub(crate) fn routes(demo: &Desired<Demo>, nodes: &[ObservedNode]) -> Vec<Route> {
    vec![Route::new("web").label(format!("{}-demo", demo.meta.key)).backends(serving(nodes))]
}
