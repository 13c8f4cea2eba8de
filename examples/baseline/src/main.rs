//! The demo type's table as one would serve it by hand with axum and sqlx: the benchmark's other side.
//!
//! It has what a single table needs and nothing of a framework: one statement a request, no events, no work queue, no
//! roles. `cargo xtask bench` runs it beside `metapaas serve`.

mod auth;
mod database;
mod http;
mod instance;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;

use crate::auth::Verifier;
use crate::database::Database;
use crate::http::Service;

/// Serves demo instances from one table.
#[derive(Parser)]
struct Arguments {
    /// `postgres://user:password@host:port/database` or `sqlite://path`.
    #[arg(long, env = "BASELINE_DATABASE", hide_env_values = true)]
    database: String,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// What the HS256 access tokens are signed with.
    #[arg(long, env = "BASELINE_SECRET", hide_env_values = true)]
    secret: String,
}

/// The service could not run.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("open the database: {}", .0.0)]
    Database(#[from] database::OpenError),
    #[error("listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("serve: {0}")]
    Serve(std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "metapaas-baseline: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), StartError> {
    let database = Database::open(&arguments.database).await?;
    let address = arguments.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    let bound = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
    let _ = writeln!(std::io::stdout(), "http://{bound}");
    // An answer goes out as it is written, not when the previous one is acknowledged.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let service = Service { database, verifier: Verifier::new(&arguments.secret) };
    axum::serve(listener, http::routes(service)).await.map_err(StartError::Serve)
}
