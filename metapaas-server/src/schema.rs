//! `metapaas schema`: what follows from the types, printed.

use clap::Subcommand;
use metapaas_core::authz::{manifest, matrix};
use metapaas_core::iam;
use metapaas_core::migrate::{PluginMigrations, create_schema};
use metapaas_core::openapi;
use metapaas_core::registry::Registry;
use metapaas_core::store::Dialect;

use crate::commands::DialectName;

#[derive(Subcommand, Debug)]
pub(crate) enum SchemaCommand {
    /// The OpenAPI document
    Openapi {
        /// 3.1, or a reduced form for generators that know 3.0 only
        #[arg(long, value_name = "VERSION", value_enum, default_value_t = OpenApiVersion::V3_1)]
        version: OpenApiVersion,
    },
    /// CREATE statements of all tables
    Ddl {
        /// For which database
        #[arg(long, value_enum, default_value_t = DialectName::Postgres)]
        dialect: DialectName,
    },
    /// Role by type by action by field
    IamMatrix,
    /// The manifest of an element: its types, permissions, role bindings and versions
    Element {
        /// Its name, e.g. s3aas
        name: String,
    },
}

/// Versions of OpenAPI.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub(crate) enum OpenApiVersion {
    /// The whole document.
    #[value(name = "3.1")]
    V3_1,
    /// The reduced one.
    #[value(name = "3.0")]
    V3_0,
}

pub(crate) fn print(registry: &Registry, command: &SchemaCommand) -> Result<(), String> {
    let text = match command {
        SchemaCommand::Openapi { version } => {
            let document = openapi::document(registry, env!("CARGO_PKG_VERSION"));
            // The document is made of strings and maps; it serialises.
            match version {
                OpenApiVersion::V3_1 => serde_json::to_string_pretty(&document),
                OpenApiVersion::V3_0 => serde_json::to_string_pretty(&openapi::reduced(&document)),
            }
            .unwrap_or_default()
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
        SchemaCommand::Element { name } => {
            let root = registry.roots().find(|root| root.ty.element == name).ok_or_else(|| {
                let all: Vec<&str> = registry.roots().map(|root| root.ty.element).collect();
                format!("there is no element `{name}`; there are {}", all.join(", "))
            })?;
            serde_saphyr::to_string(&manifest::element(registry, root)).map_err(|error| error.to_string())?
        }
    };
    crate::print(text.trim_end());
    Ok(())
}
