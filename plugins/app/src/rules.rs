//! Rules of fields: what is no repository, no ref, no name.

#![expect(clippy::ptr_arg, reason = "a check takes the field's own type")]

use metapaas_core::route::host_name;
use metapaas_core::{FieldProblem, Secret};
use url::Url;

use crate::source;
use crate::types::{App, EnvVar};

/// Words that make a variable the platform's.
const RESERVED: [&str; 3] = ["PORT", "METAPAAS_NODE", "METAPAAS_SERVICE"];

/// How git reaches a repository, or why it must not. Whether the operator allows it is asked when it is built. `upload` is
/// for what was uploaded.
pub(crate) fn transport(repo: &str) -> Result<&'static str, String> {
    const EXPECTED: &str = "expected an https: or ssh: URL, or user@host:path";
    if let Some(digest) = source::upload(repo) {
        let is_digest = metapaas_core::agent::is_digest(digest);
        let wrong = "expected upload: and the SHA-256 of what is uploaded, 64 digits of 0-9 and a-f";
        return if is_digest { Ok("upload") } else { Err(wrong.into()) };
    }
    if repo.starts_with('-') || repo.chars().any(|letter| letter.is_control() || letter == ' ') {
        return Err(format!("{EXPECTED}; it may not begin with a hyphen or hold spaces"));
    }
    if repo.contains("::") {
        return Err(format!("{EXPECTED}; remote helpers such as ext:: are not allowed"));
    }
    if let Ok(url) = Url::parse(repo)
        && repo.contains("://")
    {
        let host = url.host_str().unwrap_or_default();
        if url.password().is_some() {
            return Err("a password in the URL is for all to read; use an ssh: URL and deploy_key".into());
        }
        // ssh takes a host that begins with a hyphen for an option.
        if host.starts_with('-') || url.username().starts_with('-') {
            return Err(EXPECTED.into());
        }
        return match url.scheme() {
            "https" if !host.is_empty() => Ok("https"),
            "http" if !host.is_empty() => Ok("http"),
            "ssh" if !host.is_empty() => Ok("ssh"),
            "file" if host.is_empty() => Ok("file"),
            scheme => Err(format!("{EXPECTED}; {scheme}: is not allowed")),
        };
    }
    // The form of scp: no slash before the colon, as git tells it from a path.
    match repo.split_once(':') {
        Some((at, path))
            if at.contains('@') && !at.contains('/') && !path.is_empty() && !at.contains("@-") =>
        {
            Ok("ssh")
        }
        _ => Err(EXPECTED.into()),
    }
}

pub(crate) fn repo(new: &String, _: Option<&String>) -> Result<(), String> {
    transport(new).map(drop)
}

/// Names of branches and tags as git-check-ref-format has them, and whole commit ids.
pub(crate) fn git_ref(new: &String, _: Option<&String>) -> Result<(), String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./+@#=%,".contains(letter);
    let is_wrong = new.starts_with(['-', '/', '.'])
        || new.ends_with(['/', '.'])
        || ["..", "//", "@{", "/."].iter().any(|part| new.contains(part))
        || new.ends_with(".lock")
        || !new.chars().all(is_plain);
    if is_wrong { Err("expected the name of a branch or tag, or a whole commit id".into()) } else { Ok(()) }
}

pub(crate) fn subdir(new: &String, _: Option<&String>) -> Result<(), String> {
    let is_fine = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part != ".git" && !part.starts_with('-')
    };
    let is_plain = new.chars().all(|letter| !letter.is_control() && !":\\".contains(letter));
    if new.is_empty() || (is_plain && new.split('/').all(is_fine)) {
        Ok(())
    } else {
        Err("expected a folder in the repository, such as services/web".into())
    }
}

pub(crate) fn domains(new: &Vec<String>, _: Option<&Vec<String>>) -> Result<(), String> {
    match new.iter().find(|name| host_name(name).is_none() || !name.contains('.')) {
        Some(name) => Err(format!("{name:?} is no host name such as www.example.com")),
        None => Ok(()),
    }
}

pub(crate) fn env_name(new: &String, _: Option<&String>) -> Result<(), String> {
    let is_name = new.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !new.starts_with(|first: char| first.is_ascii_digit());
    if !is_name {
        return Err("expected letters, digits and underscores, the first no digit".into());
    }
    if RESERVED.contains(&new.as_str()) {
        return Err(format!("{new} is set by the platform"));
    }
    Ok(())
}

pub(crate) fn env_var(new: &EnvVar, _: Option<&EnvVar>) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    if new.value.is_some() == new.secret.is_some() {
        problems
            .push(FieldProblem::new("value", "give value, or secret when nobody is to read it, not both"));
    }
    let texts = [new.value.as_deref(), new.secret.as_ref().map(|secret| secret.expose().as_str())];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        problems.push(FieldProblem::new("value", "it may not hold NUL"));
    }
    problems
}

/// What a tenant does not choose.
pub(crate) fn complete(new: App, old: Option<&App>) -> App {
    match old {
        None => App { build_token: Some(Secret::generate()), ..new },
        Some(_) => new,
    }
}

pub(crate) fn app(new: &App, _: Option<&App>) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let program = new.command.as_ref().and_then(|command| command.first());
    if program.is_some_and(|program| program.is_empty() || program.starts_with('-')) {
        problems.push(FieldProblem::new("command/0", "expected a program, which begins with no hyphen"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_reached_by_known_transports_only() {
        for (given, expected) in [
            ("https://git.example.com/a/b.git", Some("https")),
            ("ssh://git@git.example.com:22/a/b.git", Some("ssh")),
            ("git@git.example.com:a/b.git", Some("ssh")),
            ("http://127.0.0.1:1/a", Some("http")),
            ("file:///srv/a.git", Some("file")),
            (format!("upload:{}", "0a".repeat(32)).as_str(), Some("upload")),
            ("upload:", None),
            (format!("upload:{}", "0A".repeat(32)).as_str(), None),
            ("ext::sh -c whoami", None),
            ("ext::whoami", None),
            ("--upload-pack=whoami", None),
            ("-oProxyCommand=x", None),
            ("ssh://-oProxyCommand=x/a", None),
            ("git@-oProxyCommand=x:a", None),
            ("https://user:password@git.example.com/a", None),
            ("git://git.example.com/a", None),
            ("ftp://git.example.com/a", None),
            ("/srv/a.git", None),
            ("../a", None),
            ("file://host/a", None),
            ("https://", None),
            ("https://git.example.com/a\nb", None),
        ] {
            assert_eq!(transport(given).ok(), expected, "{given}");
        }
    }

    #[test]
    fn refs_and_folders_and_names_are_plain() {
        let check = |found: Result<(), String>, expected: bool, given: &str| {
            assert_eq!(found.is_ok(), expected, "{given}");
        };
        for (given, expected) in [
            ("main", true),
            ("HEAD", true),
            ("feature/a-b", true),
            ("v1.0", true),
            ("--upload-pack=x", false),
            ("a..b", false),
            ("a:b", false),
            ("a b", false),
            ("a^{commit}", false),
            ("refs/heads/a.lock", false),
        ] {
            check(git_ref(&given.to_owned(), None), expected, given);
        }
        for (given, expected) in [
            ("", true),
            ("a/b", true),
            ("../a", false),
            ("/a", false),
            ("a//b", false),
            (".git", false),
            ("a:b", false),
        ] {
            check(subdir(&given.to_owned(), None), expected, given);
        }
        for (given, expected) in [
            ("A_1", true),
            ("_a", true),
            ("1A", false),
            ("A-B", false),
            ("PORT", false),
            ("A=B", false),
            ("Ä", false),
        ] {
            check(env_name(&given.to_owned(), None), expected, given);
        }
    }
}
