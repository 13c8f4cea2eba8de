// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
        ::metapaas_core::migration::Migration {
            id: "f527114e-7934-4007-9fad-8e43c0d76025",
            name: "0001_init",
            postgres: include_str!("0001_init.postgres.sql"),
            sqlite: include_str!("0001_init.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "2039efa2-7cf0-44fe-9a09-9837cf7d526e",
            name: "0002_indexes",
            postgres: include_str!("0002_indexes.postgres.sql"),
            sqlite: include_str!("0002_indexes.sqlite.sql"),
        },
    ],
    snapshot: include_str!("schema.json"),
}
