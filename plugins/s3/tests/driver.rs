//! The driver, held to its contract by the test kit.

use libtest_mimic::Trial;
use metapaas_agent::NodeDocument;
use metapaas_agent::testkit::check_driver;
use metapaas_core::registry::Registry;
use metapaas_plugin_s3::plugin;
use metapaas_protocol::PROTOCOL_VERSION;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("the driver keeps its contract", contract)]
}

async fn contract() {
    let documents = [
        document(1, config(None)),
        document(2, config(Some(1))),
        NodeDocument { removing: true, ..document(3, json!({})) },
    ];
    let driver = Registry::new(vec![plugin()]).unwrap().driver("s3").unwrap();
    check_driver(driver, &documents).await.unwrap();
}

fn config(restarts: Option<u32>) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "restarts": restarts,
        "leaving": [],
        "document": {
            "digest": "", "encryption": "none", "instance_key": "", "usage_token": "t", "disk_bytes": 1, "buckets": {},
        },
    })
}

fn document(generation: i64, config: Value) -> NodeDocument {
    NodeDocument {
        protocol: PROTOCOL_VERSION,
        node_id: Uuid::from_u128(1),
        type_slug: "s3".to_owned(),
        place: "s3-0".to_owned(),
        address: [127, 0, 0, 1].into(),
        port: 9,
        generation,
        digest: format!("digest-{generation}"),
        removing: false,
        config,
        endpoints: Vec::new(),
    }
}
