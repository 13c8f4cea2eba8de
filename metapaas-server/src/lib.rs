//! The MetaPaaS distribution.

pub mod cli;
