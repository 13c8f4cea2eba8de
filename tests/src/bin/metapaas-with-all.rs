//! The distribution with the types of its tests beside its own: `vault`, full of secrets, and `zoo`, full of everything.

use std::process::ExitCode;

use metapaas_core::Plugin;

fn main() -> ExitCode {
    let of_tests: [fn() -> Plugin; 2] = [metapaas_tests::vault::plugin, metapaas_tests::zoo::plugin];
    let plugins: Vec<fn() -> Plugin> = metapaas_server::PLUGINS.iter().copied().chain(of_tests).collect();
    metapaas_server::main(&plugins)
}
