//! `label_selector=`, as Kubernetes writes it: `a=b,c!=d,e in (x,y),f notin (z),g,!h`; all of them have to hold.

use super::filter::{Filter, LabelTest};
use super::scanner::{Mistake, Scanner};
use super::{TERMS_MAX, TEXT_MAX};

/// Reads a label selector.
///
/// # Errors
/// Where it is wrong and what would be right.
pub fn label_selector(text: &str) -> Result<Filter, Mistake> {
    let mut scanner = Scanner::new(text);
    if text.len() > TEXT_MAX {
        return Err(scanner.mistake_at(0, format!("expected at most {TEXT_MAX} bytes")));
    }
    let mut parts = Vec::new();
    if scanner.is_at_end() {
        return Ok(Filter::default());
    }
    loop {
        if parts.len() == TERMS_MAX {
            let detail = format!("expected at most {TERMS_MAX} requirements");
            return Err(scanner.mistake_at(scanner.place(), detail));
        }
        parts.push(requirement(&mut scanner)?);
        if scanner.is_at_end() {
            return Ok(Filter::All(parts));
        }
        if !scanner.eat(",") {
            return Err(scanner.mistake_at(scanner.place(), "expected a comma or the end"));
        }
    }
}

fn requirement(scanner: &mut Scanner<'_>) -> Result<Filter, Mistake> {
    if scanner.eat("!") {
        let name = name(scanner)?;
        return Ok(Filter::Label { name, test: LabelTest::Exists }.negated());
    }
    let name = name(scanner)?;
    let one_of = |values| Filter::Label { name: name.clone(), test: LabelTest::OneOf(values) };
    if scanner.eat("!=") {
        Ok(one_of(vec![value(scanner)?]).negated())
    } else if scanner.eat("==") || scanner.eat("=") {
        Ok(one_of(vec![value(scanner)?]))
    } else if scanner.eat_word("in") {
        Ok(one_of(values(scanner)?))
    } else if scanner.eat_word("notin") {
        Ok(one_of(values(scanner)?).negated())
    } else {
        Ok(Filter::Label { name, test: LabelTest::Exists })
    }
}

fn values(scanner: &mut Scanner<'_>) -> Result<Vec<String>, Mistake> {
    scanner.skip_space();
    let at = scanner.place();
    if !scanner.eat("(") {
        return Err(scanner.mistake_at(at, "expected values in brackets, as in `tier in (web,api)`"));
    }
    let mut values = Vec::new();
    loop {
        let value = value(scanner)?;
        if !values.contains(&value) {
            values.push(value);
        }
        if values.len() > TERMS_MAX {
            return Err(scanner.mistake_at(at, format!("expected at most {TERMS_MAX} values")));
        }
        if scanner.eat(")") {
            return Ok(values);
        }
        if !scanner.eat(",") {
            return Err(scanner.mistake_at(at, "this bracket is never closed"));
        }
    }
}

fn name(scanner: &mut Scanner<'_>) -> Result<String, Mistake> {
    let (text, at) = word(scanner);
    if is_label_name(text) {
        return Ok(text.into());
    }
    Err(scanner.coded_at(at, "INVALID_VALUE", "expected the name of a label, such as tier"))
}

fn value(scanner: &mut Scanner<'_>) -> Result<String, Mistake> {
    let (text, at) = word(scanner);
    if is_label_value(text) {
        return Ok(text.into());
    }
    let detail =
        "expected up to 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit";
    Err(scanner.coded_at(at, "INVALID_VALUE", detail))
}

fn word<'a>(scanner: &mut Scanner<'a>) -> (&'a str, usize) {
    scanner.skip_space();
    let at = scanner.place();
    (scanner.run(|letter| !letter.is_whitespace() && !",()=!".contains(letter)), at)
}

fn is_label_word(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
}

/// Whether a label may have that value.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_word(text)
}

/// Whether a label may have that name: a word, after an optional DNS prefix and a slash.
pub(super) fn is_label_name(text: &str) -> bool {
    let Some((prefix, name)) = text.split_once('/') else { return is_label_word(text) };
    let is_prefix = |text: &str| {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !text.is_empty() && text.bytes().all(is_part)
    };
    is_label_word(name) && prefix.len() <= 253 && prefix.split('.').all(is_prefix)
}
