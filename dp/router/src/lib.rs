//! The router: one reverse proxy that leads host names and leased ports to the nodes that serve.
//!
//! It is data plane: a process of its own that follows the routing table of the control planes, keeps the last one on
//! disk and goes on with it when they are away. `metapaas up` starts it, and finds it again after a restart.
//!
//! It stands on hyper alone, client and server. Reverse-proxy crates on top of hyper were weighed and left: none tells
//! a request that was never sent (and may go to another node) from one that was, which is what a switch without a
//! failed request takes; the larger ones bring a TLS stack, a runtime and a process model of their own.
//!
//! Reading order: [`mod@engine`] is the process, [`table`] what leads where, [`proxy`] one request, [`pool`] the
//! connections to one node, [`workers`] the threads, [`follow`] how tables arrive.
//!
//! The router's directory:
//!
//! | path | what | written by |
//! |---|---|---|
//! | `config.json` | where it listens | control plane; a change restarts the router |
//! | `control.json` | where control planes are, and the token | control plane |
//! | `state.json` | where it listens in fact | router |
//! | `table.json` | the last routing table | router |
//! | `log/access.log`, `.old` | one JSON object for each request | router |

pub mod access;
pub mod body;
pub mod config;
pub mod engine;
pub mod follow;
pub mod headers;
pub mod listen;
pub mod metrics;
pub mod pages;
pub mod pool;
pub mod proxy;
pub mod table;
pub mod workers;

pub use crate::config::{Control, RouterConfig, RouterState};
pub use crate::engine::{ENGINE, engine};
