//! The book names what exists: error codes, conflict codes, settings, exit codes, metrics.

use std::collections::BTreeSet;
use std::path::Path;

use metapaas_core::error::ErrorCode;
use metapaas_core::status::Status;
use metapaas_server::cli::EXIT_CODES;
use metapaas_server::config::{Config, ServerOptions};
use metapaas_tests::workspace_root;

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace_root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust sources below a folder, or one file, without their unit tests.
fn sources(path: &str) -> String {
    fn collect(path: &Path, text: &mut String) {
        if path.is_dir() {
            let mut entries: Vec<_> = path.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            entries.iter().for_each(|entry| collect(entry, text));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(path).unwrap();
            text.push_str(source.split("#[cfg(test)]\nmod tests").next().unwrap());
        }
    }
    let mut text = String::new();
    collect(&workspace_root().join(path), &mut text);
    assert!(!text.is_empty(), "{path} has no source");
    text
}

/// What stands between `before` and the next quotation mark, wherever `before` occurs.
fn quoted_after(text: &str, before: &str) -> BTreeSet<String> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"'))
        .map(|(word, _)| word.to_owned())
        .collect()
}

/// `page` has each word as the code of a table's first cell.
fn check(page: &str, words: impl IntoIterator<Item = String>) {
    let text = read(page);
    let words: BTreeSet<String> = words.into_iter().collect();
    assert!(!words.is_empty(), "nothing to look for in {page}");
    let missing: Vec<&String> =
        words.iter().filter(|word| !text.contains(&format!("\n| `{word}`"))).collect();
    assert!(missing.is_empty(), "{page} has no row for {missing:?}");
}

/// `page` has no row whose first cell is such a word and is not among them.
fn check_no_other(page: &str, heading: &str, words: impl IntoIterator<Item = String>) {
    let text = read(page);
    let words: BTreeSet<String> = words.into_iter().collect();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let found: BTreeSet<String> = rows.map(|(word, _)| word.to_owned()).collect();
    let stale: Vec<&String> = found.difference(&words).collect();
    assert!(stale.is_empty(), "{page} describes {stale:?}, which do not exist");
}

#[test]
fn every_error_code() {
    let codes = || ErrorCode::ALL.map(|code| code.as_str().to_owned());
    check("book/src/api.md", codes());
    check_no_other("book/src/api.md", "Error codes", codes());
}

#[test]
fn every_problem_code() {
    let server = sources("metapaas-server/src/http");
    let core = [
        "validate.rs",
        "validate",
        "iam",
        "agents.rs",
        "store/resources.rs",
        "store/resources",
        "query",
        "uploads.rs",
    ]
    .map(|path| sources(&format!("metapaas-core/src/{path}")));
    let text = format!("{server}{}", core.concat());
    // Each is the first or second argument of one of these, in capitals.
    let is_code =
        |word: &&str| word.len() > 4 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let mut codes = BTreeSet::new();
    for call in ["Problem::new(", "invalid_at(", ".problem(", "wrong(", "coded_at("] {
        for rest in text.split(call).skip(1) {
            let arguments: String = rest.chars().take(160).collect();
            codes.extend(arguments.split('"').skip(1).step_by(2).find(is_code).map(str::to_owned));
        }
    }
    // A code that depends is chosen before the call.
    for chosen in text.split("let code = ").skip(1) {
        let words = chosen.split(';').next().unwrap().split('"').skip(1).step_by(2);
        codes.extend(words.filter(is_code).map(str::to_owned));
    }
    assert!(codes.contains("IMMUTABLE") && codes.contains("UNKNOWN_PARAMETER"), "{codes:?}");
    check("book/src/api.md", codes.iter().cloned());
    check_no_other("book/src/api.md", "Problem codes", codes);
}

/// The source of a test that is named `file::function`, as on the page about the contract.
fn source_of(file: &str) -> Option<String> {
    let places = ["tests/tests", "metapaas-core/tests"].map(|place| format!("{place}/{file}.rs"));
    places.iter().find_map(|place| std::fs::read_to_string(workspace_root().join(place)).ok())
}

/// Whether `source` has a function of that name which runs as a test.
fn runs(source: &str, function: &str) -> bool {
    let Some(before) = source.find(&format!("fn {function}(")).map(|at| &source[..at]) else { return false };
    let above = before.rfind('\n').map_or("", |end| &before[..end]);
    let mut attributes = above.lines().rev().take_while(|line| line.starts_with('#'));
    let on_both = source.split_once("on_both!(").and_then(|(_, rest)| rest.split_once(");"));
    let is_listed = |list: &str| list.split(',').any(|one| one.trim() == function);
    attributes.any(|line| line.contains("test")) || on_both.is_some_and(|(list, _)| is_listed(list))
}

#[test]
fn every_rule_of_the_contract_has_tests_that_run() {
    let page = read("book/src/contract-tests.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule |"));
    let (mut rules, mut wrong) = (0, Vec::new());
    for row in rows {
        rules += 1;
        let named: Vec<&str> = row.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect();
        if named.is_empty() {
            wrong.push(format!("no test in: {row}"));
        }
        for name in named {
            let (file, function) = name.split_once("::").unwrap();
            if !source_of(file).is_some_and(|source| runs(&source, function)) {
                wrong.push(format!("{name} is no test that runs"));
            }
        }
    }
    assert!(rules > 70, "the page is written in another way now");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_function_that_nobody_runs_is_no_test() {
    let source = "on_both!(one, two);\n#[tokio::test]\nasync fn three() {}\nasync fn two() {}\nfn four() {}\n\
                  #[test]\nfn five() {}\n";
    let found = ["two", "three", "four", "five", "six"].map(|name| runs(source, name));
    assert_eq!(found, [true, true, false, true, false]);
}

#[test]
fn every_status() {
    check("book/src/api.md", Status::ALL.map(|status| status.as_str().to_owned()));
}

#[test]
fn every_conflict() {
    let codes = quoted_after(&sources("metapaas-core/src/registry/check.rs"), "add(");
    check("book/src/errors/conflicts.md", codes.clone());
    check_no_other("book/src/errors/conflicts.md", "Codes", codes);
}

#[test]
fn every_setting() {
    let config = Config::load(&ServerOptions { data_dir: Some("data".into()), ..ServerOptions::default() });
    let config = serde_json::to_value(config.unwrap()).unwrap();
    let names: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
    check("book/src/operating.md", names.clone());
    check_no_other("book/src/operating.md", "Settings", names.clone());
    let page = read("book/src/operating.md");
    for name in names {
        let variable = format!("`METAPAAS_{}`", name.to_uppercase());
        assert!(page.contains(&variable), "operating.md does not name {variable}");
    }
}

#[test]
fn every_exit_code() {
    let page = read("book/src/cli.md");
    for (code, meaning) in EXIT_CODES {
        assert!(page.contains(&format!("| {code} | {meaning} |")), "cli.md: {code} {meaning}");
    }
}

#[test]
fn every_metric() {
    let server = sources("metapaas-server/src") + &sources("metapaas-core/src");
    let mut names = quoted_after(&server, "counter!(");
    names.extend(quoted_after(&server, "histogram!("));
    names.extend(quoted_after(&server, "gauge!("));
    check("book/src/operating.md", names.clone());
    check_no_other("book/src/operating.md", "Health and metrics", names);
}
