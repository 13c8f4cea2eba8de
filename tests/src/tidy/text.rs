//! Rules about any text: what belongs to one machine or one site stays out of the tree.

use super::SourceFile;

/// Starts of paths that exist on somebody's machine. In parts, so that this file keeps its own rule.
const MACHINE_PATHS: &[&str] =
    &[concat!("/", "work/"), concat!("/", "root/"), concat!("/", "Users/"), concat!("/", "home/")];
/// Parts of host names that package mirrors have.
const MIRRORS: &[&str] = &[concat!("arti", "factory"), concat!("nexus", ".")];
/// The one source of crates.
const PUBLIC_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// No absolute path of a machine.
pub(super) fn machine_paths(file: &SourceFile) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for prefix in MACHINE_PATHS {
            let absolute = line.match_indices(prefix).any(|(start, _)| {
                let before = line[..start].chars().next_back();
                // `a/work/b`, `./work/b` and `$HOME/work/b` are no absolute paths.
                before.is_none_or(|c| !(c.is_alphanumeric() || "._-}/~$*>".contains(c)))
            });
            if absolute {
                complaints.push(format!("{}:{}: `{prefix}` is a path of one machine", file.path, index + 1));
            }
        }
    }
    complaints
}

/// Crates come from the public index, and no text names another.
pub(super) fn registries(file: &SourceFile) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let lower = line.to_lowercase();
        let mirror = MIRRORS.iter().any(|part| lower.contains(part));
        let locked = file.path.ends_with("Cargo.lock")
            && line.strip_prefix("source = ").is_some_and(|source| source.trim_matches('"') != PUBLIC_SOURCE);
        let replaced = file.path.ends_with(".cargo/config.toml")
            && ["[source", "[registr"].iter().any(|table| line.trim_start().starts_with(table));
        if mirror || locked || replaced {
            complaints.push(format!("{}:{}: names a package registry of one site", file.path, index + 1));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |text: &str| machine_paths(&SourceFile::new("a.md", text)).len();
        for prefix in MACHINE_PATHS {
            assert_eq!(check(&format!("cd {prefix}thing")), 1);
            assert_eq!(check(&format!("{prefix}thing")), 1);
            assert_eq!(check(&format!("cd .{prefix}thing")), 0);
            assert_eq!(check(&format!("see https://example.com{prefix}thing")), 0);
        }
    }

    #[test]
    fn sources() {
        let check = |path: &str, text: &str| registries(&SourceFile::new(path, text)).len();
        assert_eq!(check("Cargo.lock", &format!("source = \"{PUBLIC_SOURCE}\"")), 0);
        assert_eq!(check("Cargo.lock", "source = \"registry+https://crates.example.com/index\""), 1);
        assert_eq!(check(".cargo/config.toml", "[source.crates-io]"), 1);
        assert_eq!(check("README.md", &format!("https://{}.example.com", MIRRORS[0])), 1);
        assert_eq!(check("README.md", "the registry of types"), 0);
    }
}
