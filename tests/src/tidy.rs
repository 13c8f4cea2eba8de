//! Rules about the tree, as tests. Each complaint says which file, what is wrong and what to do.
//!
//! A rule is a function from text to complaints, so that its own test shows that it can fail.

mod arrows;
mod book;
mod manifest;
mod source;
mod text;

use std::path::Path;

use crate::workspace_root;

/// What git does not track.
const NOT_OURS: &[&str] = &["target", ".git", "book/book"];

/// A text file of the tree.
pub(crate) struct SourceFile {
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Numbered lines that are not comments.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// All text files, sorted by path.
fn tree() -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect(&workspace_root(), "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) {
    for entry in folder.read_dir().unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if NOT_OURS.contains(&path.as_str()) {
            continue;
        }
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file()
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            files.push(SourceFile { path, text });
        }
    }
}

#[track_caller]
fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[track_caller]
fn assert_each(rule: fn(&SourceFile) -> Vec<String>) {
    let tree = tree();
    assert!(tree.iter().any(|file| file.path == "metapaas-core/src/lib.rs"), "the tree was not found");
    assert_none(tree.iter().flat_map(rule).collect());
}

#[test]
fn rust_files_say_what_they_are_for() {
    assert_each(source::module_docs);
}

#[test]
fn files_are_short() {
    assert_each(source::size);
}

#[test]
fn only_the_store_speaks_sql() {
    assert_each(source::sql_in_store);
}

#[test]
fn only_emit_and_fallback_quote() {
    assert_each(source::quote_in_emit);
}

#[test]
fn arrows_point_forward() {
    assert_none(arrows::complaints(&tree()));
}

#[test]
fn no_paths_of_a_machine() {
    assert_each(text::machine_paths);
}

#[test]
fn no_registry_but_the_public_one() {
    assert_each(text::registries);
}

#[test]
fn manifests_share_versions_licence_and_lints() {
    assert_each(manifest::inherited);
}

#[test]
fn every_package_is_a_member() {
    assert_none(manifest::members(&tree()));
}

#[test]
fn the_server_has_a_feature_for_each_plugin() {
    assert_none(manifest::plugin_features(&tree()));
}

#[test]
fn book_summary_lists_every_page() {
    assert_none(book::summary(&tree()));
}

#[test]
fn book_links_lead_somewhere() {
    assert_none(book::links(&tree()));
}
