//! Rules about single Rust files.

use super::SourceFile;

/// Lines of a file less its tests.
const MOST_LINES: usize = 600;

/// Text that a tool wrote or compares: no comment of ours belongs there.
fn is_fixture(path: &str) -> bool {
    // `metapaas migrate make` writes list.rs; it is included as an expression, where `//!` may not stand.
    path.ends_with("/migrations/list.rs")
        || ["/tests/ui/", "/tests/expand/"].iter().any(|folder| path.contains(folder))
}

/// The first line says what the file is for.
pub(super) fn module_docs(file: &SourceFile) -> Vec<String> {
    let silent = file.is_rust() && !is_fixture(&file.path) && !file.text.starts_with("//! ");
    silent
        .then(|| format!("{}: the first line is not `//! what the file is for`", file.path))
        .into_iter()
        .collect()
}

/// Short enough to be read in one go.
pub(super) fn size(file: &SourceFile) -> Vec<String> {
    let tests = file.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(file.text.len());
    let lines = file.text[..tests].lines().count();
    let long = file.is_rust() && lines > MOST_LINES;
    long.then(|| format!("{}: {lines} lines without tests; split it below {MOST_LINES}", file.path))
        .into_iter()
        .collect()
}

/// Only the store imports the database crates.
pub(super) fn sql_in_store(file: &SourceFile) -> Vec<String> {
    // The baseline is what one writes without the framework.
    const ALLOWED: &[&str] =
        &["metapaas-core/src/store.rs", "metapaas-core/src/store/", "examples/baseline/", "tests/src/tidy/"];
    if !file.is_rust() || ALLOWED.iter().any(|prefix| file.path.starts_with(prefix)) {
        return Vec::new();
    }
    let names =
        |line: &str| ["sqlx::", "sea_query::", "use sqlx", "use sea_query"].iter().any(|n| line.contains(n));
    let found = file.code_lines().filter(|(_, line)| names(line));
    found
        .map(|(number, _)| format!("{}:{number}: names sqlx or sea_query; only the store may", file.path))
        .collect()
}

/// In the macro crate only what emits makes tokens.
pub(super) fn quote_in_emit(file: &SourceFile) -> Vec<String> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let concerned = file.path.starts_with("metapaas-macros/src/")
        && !file.path.starts_with("metapaas-macros/src/tests/")
        && !["emit.rs", "fallback.rs"].contains(&name);
    let quotes = |line: &str| line.contains("quote!") || line.contains("quote_spanned!");
    let found = file.code_lines().filter(|(_, line)| concerned && quotes(line));
    found
        .map(|(number, _)| format!("{}:{number}: quote! belongs into emit.rs or fallback.rs", file.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&SourceFile) -> Vec<String>, path: &str, text: &str, complaints: usize) {
        assert_eq!(rule(&SourceFile::new(path, text)).len(), complaints, "{path}");
    }

    #[test]
    fn docs() {
        check(module_docs, "a/src/lib.rs", "//! What it is for.\n", 0);
        check(module_docs, "a/src/lib.rs", "use std::fs;\n", 1);
        check(module_docs, "a/tests/ui/wrong/key.rs", "use std::fs;\n", 0);
        check(module_docs, "a/notes.md", "text\n", 0);
    }

    #[test]
    fn sizes() {
        let code = "//! Text.\n".repeat(600);
        check(size, "a/src/lib.rs", &code, 0);
        check(size, "a/src/lib.rs", &format!("{code}fn one() {{}}\n"), 1);
        check(size, "a/src/lib.rs", &format!("{code}#[cfg(test)]\nmod tests {{\n}}\n"), 0);
    }

    #[test]
    fn sql() {
        check(sql_in_store, "metapaas-core/src/store/value.rs", "use sqlx::Row;", 0);
        check(sql_in_store, "metapaas-core/src/authz.rs", "use sqlx::Row;", 1);
        check(sql_in_store, "metapaas-server/src/http.rs", "fn f(e: sea_query::Expr) {}", 1);
        check(sql_in_store, "metapaas-core/src/authz.rs", "// sqlx::Row would be wrong here", 0);
    }

    #[test]
    fn quotes() {
        check(quote_in_emit, "metapaas-macros/src/paas_type/emit.rs", "quote! {}", 0);
        check(quote_in_emit, "metapaas-macros/src/paas_type/parse.rs", "quote! {}", 1);
        check(quote_in_emit, "metapaas-macros/src/tests/expansions.rs", "quote! {}", 0);
        check(quote_in_emit, "metapaas-core/src/plan.rs", "quote! {}", 0);
    }
}
