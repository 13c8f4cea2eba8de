//! The committed migrations give exactly the types' tables, on both databases.

use std::path::Path;

use libtest_mimic::Trial;
use metapaas_core::migrate::{Made, PluginMigrations, make};
use metapaas_core::testing::check_migrations;
use metapaas_plugin_s3::plugin;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("every earlier database reaches the schema", async || check_migrations(&[plugin()]).await),
        trial("the committed migrations are those of the types", current),
    ]
}

/// `UPDATE=1` makes what is wanting, as `metapaas migrate make s3` does.
async fn current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let wanted = PluginMigrations::from(&plugin());
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        make(&wanted, &committed, None).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(committed.join("schema.json"), copy.path().join("schema.json")).unwrap();
    assert_eq!(
        make(&wanted, copy.path(), None).unwrap(),
        Made::NothingToDo,
        "run it with UPDATE=1 and review the SQL"
    );
}
