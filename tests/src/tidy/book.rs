//! Rules about the book: every page is listed, every link leads to a file.

use std::collections::BTreeSet;

use super::SourceFile;

const PAGES: &str = "book/src/";
const SUMMARY: &str = "book/src/SUMMARY.md";

/// SUMMARY.md lists every page, and every page that it lists exists.
pub(super) fn summary(tree: &[SourceFile]) -> Vec<String> {
    let Some(summary) = tree.iter().find(|file| file.path == SUMMARY) else {
        return vec![format!("{SUMMARY} is missing")];
    };
    let listed: BTreeSet<_> =
        targets(&summary.text).iter().filter_map(|link| resolve(SUMMARY, link)).collect();
    let is_page = |path: &str| path.starts_with(PAGES) && path.ends_with(".md") && path != SUMMARY;
    let pages: BTreeSet<_> = tree.iter().map(|file| file.path.clone()).filter(|path| is_page(path)).collect();
    let unlisted = pages.difference(&listed).map(|page| format!("{page}: not in {SUMMARY}"));
    let missing = listed.difference(&pages).map(|page| format!("{SUMMARY}: {page} does not exist"));
    unlisted.chain(missing).collect()
}

/// Relative links of all Markdown files name files or folders of the tree.
pub(super) fn links(tree: &[SourceFile]) -> Vec<String> {
    let exists = |path: &str| {
        let folder = format!("{}/", path.trim_end_matches('/'));
        tree.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    };
    let mut complaints = Vec::new();
    for file in tree.iter().filter(|file| file.path.ends_with(".md")) {
        for link in targets(&file.text) {
            match resolve(&file.path, link) {
                Some(path) if !exists(&path) => {
                    complaints.push(format!("{}: `{link}` leads nowhere", file.path))
                }
                _ => {}
            }
        }
    }
    complaints
}

/// The targets of `[text](target)` outside of code.
fn targets(text: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every other part between backticks is code.
        for part in line.split('`').step_by(2) {
            let starts = part.match_indices("](").map(|(start, found)| &part[start + found.len()..]);
            targets.extend(starts.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target));
        }
    }
    targets
}

/// The file that a relative link means; nothing for other sites and for places in the same page.
fn resolve(from: &str, link: &str) -> Option<String> {
    let path = link.split('#').next().unwrap_or_default();
    if path.is_empty() || path.contains(':') {
        return None;
    }
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let check = |summary_text: &str| {
            let pages = [SourceFile::new("book/src/a.md", ""), SourceFile::new("book/src/b/c.md", "")];
            let tree = pages.into_iter().chain([SourceFile::new(SUMMARY, summary_text)]);
            summary(&tree.collect::<Vec<_>>()).len()
        };
        assert_eq!(check("- [A](a.md)\n- [C](b/c.md)"), 0);
        assert_eq!(check("- [A](a.md)"), 1);
        assert_eq!(check("- [A](a.md)\n- [C](./b/c.md)\n- [D](d.md)"), 1);
        assert_eq!(summary(&[]).len(), 1);
    }

    #[test]
    fn relative_links() {
        let check = |text: &str| {
            let tree =
                [SourceFile::new("book/src/a.md", text), SourceFile::new("examples/minimal/Cargo.toml", "")];
            links(&tree).len()
        };
        assert_eq!(check("[x](a.md#top) [y](#here) [z](https://example.com/no.md)"), 0);
        assert_eq!(check("[x](../../examples/minimal)"), 0);
        assert_eq!(check("[x](b.md)"), 1);
        assert_eq!(check("`[x](b.md)`"), 0);
        assert_eq!(check("```\n[x](b.md)\n```"), 0);
        assert_eq!(check("text [x](a.md) and [y](b.md)"), 1);
    }
}
