//! The distribution as its own tests run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    metapaas_server::main(metapaas_server::PLUGINS)
}
