// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
        ::metapaas_core::migration::Migration {
            id: "65d663d4-5c99-4424-a9c5-f8828e74fbf8",
            name: "0001_init",
            postgres: include_str!("0001_init.postgres.sql"),
            sqlite: include_str!("0001_init.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "75d150ab-30c3-4af0-a1be-8482ec26cf58",
            name: "0002_contract",
            postgres: include_str!("0002_contract.postgres.sql"),
            sqlite: include_str!("0002_contract.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "8612bf9b-6947-42c0-9a36-a2643c97d046",
            name: "0003_routes",
            postgres: include_str!("0003_routes.postgres.sql"),
            sqlite: include_str!("0003_routes.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "c8cf25e3-6da8-4cd4-81a5-699506e60447",
            name: "0004_create_metapaas_links",
            postgres: include_str!("0004_create_metapaas_links.postgres.sql"),
            sqlite: include_str!("0004_create_metapaas_links.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "26432711-3a5b-438b-8f06-cf23676e1404",
            name: "0005_logs",
            postgres: include_str!("0005_logs.postgres.sql"),
            sqlite: include_str!("0005_logs.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "950ea890-f2cd-4de2-b4b2-a0aee3efd410",
            name: "0006_uploads",
            postgres: include_str!("0006_uploads.postgres.sql"),
            sqlite: include_str!("0006_uploads.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "4a158643-3b61-4e95-b63d-bf3f833a2118",
            name: "0007_iam_lists",
            postgres: include_str!("0007_iam_lists.postgres.sql"),
            sqlite: include_str!("0007_iam_lists.sqlite.sql"),
        },
    ],
    snapshot: include_str!("schema.json"),
}
