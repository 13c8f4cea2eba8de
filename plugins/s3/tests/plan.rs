//! What the node of an instance is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::DateTime;
use libtest_mimic::Trial;
use metapaas_core::plan::{DesiredMeta, DesiredRow, DesiredTree};
use metapaas_core::registry::Registry;
use metapaas_core::{Bound, Denial, NodeSpec, ObservedNode, PaasType, Secret};
use metapaas_plugin_s3::{AccessKey, Bucket, Policy, S3Instance, User, UserPolicy, plugin};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an instance without rows below it", async || {
            let [node] = plan(json!({}), Tree::default());
            assert_eq!((node.place.as_str(), node.port), ("s3-0", 9000));
            assert_eq!(
                node.resources,
                BTreeMap::from([("cpu".into(), json!(2)), ("memory_mb".into(), json!(512))])
            );
            let document = &node.config["document"];
            let own = json!({ "versioning": true, "quota_bytes": 0, "public": false, "object_lock": false, "retention": null });
            assert_eq!(document["buckets"], json!({ "data": own }));
            assert_eq!(document["encryption"], "aes256");
            assert_eq!(document["disk_bytes"], 5_u64 << 30);
            assert_eq!(document["mfa_secret"], Value::Null);
            let root = json!({ "root": true, "policies": [], "access_keys": { "ROOT": { "secret": "root secret", "enabled": true } } });
            assert_eq!(document["users"], json!({ "(root)": root }));
        }),
        trial("users have the keys and the policies below them", async || {
            let (alice, bob) = (Uuid::from_u128(10), Uuid::from_u128(11));
            let document = json!({ "Version": "2012-10-17", "Statement": [] });
            let tree = Tree::default()
                .with::<User>(alice, json!({ "name": "alice" }))
                .with::<User>(bob, json!({ "name": "bob" }))
                .below::<AccessKey>(
                    alice,
                    json!({ "access_key_id": "A1", "secret_access_key": "s", "enabled": false }),
                )
                .with::<Policy>(Uuid::from_u128(12), json!({ "name": "read", "document": document }))
                .below::<UserPolicy>(bob, json!({ "name": "read" }));
            let [node] = plan(json!({}), tree);
            let users = &node.config["document"]["users"];
            assert_eq!(users["alice"]["access_keys"], json!({ "A1": { "secret": "s", "enabled": false } }));
            assert_eq!(users["bob"], json!({ "root": false, "policies": ["read"], "access_keys": {} }));
            assert_eq!(node.config["document"]["policies"], json!({ "read": document }));
        }),
        trial("a bucket that leaves is purged only by force", async || {
            let bucket = |name: &str, purge: Option<bool>| json!({ "name": name, "versioning": false, "quota_bytes": 0, "public": false, "object_lock": false, "purge": purge });
            let tree = Tree::default()
                .with::<Bucket>(
                    Uuid::from_u128(20),
                    json!({ "name": "kept", "versioning": true, "quota_bytes": 7, "public": true, "object_lock": true,
                            "retention_mode": "governance", "retention_days": 3 }),
                )
                .leaving::<Bucket>(bucket("asked", None))
                .leaving::<Bucket>(bucket("forced", Some(true)));
            let [node] = plan(json!({ "mfa_delete": true, "mfa_secret": "ABCDEFGHIJKLMNOP" }), tree);
            let document = &node.config["document"];
            assert_eq!(node.config["leaving"], json!(["asked", "forced"]));
            assert_eq!(document["purge"], json!(["forced"]));
            assert_eq!(document["mfa_secret"], "ABCDEFGHIJKLMNOP");
            let kept = json!({ "versioning": true, "quota_bytes": 7, "public": true, "object_lock": true,
                               "retention": { "mode": "GOVERNANCE", "days": 3 } });
            assert_eq!(document["buckets"]["kept"], kept);
        }),
        trial(
            "what is bound has a user, a key and a policy for one bucket, and is told of them",
            async || {
                let parameters = [("bucket".to_owned(), "more".to_owned())].into();
                let bound = Bound {
                    id: Uuid::from_u128(30),
                    by: "app/shop/bindings/store".into(),
                    parameters,
                    secret: Secret::new("random".into()),
                };
                let bucket = json!({ "name": "more", "versioning": false, "quota_bytes": 0, "public": false, "object_lock": false });
                let mut tree = tree(json!({}), Tree::default().with::<Bucket>(Uuid::from_u128(20), bucket));
                let offer = plugin().offers.remove(0).1;
                assert!(
                    matches!(offer(Arc::new(tree.clone()), &bound), Err(Denial::Refused(_))),
                    "there is no node yet"
                );
                tree.nodes = vec![node()];
                let given = offer(Arc::new(tree.clone()), &bound).unwrap();
                assert_eq!(
                    (given["S3_ENDPOINT"].as_str(), given["S3_BUCKET"].as_str()),
                    ("http://127.64.0.1:9000", "more")
                );
                tree.ties.bound = vec![bound.clone()];
                let [node] = planned(tree.clone());
                let document = &node.config["document"];
                let name = format!("_binding-{}", bound.id);
                let key = json!({ "secret": given["AWS_SECRET_ACCESS_KEY"], "enabled": true });
                let user = json!({ "root": false, "policies": [name], "access_keys": { (&given["AWS_ACCESS_KEY_ID"]): key } });
                assert_eq!(document["users"][&name], user);
                let policy = &document["policies"][&name];
                assert_eq!(metapaas_s3d::policy::validate(policy), []);
                assert_eq!(policy["Statement"][1]["Resource"], "arn:aws:s3:::more/*");
                for (name, value) in [("bucket", "none"), ("access", "write-only"), ("colour", "red")] {
                    let wrong =
                        Bound { parameters: [(name.to_owned(), value.to_owned())].into(), ..bound.clone() };
                    assert!(
                        matches!(offer(Arc::new(tree.clone()), &wrong), Err(Denial::Invalid(_))),
                        "{name}={value}"
                    );
                }
            },
        ),
        trial("the plugin has at most 1000 lines beside the engines", async || {
            let (plugin, engines) = (size(""), size("engine"));
            assert!(plugin - engines <= 1000 && engines <= 1000, "it has {plugin}, engines {engines}");
        }),
    ]
}

/// A promise to readers: the whole type is small.
fn size(below: &str) -> usize {
    fn lines(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| match path.is_dir() {
                true => lines(&path),
                false => std::fs::read_to_string(path).unwrap().lines().count(),
            })
            .sum()
    }
    lines(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(below))
}

/// Rows below an instance.
#[derive(Default)]
struct Tree {
    rows: Vec<(&'static metapaas_core::TypeDescriptor, DesiredRow)>,
    leaving: Vec<(&'static metapaas_core::TypeDescriptor, DesiredRow)>,
}

impl Tree {
    fn with<T: PaasType>(mut self, id: Uuid, spec: Value) -> Self {
        self.rows.push((T::DESCRIPTOR, row(id, Uuid::nil(), spec)));
        self
    }

    fn below<T: PaasType>(mut self, parent: Uuid, spec: Value) -> Self {
        self.rows.push((T::DESCRIPTOR, row(Uuid::now_v7(), parent, spec)));
        self
    }

    fn leaving<T: PaasType>(mut self, spec: Value) -> Self {
        self.leaving.push((T::DESCRIPTOR, row(Uuid::now_v7(), Uuid::nil(), spec)));
        self
    }
}

fn row(id: Uuid, parent_id: Uuid, spec: Value) -> DesiredRow {
    let Value::Object(spec) = spec else { panic!("a row is an object") };
    let meta = DesiredMeta {
        id,
        parent_id,
        project_id: Uuid::nil(),
        key: "a".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        created_at: DateTime::UNIX_EPOCH,
    };
    DesiredRow { meta, spec }
}

fn grouped(
    rows: Vec<(&'static metapaas_core::TypeDescriptor, DesiredRow)>,
) -> Vec<(&'static metapaas_core::TypeDescriptor, Vec<DesiredRow>)> {
    let mut groups: Vec<(&'static metapaas_core::TypeDescriptor, Vec<DesiredRow>)> = Vec::new();
    for (ty, row) in rows {
        match groups.iter_mut().find(|(other, _)| other.plural == ty.plural) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((ty, vec![row])),
        }
    }
    groups
}

fn node() -> ObservedNode {
    ObservedNode {
        id: Uuid::nil(),
        place: "s3-0".into(),
        address: Some([127, 64, 0, 1].into()),
        port: 9000,
        health: "healthy".into(),
        message: String::new(),
        is_leaving: false,
        is_current: true,
        applied_generation: 1,
        facts: BTreeMap::new(),
    }
}

fn plan(changes: Value, rows: Tree) -> [NodeSpec; 1] {
    planned(tree(changes, rows))
}

fn tree(changes: Value, tree: Tree) -> DesiredTree {
    let mut spec = json!({
        "bucket_name": "data", "encryption": "aes256", "versioning": true, "mfa_delete": false, "cpu": 2,
        "ram_mb": 512, "disk_gb": 5, "secret_access_key": "root secret", "access_key_id": "ROOT",
        "instance_key": "key", "usage_token": "token",
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    spec.as_object_mut().map(|spec: &mut Map<String, Value>| spec.extend(changes)).unwrap();
    let instance = row(Uuid::nil(), Uuid::nil(), spec);
    DesiredTree { leaving: grouped(tree.leaving), ..DesiredTree::new(instance, grouped(tree.rows)) }
}

fn planned(tree: DesiredTree) -> [NodeSpec; 1] {
    let registry = Registry::new(vec![plugin()]).unwrap();
    let plan = registry.plan(S3Instance::DESCRIPTOR.slug).unwrap();
    let tree = Arc::new(tree);
    let nodes = plan(tree.clone()).unwrap().nodes;
    assert_eq!(nodes, plan(tree).unwrap().nodes, "same input, same plan");
    nodes.try_into().unwrap()
}
