//! [`Scanner`]: walks over the text of a filter, and [`Mistake`], which says where it is wrong.

use crate::error::Problem;

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// How many characters before it are right.
    pub at: usize,
    /// For programs.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Mistake {
    /// As a problem of the parameter `name`.
    pub fn problem(self, name: &str) -> Problem {
        let detail = format!("at character {}: {}", self.at + 1, self.detail);
        Problem::new(format!("?{name}"), self.code, detail)
    }
}

/// A text and how much of it is read.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A value as it is written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) is_quoted: bool,
    pub(super) at: usize,
}

/// A character that names of fields and words have.
const fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn place(&self) -> usize {
        self.at
    }

    pub(super) fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    /// Reads `symbol` when it comes next.
    pub(super) fn eat(&mut self, symbol: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Reads a word when it comes next, whole.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let found = self.rest().strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_word));
        if found {
            self.at += word.len();
        }
        found
    }

    /// Reads as long as `fits`; may be nothing.
    pub(super) fn run(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|letter| !fits(letter)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Reads letters, digits and underscores; may be nothing.
    pub(super) fn word(&mut self) -> &'a str {
        self.skip_space();
        self.run(is_word)
    }

    /// Reads a value: in quotes, or without as far as no space, bracket, comma, quote or operator comes.
    pub(super) fn value(&mut self) -> Result<Written, Mistake> {
        self.skip_space();
        let at = self.at;
        if let Some(quote) = self.rest().chars().next().filter(|letter| matches!(letter, '"' | '\'')) {
            return Ok(Written { text: self.quoted(quote)?, is_quoted: true, at });
        }
        let text = self.run(|letter| !letter.is_whitespace() && !"()\"',=<>!".contains(letter));
        if text.is_empty() {
            return Err(self.mistake_at(at, "expected a value"));
        }
        Ok(Written { text: text.into(), is_quoted: false, at })
    }

    fn quoted(&mut self, quote: char) -> Result<String, Mistake> {
        let start = self.at;
        let mut text = String::new();
        let mut letters = self.rest().char_indices().skip(1);
        while let Some((place, letter)) = letters.next() {
            match letter {
                '\\' => match letters.next() {
                    Some((_, escaped @ ('\\' | '"' | '\''))) => text.push(escaped),
                    _ => {
                        let detail = "a backslash stands only before a quote or another backslash";
                        return Err(self.mistake_at(start + place, detail));
                    }
                },
                letter if letter == quote => {
                    self.at = start + place + quote.len_utf8();
                    return Ok(text);
                }
                letter => text.push(letter),
            }
        }
        Err(self.mistake_at(start, "this quote is never closed"))
    }

    /// A mistake at a place that [`Self::place`] answered.
    pub(super) fn mistake_at(&self, at: usize, detail: impl Into<String>) -> Mistake {
        self.coded_at(at, "INVALID_SYNTAX", detail)
    }

    /// The same with a code of its own.
    pub(super) fn coded_at(&self, at: usize, code: &'static str, detail: impl Into<String>) -> Mistake {
        let at = self.text.get(..at).map_or(0, |before| before.chars().count());
        Mistake { at, code, detail: detail.into() }
    }
}
