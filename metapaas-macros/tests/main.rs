//! What the macros do from the outside: mistakes, hygiene, and values that come back as they went.

mod hygiene;
mod round_trip;

/// Each wrong use gives the errors in the file beside it, and no other. `TRYBUILD=overwrite` rewrites them.
#[test]
fn mistakes_are_reported_as_checked_in() {
    trybuild::TestCases::new().compile_fail("tests/ui/*/*.rs");
}
