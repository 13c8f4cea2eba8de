//! The node agent: it fetches what its node should be, makes it so with the type's [`Driver`], keeps its services
//! running and reports.
//!
//! Reading order: [`agent`] is the loop, [`node`] what it does with one document, [`context`] what a driver may do to
//! the node, [`supervisor`] how services are kept running, [`launch`] and [`process`] how a program is started so
//! that it is never started twice, and how it is found again.
//!
//! A node's directory:
//!
//! | path | what | written by |
//! |---|---|---|
//! | `node.json`, `token` | who the node is, where the control planes are | provider; the agent keeps endpoints current |
//! | `agent.lock`, `agent.json`, `agent.log` | held, and who holds it, while an agent runs; its log | launch, agent |
//! | `document.json` | the last good document | agent |
//! | `services/<name>.json` | a service that should run | agent, for the driver |
//! | `run/<name>.json`, `.launch` | the process that runs it; the lock while it is started | launch |
//! | `log/<name>.log`, `.log.old` | its output, and what was moved aside of it | the service, agent |
//! | `log/times/<name>`, `<name>.old` | when what of it was written | agent |
//! | `work/` | all that the driver writes; home and working directory of services | driver, services |

pub mod agent;
pub mod backoff;
mod calls;
mod command;
pub mod context;
pub mod document;
pub mod driver;
pub mod files;
pub mod http;
pub mod init;
pub mod launch;
pub mod link;
pub mod logs;
pub mod node;
pub mod node_file;
pub mod process;
pub mod registry;
pub mod rotate;
pub mod service;
pub mod supervisor;
#[cfg(feature = "testing")]
pub mod testkit;

pub use crate::agent::{AgentError, AgentOptions, run};
pub use crate::context::{HttpAnswer, NodeContext};
pub use crate::driver::{Applied, BoxFuture, Driver, DriverError, HealthReport};
pub use crate::node_file::NodeFile;
pub use crate::registry::{Drivers, Engine, Engines};
pub use crate::service::{Program, ServiceSpec, StopSignal};

pub use metapaas_protocol::{Health, ItemError, NodeDocument, is_digest};
