//! The `metapaas` program: the distribution with the plugins that cargo features select.

use std::process::ExitCode;

fn main() -> ExitCode {
    metapaas_server::main(metapaas_server::PLUGINS)
}
