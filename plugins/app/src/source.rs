//! What an app's code may be, wherever it comes from: a repository, or a directory that was uploaded.

/// What `repo` begins with when it is no repository: the digest of the upload follows.
const UPLOAD: &str = "upload:";

/// Files in an app at the most.
pub(crate) const MOST_FILES: usize = 200_000;

/// What `repo` is for a directory that was uploaded under that digest.
pub(crate) fn repo_of(digest: &str) -> String {
    format!("{UPLOAD}{digest}")
}

/// The digest of the upload that `repo` is, when it is one.
pub(crate) fn upload(repo: &str) -> Option<&str> {
    repo.strip_prefix(UPLOAD)
}

/// Whether a link at `path` may lead out of the tree. A target goes up first and then down, if at all: one that goes up
/// after it has gone down leads elsewhere than it says where a part of it is a link itself.
pub(crate) fn leaves(path: &str, target: &str) -> bool {
    if target.starts_with('/') || target.contains('\0') {
        return true;
    }
    let mut depth = path.split('/').count() - 1;
    let mut has_gone_down = false;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 || has_gone_down => return true,
            ".." => depth -= 1,
            _ => has_gone_down = true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::leaves;

    #[test]
    fn links_stay_inside() {
        for (path, target, expected) in [
            ("a", "b", false),
            ("a/b", "../c", false),
            ("a/b", ".././c//d", false),
            ("a", "../c", true),
            ("a/b", "../../c", true),
            ("a", "/etc/passwd", true),
            ("a/b", "x/../../../c", true),
            ("a/b/c", "../../d", false),
            // Where `x` is a link, this is elsewhere than it looks.
            ("a", "x/../b", true),
        ] {
            assert_eq!(leaves(path, target), expected, "{path} -> {target}");
        }
    }
}
