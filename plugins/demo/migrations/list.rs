// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
        ::metapaas_core::migration::Migration {
            id: "a66948db-5f14-4aac-ba03-f50434717457",
            name: "0001_init",
            postgres: include_str!("0001_init.postgres.sql"),
            sqlite: include_str!("0001_init.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "20ba8a1a-a817-49ce-b4d5-f2a177eb85b0",
            name: "0002_deletion_protection",
            postgres: include_str!("0002_deletion_protection.postgres.sql"),
            sqlite: include_str!("0002_deletion_protection.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "0dcd6e0b-c5ec-49a4-b191-fcfaf6855d93",
            name: "0003_indexes",
            postgres: include_str!("0003_indexes.postgres.sql"),
            sqlite: include_str!("0003_indexes.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "865177d9-6ed6-40ab-be38-bd6ac9dc90c5",
            name: "0004_restarts",
            postgres: include_str!("0004_restarts.postgres.sql"),
            sqlite: include_str!("0004_restarts.sqlite.sql"),
        },
    ],
    snapshot: include_str!("schema.json"),
}
