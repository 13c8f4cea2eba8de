// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
        ::metapaas_core::migration::Migration {
            id: "4eaa649a-1e74-4ca5-9668-186ff98b1cce",
            name: "0001_init",
            postgres: include_str!("0001_init.postgres.sql"),
            sqlite: include_str!("0001_init.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "0af1fe14-c5a7-4082-b2f9-a7ff6846d68f",
            name: "0002_deletion_protection",
            postgres: include_str!("0002_deletion_protection.postgres.sql"),
            sqlite: include_str!("0002_deletion_protection.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "c13a970c-cea4-4473-9719-b4e3acc66f16",
            name: "0003_indexes",
            postgres: include_str!("0003_indexes.postgres.sql"),
            sqlite: include_str!("0003_indexes.sqlite.sql"),
        },
    ],
    snapshot: include_str!("schema.json"),
}
