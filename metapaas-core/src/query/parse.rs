//! `filter=`: comparisons with AND, OR, NOT and brackets, after AIP-160. AND binds closer than OR, as in SQL.

use super::fields::{Field, Fields};
use super::filter::{Comparison, Filter, LabelTest, Test};
use super::literal::Kind;
use super::scanner::{Mistake, Scanner, Written};
use super::selector::{is_label_name, is_label_value};
use super::{DEPTH_MAX, TERMS_MAX, TEXT_MAX};

/// Reads a filter.
///
/// # Errors
/// Where it is wrong and what would be right.
pub fn filter(fields: &Fields, text: &str) -> Result<Filter, Mistake> {
    let mut parser = Parser { scanner: Scanner::new(text), fields, depth: 0, terms: 0 };
    if text.len() > TEXT_MAX {
        return Err(parser.wrong(0, format!("expected at most {TEXT_MAX} bytes")));
    }
    if parser.scanner.is_at_end() {
        return Ok(Filter::default());
    }
    let filter = parser.any()?;
    if parser.scanner.is_at_end() {
        return Ok(filter);
    }
    let detail = if parser.scanner.rest().starts_with(')') {
        "this bracket was never opened"
    } else {
        "expected AND, OR or the end; text with spaces goes in quotes"
    };
    Err(parser.wrong(parser.scanner.place(), detail))
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    fields: &'a Fields,
    depth: usize,
    terms: usize,
}

const OPERATORS: [(&str, Comparison); 6] = [
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Parser<'_> {
    fn wrong(&self, at: usize, detail: impl Into<String>) -> Mistake {
        self.scanner.mistake_at(at, detail)
    }

    fn any(&mut self) -> Result<Filter, Mistake> {
        let mut parts = vec![self.all()?];
        while self.scanner.eat_word("OR") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, one_of))
    }

    fn all(&mut self) -> Result<Filter, Mistake> {
        let mut parts = vec![self.one()?];
        while self.scanner.eat_word("AND") {
            parts.push(self.one()?);
        }
        Ok(joined(parts, Filter::All))
    }

    /// What is nested is read by calls of this function in itself, so their number has a bound.
    fn one(&mut self) -> Result<Filter, Mistake> {
        self.scanner.skip_space();
        let at = self.scanner.place();
        if self.depth == DEPTH_MAX {
            return Err(self.wrong(at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let one = if self.scanner.eat_word("NOT") {
            self.one()?.negated()
        } else if self.scanner.eat("(") {
            let inner = self.any()?;
            if !self.scanner.eat(")") {
                return Err(self.wrong(at, "this bracket is never closed"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(one)
    }

    fn comparison(&mut self) -> Result<Filter, Mistake> {
        let at = self.scanner.place();
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(self.wrong(at, format!("expected at most {TERMS_MAX} comparisons")));
        }
        let name = self.scanner.word();
        if name.is_empty() {
            return Err(self.wrong(at, "expected a field, NOT or an opening bracket"));
        }
        let Some(field) = self.fields.get(name) else {
            let problem = self.fields.not_filterable("", name);
            return Err(self.scanner.coded_at(at, problem.code, problem.detail));
        };
        if field.kind == Kind::Labels {
            return self.label();
        }
        self.scanner.skip_space();
        let operator_at = self.scanner.place();
        if self.scanner.eat(":") {
            let value = self.scanner.value()?;
            if field.kind != Kind::Text {
                let detail = format!("`:` is for text and labels; {name} takes {}", operators(field));
                return Err(self.wrong(operator_at, detail));
            }
            if value.text.contains('\0') {
                return Err(self.wrong(value.at, "text may not hold NUL (U+0000)"));
            }
            return Ok(Filter::Field { field, test: Test::Contains(value.text) });
        }
        let Some((_, comparison)) = OPERATORS.iter().find(|(sign, _)| self.scanner.eat(sign)) else {
            return Err(self.wrong(operator_at, format!("expected one of {} after {name}", operators(field))));
        };
        if self.scanner.rest().starts_with('=') {
            return Err(self.wrong(operator_at, "equality is written with one `=`"));
        }
        let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if !is_equality && !field.kind.is_ordered() {
            return Err(self.wrong(operator_at, format!("{name} takes {}", operators(field))));
        }
        let value = self.scanner.value()?;
        if field.nullable && is_equality && !value.is_quoted && value.text == "null" {
            let is_null = Filter::Field { field, test: Test::IsNull };
            return Ok(if *comparison == Comparison::Equal { is_null } else { is_null.negated() });
        }
        let Some(literal) = field.kind.parse(&value.text) else {
            let detail = format!("{name}: expected {}", field.kind.expects());
            return Err(self.scanner.coded_at(value.at, "INVALID_VALUE", detail));
        };
        Ok(Filter::Field { field, test: Test::Compare(*comparison, literal) })
    }

    /// `labels:name`, `labels.name = value` and `labels.name != value`.
    fn label(&mut self) -> Result<Filter, Mistake> {
        let expects = "expected labels:NAME, labels.NAME = VALUE or labels.NAME != VALUE";
        if self.scanner.rest().starts_with('.') {
            self.scanner.eat(".");
            let name = self.label_name()?;
            self.scanner.skip_space();
            let operator_at = self.scanner.place();
            let is_equal = self.scanner.eat("=");
            if !is_equal && !self.scanner.eat("!=") {
                return Err(self.wrong(operator_at, expects));
            }
            let value = self.scanner.value()?;
            if !is_label_value(&value.text) {
                let detail = "a label never has such a value";
                return Err(self.scanner.coded_at(value.at, "INVALID_VALUE", detail));
            }
            let has = Filter::Label { name, test: LabelTest::OneOf(vec![value.text]) };
            return Ok(if is_equal { has } else { has.negated() });
        }
        self.scanner.skip_space();
        let at = self.scanner.place();
        if !self.scanner.eat(":") {
            return Err(self.wrong(at, expects));
        }
        Ok(Filter::Label { name: self.label_name()?, test: LabelTest::Exists })
    }

    fn label_name(&mut self) -> Result<String, Mistake> {
        self.scanner.skip_space();
        let at = self.scanner.place();
        let Written { text, .. } = if self.scanner.rest().starts_with(['"', '\'']) {
            self.scanner.value()?
        } else {
            let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
            Written { text: self.scanner.run(is_part).into(), is_quoted: false, at }
        };
        if is_label_name(&text) {
            return Ok(text);
        }
        Err(self.scanner.coded_at(at, "INVALID_VALUE", "expected the name of a label, such as tier"))
    }
}

fn operators(field: Field) -> &'static str {
    match field.kind {
        Kind::Text => "= != < <= > >= :",
        kind if kind.is_ordered() => "= != < <= > >=",
        _ => "= !=",
    }
}

fn joined(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// Equalities of one field are one test, which an index may serve.
fn one_of(parts: Vec<Filter>) -> Filter {
    let mut values = Vec::new();
    let mut of = None;
    for part in &parts {
        match part {
            Filter::Field { field, test: Test::Compare(Comparison::Equal, value) }
                if of.is_none_or(|of| of == *field) =>
            {
                of = Some(*field);
                if !values.contains(value) {
                    values.push(value.clone());
                }
            }
            _ => return Filter::Any(parts),
        }
    }
    match of {
        Some(field) => Filter::Field { field, test: Test::OneOf(values) },
        None => Filter::Any(parts),
    }
}
