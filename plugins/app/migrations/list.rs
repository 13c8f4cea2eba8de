// Written by `metapaas migrate make`. Append only: a released migration never changes.
::metapaas_core::migration::Migrations {
    list: &[
        ::metapaas_core::migration::Migration {
            id: "1781c086-f7a0-4799-a59f-a16c1a48cdf4",
            name: "0001_init",
            postgres: include_str!("0001_init.postgres.sql"),
            sqlite: include_str!("0001_init.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "78017391-69c2-4d99-b7ce-2ec6427f21ca",
            name: "0002_create_app_bindings",
            postgres: include_str!("0002_create_app_bindings.postgres.sql"),
            sqlite: include_str!("0002_create_app_bindings.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "880c3565-9ab0-4d1e-8e86-1ba656d4e814",
            name: "0003_hidden_token",
            postgres: include_str!("0003_hidden_token.postgres.sql"),
            sqlite: include_str!("0003_hidden_token.sqlite.sql"),
        },
        ::metapaas_core::migration::Migration {
            id: "202a9bd2-a934-4e54-9727-df6344769be3",
            name: "0004_add_port",
            postgres: include_str!("0004_add_port.postgres.sql"),
            sqlite: include_str!("0004_add_port.sqlite.sql"),
        },
    ],
    snapshot: include_str!("schema.json"),
}
