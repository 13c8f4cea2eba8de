//! A distribution of one's own: the same server, agent and command line, with the plugins that are listed here.

use std::process::ExitCode;

fn main() -> ExitCode {
    metapaas_server::main(&[metapaas_plugin_demo::plugin])
}
