//! [`Pattern`]: a permission, or a set of them by `*` in the place of whole parts.

use std::fmt;
use std::sync::Arc;

/// Stands for any part.
const ANY: &str = "*";
const FIELD: &str = "field:";

/// `<slug>.<plural>.<verb>`, where the verb is an action or `field:<name>` and each part may be `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: Arc<str>,
    /// Where the two dots are.
    dots: (usize, usize),
}

impl Pattern {
    /// The pattern written so; `None` when it is not of three parts.
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.find('.')?;
        let second = first + 1 + text[first + 1..].find('.')?;
        let parts = [&text[..first], &text[first + 1..second], &text[second + 1..]];
        let is_part = |part: &&str| {
            let word = part.strip_prefix(FIELD).unwrap_or(part);
            let is_word = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            **part == *ANY || (!word.is_empty() && is_word)
        };
        let is_right = parts.iter().all(is_part) && parts[..2].iter().all(|part| !part.starts_with(FIELD));
        is_right.then(|| Self { text: text.into(), dots: (first, second) })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Slug, plural, verb.
    pub fn parts(&self) -> [&str; 3] {
        let (first, second) = self.dots;
        [&self.text[..first], &self.text[first + 1..second], &self.text[second + 1..]]
    }

    /// Whether a part is `*`.
    pub fn is_open(&self) -> bool {
        self.parts().contains(&ANY)
    }

    /// Whether it gives the action, or the permission that is written `field:<name>`.
    pub fn gives(&self, slug: &str, plural: &str, verb: &str) -> bool {
        let [own_slug, own_plural, own_verb] = self.parts();
        fits(own_slug, slug) && fits(own_plural, plural) && fits(own_verb, verb)
    }

    /// Whether it gives the permission to set a guarded field.
    pub fn gives_field(&self, slug: &str, plural: &str, field: &str) -> bool {
        let [own_slug, own_plural, own_verb] = self.parts();
        let is_field = own_verb == ANY || own_verb.strip_prefix(FIELD) == Some(field);
        is_field && fits(own_slug, slug) && fits(own_plural, plural)
    }

    /// Whether it gives all that `other` gives, also of types yet to come.
    pub fn covers(&self, other: &Self) -> bool {
        let [slug, plural, verb] = other.parts();
        self.gives(slug, plural, verb)
    }
}

fn fits(own: &str, wanted: &str) -> bool {
    own == ANY || own == wanted
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_matches_part_by_part() {
        for (pattern, permission, expected) in [
            ("s3.instances.create", "s3.instances.create", true),
            ("s3.instances.*", "s3.instances.create", true),
            ("s3.*.read", "s3.buckets.read", true),
            ("*.*.*", "s3.buckets.field:quota", true),
            ("s3.buckets.field:quota", "s3.buckets.field:quota", true),
            ("s3.buckets.field:quota", "s3.buckets.field:name", false),
            ("s3.instances.read", "s3.instances.create", false),
            ("s3.instances.read", "s3.instances.*", false),
            ("s3.instances.*", "s3.*.*", false),
        ] {
            let [one, other] = [pattern, permission].map(|text| Pattern::parse(text).unwrap());
            assert_eq!(one.covers(&other), expected, "{pattern} {permission}");
            if let [slug, plural, verb] = other.parts()
                && let Some(field) = verb.strip_prefix("field:")
            {
                assert_eq!(one.gives_field(slug, plural, field), expected, "{pattern} {permission}");
            }
        }
    }

    #[test]
    fn only_three_whole_parts_are_a_pattern() {
        for text in [
            "",
            "*",
            "s3.*",
            "s3.instances",
            "s3.inst*.read",
            "s3..read",
            "s3.a.read.more",
            "s3.a.field:",
            "field:a.b.c",
            "s3.a. read",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
