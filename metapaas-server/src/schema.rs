//! `metapaas schema`: what follows from the types, printed.

use clap::Subcommand;
use metapaas_core::authz::matrix;
use metapaas_core::iam;
use metapaas_core::migrate::{PluginMigrations, create_schema};
use metapaas_core::openapi;
use metapaas_core::registry::Registry;
use metapaas_core::store::Dialect;

use crate::commands::DialectName;

#[derive(Subcommand, Debug)]
pub(crate) enum SchemaCommand {
    /// The OpenAPI 3.1 document
    Openapi,
    /// CREATE statements of all tables
    Ddl {
        /// For which database
        #[arg(long, value_enum, default_value_t = DialectName::Postgres)]
        dialect: DialectName,
    },
    /// Role by type by action by field
    IamMatrix,
}

pub(crate) fn print(registry: &Registry, command: &SchemaCommand) {
    let text = match command {
        SchemaCommand::Openapi => {
            let document = openapi::document(registry, env!("CARGO_PKG_VERSION"));
            // The document is made of strings and maps; it serialises.
            serde_json::to_string_pretty(&document).unwrap_or_default()
        }
        SchemaCommand::Ddl { dialect } => {
            let dialect = match dialect {
                DialectName::Sqlite => Dialect::Sqlite,
                DialectName::Postgres => Dialect::Postgres,
            };
            let all = PluginMigrations::all(registry.plugins());
            let parts: Vec<String> = all
                .iter()
                .map(|one| format!("-- {}\n{}", one.name, create_schema(&one.target.schema, dialect)))
                .collect();
            parts.join("\n")
        }
        SchemaCommand::IamMatrix => matrix::print(&iam::TYPES, registry),
    };
    crate::print(text.trim_end());
}
