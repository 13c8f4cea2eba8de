//! The `metapaas` program: the distribution with the plugins that cargo features select.

use std::process::ExitCode;

/// A request makes some hundred small allocations; the system's allocator spends a tenth of its time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    metapaas_server::main(metapaas_server::PLUGINS)
}
