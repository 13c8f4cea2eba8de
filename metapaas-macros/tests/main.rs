//! What the macros do from the outside: mistakes, hygiene, and values that come back as they went.

mod hygiene;
mod round_trip;

use std::fs;
use std::path::{Path, PathBuf};

/// Each wrong use gives the errors in the file beside it, and no other. `TRYBUILD=overwrite` rewrites them.
#[test]
fn mistakes_are_reported_as_checked_in() {
    trybuild::TestCases::new().compile_fail("tests/ui/*/*.rs");
}

/// One mistake is one error. A case with several mistakes says how many in its last line.
#[test]
fn no_mistake_is_reported_twice() {
    let mut cases = 0;
    for topic in folder(Path::new("tests/ui")) {
        for case in folder(&topic).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"))
        {
            let text = fs::read_to_string(&case).unwrap();
            let last = text.lines().last().unwrap_or_default();
            let count = last.strip_prefix("// ").and_then(|rest| rest.strip_suffix(" errors"));
            let expected: usize = count.map_or(1, |count| count.parse().unwrap());
            let reported = fs::read_to_string(case.with_extension("stderr")).unwrap();
            let errors =
                reported.lines().filter(|line| line.starts_with("error:") || line.starts_with("error["));
            assert_eq!(errors.count(), expected, "{}", case.display());
            cases += 1;
        }
    }
    assert!(cases >= 30, "only {cases} cases");
}

fn folder(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
