// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
        ::metapaas_core::migration::Migration {
            id: "92f74dd9-a425-4548-a330-0bcc6e30287b",
            name: "0001_init",
            postgres: include_str!("0001_init.postgres.sql"),
            sqlite: include_str!("0001_init.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "7f3bb11b-8def-4e3b-9852-77028638f254",
            name: "0002_deletion_protection",
            postgres: include_str!("0002_deletion_protection.postgres.sql"),
            sqlite: include_str!("0002_deletion_protection.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "f8cbf90b-a97c-402e-886c-e9816e543575",
            name: "0003_indexes",
            postgres: include_str!("0003_indexes.postgres.sql"),
            sqlite: include_str!("0003_indexes.sqlite.sql"),
        },
    ],
    snapshot: include_str!("schema.json"),
}
