//! The router beside the control plane: started by the first one on a data folder, found again by the next.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metapaas_agent::supervisor::{ServiceFiles, Supervisor};
use metapaas_agent::{ServiceSpec, StopSignal, files};
use metapaas_core::reconcile::{InForce, Routing};
use metapaas_router::config::{self, CONFIG_FILE, CONTROL_FILE, STATE_FILE};
use metapaas_router::{Control, RouterConfig, RouterState};
use uuid::Uuid;

use crate::config::Config;
use crate::startup::StartError;

/// How often the router is told where control planes are, when that has changed, and asked where it is.
const LOOK: Duration = Duration::from_millis(500);
/// Within this, routers that run have heard of a change: one that asks another control plane after half a second.
const NOTICE: Duration = Duration::from_millis(1500);
/// The service's name.
const SERVICE: &str = "router";
/// How long requests may take to end when the router is replaced.
const GRACE_SECONDS: u32 = 25;

/// What the routing part of a control plane knows.
pub(crate) struct Router {
    directory: PathBuf,
    wanted: Option<RouterConfig>,
    public_port: Arc<RwLock<Option<u16>>>,
}

impl Router {
    /// As the settings say.
    pub(crate) fn new(settings: &Config) -> Result<Self, StartError> {
        let listen = settings.router_address()?;
        let wanted = listen.map(|listen| RouterConfig { listen, admin: ([127, 0, 0, 1], 0).into() });
        Ok(Self { directory: settings.file("router"), wanted, public_port: Arc::default() })
    }

    /// What the reconciler is told; `None` when there is no router.
    pub(crate) fn routing(
        &self,
        settings: &Config,
        in_force: InForce,
    ) -> Result<Option<Routing>, StartError> {
        let ports = settings.router_ports()?;
        Ok(self.wanted.as_ref().map(|_| Routing {
            base_domain: settings.router_domain.clone(),
            ports,
            public_port: self.public_port.clone(),
            in_force,
            notice: NOTICE,
        }))
    }

    /// Keeps the router running for as long as this control plane does. It goes on afterwards.
    pub(crate) async fn follow(self, token: String, ca: Option<String>, endpoints: Arc<RwLock<Vec<String>>>) {
        if self.wanted.is_none() && !self.directory.is_dir() {
            return;
        }
        loop {
            let error = match self.supervise(&token, ca.as_deref(), &endpoints).await {
                Ok(()) => return,
                Err(error) => error,
            };
            tracing::error!(%error, "the router cannot be looked after; trying again");
            tokio::time::sleep(LOOK * 10).await;
        }
    }

    async fn supervise(
        &self,
        token: &str,
        ca: Option<&str>,
        endpoints: &RwLock<Vec<String>>,
    ) -> io::Result<()> {
        files::private_directory(&self.directory)?;
        let supervisor = Supervisor::new(&self.directory, self.id()?)?;
        let files = ServiceFiles::open(&self.directory)?;
        let Some(wanted) = &self.wanted else {
            files::remove_optional(&files.spec(SERVICE))?;
            return supervisor.stop(SERVICE).await;
        };
        let tell = || {
            let endpoints = endpoints.read().unwrap_or_else(PoisonError::into_inner).clone();
            let control = Control { endpoints, token: token.to_owned(), ca: ca.map(str::to_owned) };
            config::write(&self.directory, CONTROL_FILE, &control)
        };
        tell()?;
        config::write(&self.directory, CONFIG_FILE, wanted)?;
        // Another program or another address needs a new process; nothing else does.
        let restart_on = format!("{} {wanted:?}", env!("CARGO_PKG_VERSION"));
        let spec = ServiceSpec::engine(SERVICE, metapaas_router::ENGINE)
            .arguments([self.directory.display().to_string()])
            .restart_on(restart_on)
            .stop_by(StopSignal::Terminate, GRACE_SECONDS);
        files::write_atomic(&files.spec(SERVICE), &serde_json::to_vec(&spec)?, 0o600)?;
        supervisor.run(SERVICE).await?;
        let mut told = Vec::new();
        loop {
            tell()?;
            // A router that has not listened yet has left nothing, or where the last one was.
            if let Ok(state) = config::read::<RouterState>(&self.directory, STATE_FILE) {
                let mut port = self.public_port.write().unwrap_or_else(PoisonError::into_inner);
                if *port != Some(state.address.port()) {
                    *port = Some(state.address.port());
                    tracing::info!(address = %state.address, metrics = %state.admin, "the router serves");
                }
            }
            let troubles = supervisor.troubles();
            if troubles != told {
                let log = self.directory.join("log").join(format!("{SERVICE}.log"));
                for trouble in &troubles {
                    tracing::warn!(%trouble, "the router has trouble; {} says why", log.display());
                }
                told = troubles;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Marks the router's processes: two installations on a machine must not end each other's.
    fn id(&self) -> io::Result<Uuid> {
        let path = self.directory.join("id");
        let kept = files::read_optional(&path)?.and_then(|text| String::from_utf8(text).ok());
        match kept.and_then(|text| text.trim().parse().ok()) {
            Some(id) => Ok(id),
            None => {
                let id = Uuid::new_v4();
                files::write_atomic(&path, id.to_string().as_bytes(), 0o600)?;
                Ok(id)
            }
        }
    }
}
