//! The committed migrations give exactly the types' tables, on both databases.

use std::path::Path;

use metapaas_core::migrate::{Made, PluginMigrations, make};
use metapaas_core::testing::check_migrations;
use metapaas_plugin_app::plugin;

#[tokio::test]
async fn every_earlier_database_reaches_the_schema() {
    check_migrations(&[plugin()]).await;
}

/// `UPDATE=1` makes what is wanting, as `metapaas migrate make app` does.
#[test]
fn the_committed_migrations_are_those_of_the_types() {
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
