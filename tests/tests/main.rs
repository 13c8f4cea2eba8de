//! One binary for all end-to-end tests: a list of modules.
