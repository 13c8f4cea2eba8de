//! What nodes a site gets.

use std::sync::Arc;

use chrono::DateTime;
use libtest_mimic::Trial;
use metapaas_core::NodeSpec;
use metapaas_core::PaasType;
use metapaas_core::plan::{DesiredMeta, DesiredRow, DesiredTree};
use metapaas_core::registry::Registry;
use metapaas_plugin_demo::{Demo, Page, Theme, plugin};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a site without pages", async || {
            let config = json!({ "greeting": "hello", "theme": "light", "restarts": null, "pages": {} });
            check(site("hello", 1, Theme::Light), &[], &["web-0"], &config);
        }),
        trial("every node has every page", async || {
            let config = json!({ "greeting": "<b>", "theme": "dark", "restarts": null, "pages": { "a": "1", "b/c": "2" } });
            let pages = [("b/c", "2"), ("a", "1")];
            check(site("<b>", 3, Theme::Dark), &pages, &["web-0", "web-1", "web-2"], &config);
        }),
        trial("a smaller site keeps its first places", async || {
            let places = |replicas| {
                let nodes = plan(site("hello", replicas, Theme::Dark), &[]);
                nodes.into_iter().map(|node| node.place).collect::<Vec<_>>()
            };
            assert_eq!(places(2), places(5)[..2]);
        }),
        trial("the plugin has at most 225 lines", async || assert!(size() <= 225, "it has {}", size())),
    ]
}

/// A promise to readers: the whole type is small.
fn size() -> usize {
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    sources.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().lines().count()).sum()
}

fn check(site: Demo, pages: &[(&str, &str)], places: &[&str], config: &Value) {
    let expected: Vec<NodeSpec> =
        places.iter().map(|place| NodeSpec::new(*place, 8080, config.clone())).collect();
    assert_eq!(plan(site, pages), expected);
}

fn site(greeting: &str, replicas: u32, theme: Theme) -> Demo {
    Demo { greeting: greeting.to_owned(), replicas, theme, restarts: None }
}

fn plan(site: Demo, pages: &[(&str, &str)]) -> Vec<NodeSpec> {
    let registry = Registry::new(vec![plugin()]).unwrap();
    let pages = pages.iter().map(|(path, text)| Page { path: (*path).to_owned(), text: (*text).to_owned() });
    let pages = vec![(Page::DESCRIPTOR, pages.map(|page| row(&page, &page.path)).collect())];
    let tree = DesiredTree::new(row(&site, "site"), pages);
    registry.plan("demo").unwrap()(Arc::new(tree)).unwrap().nodes
}

fn row<T: PaasType>(value: &T, key: &str) -> DesiredRow {
    let meta = DesiredMeta {
        id: Uuid::nil(),
        parent_id: Uuid::nil(),
        project_id: Uuid::nil(),
        key: key.to_owned(),
        version: String::new(),
        created_at: DateTime::UNIX_EPOCH,
    };
    DesiredRow { meta, spec: value.to_spec() }
}
