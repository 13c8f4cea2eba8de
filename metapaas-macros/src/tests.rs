//! Tests that see the pipelines from within: expansions, their size, and the book's page.

mod expansions;
mod reference;
