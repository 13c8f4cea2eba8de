//! What nodes a site has, and what each of them is told: the whole site.

use std::collections::BTreeMap;

use metapaas_core::{Desired, FieldEnum, NodeSpec, PlanError};
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
