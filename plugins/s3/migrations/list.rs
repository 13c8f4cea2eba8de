// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
        ::metapaas_core::migration::Migration {
            id: "0a610fe0-c5f1-4254-95ef-bb89666942df",
            name: "0001_init",
            postgres: include_str!("0001_init.postgres.sql"),
            sqlite: include_str!("0001_init.sqlite.sql"),
        },
    ],
    snapshot: include_str!("schema.json"),
}
