//! A complete control plane with one type, `motd`: each instance is a node that tells its message on port 8080.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::{ExitCode, Termination};

use metapaas_core::agent::{
    Applied, BoxFuture, Driver, DriverError, HealthReport, NodeContext, NodeDocument, ServiceSpec,
};
use metapaas_core::{NodeSpec, Plugin, migrations, paas_type};

/// A message of the day.
#[paas_type(slug = "motd")]
pub struct Motd {
    /// What it says.
    #[field(mutable, len = 1..=500)]
    pub message: String,
}

fn plugin() -> Plugin {
    Plugin::new("motd", env!("CARGO_PKG_VERSION"))
        .instance::<Motd>()
        .migrations(migrations!())
        .plan::<Motd>(|motd| Ok(vec![NodeSpec::new("web-0", 8080, motd.spec.message.clone().into())]))
        .driver::<Motd>(|| Box::new(Web))
        .engine("motd", serve)
}

struct Web;

impl Driver for Web {
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        document: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        let arguments =
            [node.socket_address().to_string(), document.config.as_str().unwrap_or_default().to_owned()];
        let service = ServiceSpec::engine("web", "motd").arguments(arguments);
        Box::pin(async move { node.ensure_service(&service).await.map(|_| Applied::default()) })
    }

    fn health<'a>(&'a mut self, node: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(node.http_health("/"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(arguments: Vec<OsString>) -> ExitCode {
    let [address, message] = arguments.as_slice() else { return ExitCode::from(2) };
    let (address, message) = (address.to_string_lossy(), message.to_string_lossy().into_owned());
    let routes = axum::Router::new().fallback(async || message);
    async { axum::serve(tokio::net::TcpListener::bind(&*address).await?, routes).await }.await.report()
}

fn main() -> ExitCode {
    metapaas_server::main(&[plugin])
}
