//! The committed migrations are those of the type.

use metapaas_core::testing::check_migrations;

use crate::plugin;

#[tokio::test]
async fn migrations_give_the_table() {
    check_migrations(&[plugin()]).await;
}
