//! Patterns with `*` and `?`, and the variables `${...}` in them.

use super::Keys;

/// Stands for a literal character in an expanded pattern, so that the value of a variable is never a wildcard.
const LITERAL: char = '\u{fffe}';

/// Whether `*` (any run of characters) and `?` (one) in the pattern can be filled to give the text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut position) = (0, 0);
    // Where the last `*` stood, and up to where it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        let step = match pattern.get(at) {
            Some('*') => {
                star = Some((at, position));
                at += 1;
                continue;
            }
            Some('?') => 1,
            Some(&LITERAL) if pattern.get(at + 1) == Some(&text[position]) => 2,
            Some(&LITERAL) | None => 0,
            Some(character) => usize::from(*character == text[position]),
        };
        if step > 0 {
            at += step;
            position += 1;
        } else if let Some((star_at, reach)) = star {
            star = Some((star_at, reach + 1));
            (at, position) = (star_at + 1, reach + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|character| *character == '*')
}

/// Fills in variables: `${aws:username}`, `${key, 'default'}`, and `${*}`, `${?}`, `${$}` for the characters themselves.
/// A variable that the request has no single value for stands for a character that nothing has.
pub(super) fn expand(pattern: &str, keys: &Keys) -> String {
    substitute(pattern, keys, |expanded, value| {
        value.chars().for_each(|character| expanded.extend([LITERAL, character]));
    })
}

/// The same for a text that is no pattern.
pub(super) fn fill(text: &str, keys: &Keys) -> String {
    substitute(text, keys, String::push_str)
}

fn substitute(pattern: &str, keys: &Keys, put: impl Fn(&mut String, &str)) -> String {
    let mut expanded = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else { break };
        expanded.push_str(before);
        put(&mut expanded, value(name, keys).as_deref().unwrap_or("\u{ffff}"));
        rest = behind;
    }
    expanded.push_str(rest);
    expanded
}

fn value(name: &str, keys: &Keys) -> Option<String> {
    if matches!(name, "*" | "?" | "$") {
        return Some(name.to_owned());
    }
    let (name, default) = name.split_once(',').map_or((name, None), |(name, default)| (name, Some(default)));
    match keys.get(name.trim()) {
        Some([value]) => Some(value.clone()),
        _ => default.map(|default| default.trim().trim_matches('\'').to_owned()),
    }
}
