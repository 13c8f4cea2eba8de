//! The client that progenitor generates, as it is. `tests/tests/clients/rust.rs` uses it.

#[cfg(feature = "generated")]
mod client {
    #![allow(warnings, reason = "nobody here wrote it")]

    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

#[cfg(feature = "generated")]
pub use client::*;
