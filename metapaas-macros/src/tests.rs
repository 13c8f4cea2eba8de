//! Tests that see the pipelines from within: expansions, their size, the book's page, broken input.

mod expansions;
mod reference;
mod robustness;
