//! [`Filter`]: which rows a list has, as a tree. It is either true or false of a row: what is null is equal to
//! nothing, and so differs from every value.

use std::fmt;

use super::fields::Field;
use super::literal::{Literal, quote};

/// Which rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Those that every part accepts; all rows when there are none.
    All(Vec<Filter>),
    /// Those that some part accepts.
    Any(Vec<Filter>),
    /// Those that it does not accept.
    Not(Box<Filter>),
    /// By a field.
    Field {
        /// Which one.
        field: Field,
        /// What of it.
        test: Test,
    },
    /// By a label.
    Label {
        /// Its name.
        name: String,
        /// What of it.
        test: LabelTest,
    },
}

/// What a filter wants of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// How it compares with a value.
    Compare(Comparison, Literal),
    /// It has one of these values.
    OneOf(Vec<Literal>),
    /// The text has this part.
    Contains(String),
    /// It is null.
    IsNull,
}

/// What a filter wants of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelTest {
    /// That it is there.
    Exists,
    /// It has one of these values.
    OneOf(Vec<String>),
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// The operator.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Filter {
    /// Whether it accepts every row, as one sees at once.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::All(parts) if parts.is_empty())
    }

    /// Rows that both accept.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(mut parts), Self::All(others)) => {
                parts.extend(others);
                Self::All(parts)
            }
            (Self::All(mut parts), other) => {
                parts.push(other);
                Self::All(parts)
            }
            (one, other) if other.is_everything() => one,
            (one, other) => Self::All(vec![one, other]),
        }
    }

    /// Rows that it does not accept.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl fmt::Display for Filter {
    /// As the parser reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (index, part) in parts.iter().enumerate() {
                let before = if index == 0 { "" } else { word };
                write!(f, "{before}({part})")?;
            }
            Ok(())
        };
        match self {
            Self::All(parts) => joined(f, parts, " AND "),
            Self::Any(parts) => joined(f, parts, " OR "),
            Self::Not(part) => write!(f, "NOT ({part})"),
            Self::Field { field, test } => match test {
                Test::Compare(comparison, value) => {
                    write!(f, "{} {} {value}", field.name, comparison.as_str())
                }
                Test::OneOf(values) => {
                    for (index, value) in values.iter().enumerate() {
                        let before = if index == 0 { "" } else { " OR " };
                        write!(f, "{before}{} = {value}", field.name)?;
                    }
                    Ok(())
                }
                Test::Contains(part) => {
                    write!(f, "{}:", field.name)?;
                    quote(f, part)
                }
                Test::IsNull => write!(f, "{} = null", field.name),
            },
            Self::Label { name, test } => match test {
                LabelTest::Exists => {
                    f.write_str("labels:")?;
                    quote(f, name)
                }
                LabelTest::OneOf(values) => {
                    for (index, value) in values.iter().enumerate() {
                        f.write_str(if index == 0 { "labels." } else { " OR labels." })?;
                        quote(f, name)?;
                        f.write_str(" = ")?;
                        quote(f, value)?;
                    }
                    Ok(())
                }
            },
        }
    }
}
