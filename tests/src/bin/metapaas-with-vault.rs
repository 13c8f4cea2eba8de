//! The distribution with a type full of secrets beside its own.

use std::process::ExitCode;

use metapaas_core::Plugin;

fn main() -> ExitCode {
    let plugins: Vec<fn() -> Plugin> = metapaas_server::PLUGINS
        .iter()
        .copied()
        .chain([metapaas_tests::vault::plugin as fn() -> Plugin])
        .collect();
    metapaas_server::main(&plugins)
}
