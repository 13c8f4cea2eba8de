// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
        ::metapaas_core::migration::Migration {
            id: "a66948db-5f14-4aac-ba03-f50434717457",
            name: "0001_init",
            postgres: include_str!("0001_init.postgres.sql"),
            sqlite: include_str!("0001_init.sqlite.sql"),
        },
    ],
    snapshot: include_str!("schema.json"),
}
