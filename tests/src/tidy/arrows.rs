//! Data flows one way: which module of metapaas-core may import which.
//!
//! A module may import the data-only modules, its own stage, the stages before it, and the very next stage (whose trait
//! it hands on to). A new module gets its place here.

use super::SourceFile;

const FOLDER: &str = "metapaas-core/src/";

/// What describes; no effects.
const DATA: &[&str] = &[
    "action",
    "command",
    "describe",
    "descriptor",
    "error",
    "event",
    "field_type",
    "hook",
    "migration",
    "migrations",
    "offer",
    "paas_type",
    "placement",
    "plan",
    "plugin",
    "query",
    "registry",
    "request",
    "resource",
    "role",
    "route",
    "secret",
    "status",
];

/// The way of a request through the house.
const STAGES: &[&[&str]] = &[
    &["authn"],
    &["authz"],
    &["validate"],
    &["store"],
    &["iam", "instance_metrics", "operations", "watch"],
    &["reconcile"],
    &["provider"],
    &["agents", "calls", "logs", "routers", "runs", "uploads"],
    &["openapi"],
];

/// They show what the others have; nothing of the request's way is in them.
const FACADES: &[&str] = &["lib", "private", "testing"];

/// Arrows that point back, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("error", "store", "a request may end in what the store could not do"),
    (
        "authn",
        "store",
        "sessions, service tokens and grants are rows; reading them is how a token becomes an actor",
    ),
];

/// All arrows that point back, all modules without a place, all exceptions that nobody needs.
pub(super) fn complaints(tree: &[SourceFile]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut used = vec![false; EXCEPTIONS.len()];
    for file in tree.iter().filter(|file| file.is_rust()) {
        // Tests of a module look at it from all sides.
        if file.path.ends_with("/tests.rs") {
            continue;
        }
        let Some(rest) = file.path.strip_prefix(FOLDER) else { continue };
        let module = rest.split(['/', '.']).next().unwrap_or_default();
        if FACADES.contains(&module) {
            continue;
        }
        let Some(from) = stage(module) else {
            complaints.push(format!("{}: `{module}` has no stage in tests/src/tidy/arrows.rs", file.path));
            continue;
        };
        for (number, line) in file.code_lines() {
            for target in imported(line) {
                // Items of the crate's root, such as a macro, are no modules.
                let Some(to) = stage(target) else { continue };
                if module == target || may_import(from, to) {
                    continue;
                }
                match EXCEPTIONS.iter().position(|(a, b, _)| (*a, *b) == (module, target)) {
                    Some(index) => used[index] = true,
                    None => complaints.push(format!(
                        "{}:{number}: `{module}` imports `{target}`, which comes later or is no data",
                        file.path
                    )),
                }
            }
        }
    }
    for ((from, to, _), used) in EXCEPTIONS.iter().zip(used) {
        if !used {
            complaints.push(format!("tests/src/tidy/arrows.rs: nobody needs the exception {from} -> {to}"));
        }
    }
    complaints
}

/// 0 for data, then the stages in their order.
fn stage(module: &str) -> Option<usize> {
    if DATA.contains(&module) {
        return Some(0);
    }
    STAGES.iter().position(|modules| modules.contains(&module)).map(|index| index + 1)
}

fn may_import(from: usize, to: usize) -> bool {
    to == 0 || (from != 0 && to <= from + 1)
}

/// The modules that a line of code names by a path from the crate's root.
fn imported(line: &str) -> Vec<&str> {
    let mut modules = Vec::new();
    for (start, found) in line.match_indices("crate::") {
        let rest = &line[start + found.len()..];
        match rest.strip_prefix('{') {
            // `use crate::{a::B, c::D}` on one line, as rustfmt leaves it when it fits.
            Some(group) => modules.extend(group.split(',').map(|part| first_name(part.trim_start()))),
            None => modules.push(first_name(rest)),
        }
    }
    modules
}

fn first_name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(module: &str, line: &str, complaint: bool) {
        let found = complaints(&[SourceFile::new(&format!("{FOLDER}{module}.rs"), line)]);
        let arrows = found.iter().filter(|text| text.contains("imports")).count();
        assert_eq!(arrows, usize::from(complaint), "{module}: {line}");
    }

    #[test]
    fn arrows() {
        check("authz", "use crate::descriptor::Action;", false);
        check("validate", "use crate::authz::Allowed;", false);
        check("validate", "use crate::store::Store;", false);
        check("authz", "use crate::store::Store;", true);
        check("authz/policy", "let x = crate::reconcile::run();", true);
        check("descriptor", "use crate::authz::Allowed;", true);
        check("authz", "use crate::{descriptor::Action, provider::Provider};", true);
        check("store", "// use crate::reconcile::run;", false);
        check("error", "use crate::store::StoreError;", false);
    }

    #[test]
    fn a_module_needs_a_place() {
        let found = complaints(&[SourceFile::new("metapaas-core/src/novelty.rs", "")]);
        assert!(found.iter().any(|text| text.contains("`novelty` has no stage")), "{found:?}");
    }

    #[test]
    fn an_exception_must_be_needed() {
        assert_eq!(complaints(&[]).len(), EXCEPTIONS.len());
    }
}
