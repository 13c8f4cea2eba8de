//! Reads what stands in an attribute's parentheses, as its key table says, going on after a mistake.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprLit, ExprRange, ExprUnary, Ident, Lit, LitStr, Path, RangeLimits, Token, Type, UnOp};

use crate::errors::{Errors, hint, list};
use crate::symbols::{FIELD, FIELD_KEYS, Form, Key, PAAS_TYPE, RESERVED_KEYS, TYPE_KEYS};

/// A value and the place of its key.
#[derive(Clone)]
pub(crate) struct Given<T> {
    /// The key.
    pub(crate) key: Span,
    /// What the author gave.
    pub(crate) value: T,
}

/// One key of an attribute.
pub(crate) struct Entry {
    /// The row of the table.
    pub(crate) key: &'static Key,
    /// Where the key stands.
    pub(crate) at: Span,
    /// What follows it; `None` when that is wrong, which has been reported.
    pub(crate) value: Option<Value>,
}

/// What follows a key.
pub(crate) enum Value {
    Flag,
    Text(LitStr),
    Interval(Interval),
    Expr(Box<Expr>),
    Path(Path),
    Type(Box<Type>),
    Pairs(Vec<(Ident, LitStr)>),
}

/// `1..=5`, `1..`, `..=5`, `5`
#[derive(Clone)]
pub(crate) struct Interval {
    /// The whole of it.
    pub(crate) tokens: TokenStream,
    /// The least value.
    pub(crate) least: Option<Limit>,
    /// The greatest value.
    pub(crate) greatest: Option<Limit>,
}

/// An end of an interval.
#[derive(Clone)]
pub(crate) struct Limit {
    /// The number itself.
    pub(crate) tokens: TokenStream,
    /// Its value.
    pub(crate) number: f64,
    /// Its value when it is whole.
    pub(crate) integer: Option<i128>,
}

/// Reads `key, key = value, key(...)`, appending to `entries` so that several attributes count as one.
pub(crate) fn read(
    tokens: TokenStream,
    attribute: &str,
    keys: &'static [Key],
    entries: &mut Vec<Entry>,
    errors: &mut Errors,
) {
    separated(tokens, errors, |input, errors| {
        if !input.peek(Ident::peek_any) {
            let example = keys.first().map_or("", |key| key.example);
            return Err(input.error(format!("expected a key of `#[{attribute}(...)]`, such as `{example}`")));
        }
        let name = Ident::parse_any(input)?;
        let Some(key) = keys.iter().find(|key| name == key.name) else {
            return Err(syn::Error::new(name.span(), unknown(&name.to_string(), attribute, keys)));
        };
        let twice = entries.iter().any(|entry| entry.key.name == key.name);
        let before = errors.len();
        let value = value(input, key, &name, errors);
        if twice {
            // The value is read all the same, to go on behind it; its own mistakes are no second error.
            errors.truncate(before);
            errors.at(name.span(), format!("`{name}` is given twice; keep one of the two"));
            skip_to_comma(input);
            return Ok(());
        }
        let value = value.map_err(|error| errors.push(error)).ok();
        if value.is_none() {
            skip_to_comma(input);
        }
        entries.push(Entry { key, at: name.span(), value });
        Ok(())
    });
}

fn unknown(name: &str, attribute: &str, keys: &[Key]) -> String {
    if RESERVED_KEYS.contains(&name) {
        return format!("`{name}` is reserved for API versions, not built yet; remove it");
    }
    let known = |table: &[Key]| table.iter().any(|key| key.name == name);
    let elsewhere = match attribute {
        PAAS_TYPE if known(FIELD_KEYS) => Some(FIELD),
        FIELD if known(TYPE_KEYS) => Some(PAAS_TYPE),
        _ => None,
    };
    let names = || keys.iter().map(|key| key.name);
    let next = match elsewhere {
        Some(other) => format!("it belongs in `#[{other}(...)]`"),
        None => hint(name, names(), &format!("the keys are {}", list(names()))),
    };
    format!("unknown key `{name}` in `#[{attribute}]`; {next}")
}

/// Runs `one` on each part between commas; after a mistake it goes on behind the next comma.
fn separated(
    tokens: TokenStream,
    errors: &mut Errors,
    mut one: impl FnMut(ParseStream<'_>, &mut Errors) -> syn::Result<()>,
) {
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            let done = one(input, errors);
            if let Err(error) = done {
                errors.push(error);
                skip_to_comma(input);
            }
            if !input.is_empty() && !input.peek(Token![,]) {
                errors.push(input.error("expected `,`"));
                skip_to_comma(input);
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        errors.push(error);
    }
}

/// What stands before the next comma.
fn skip_to_comma(input: ParseStream<'_>) -> TokenStream {
    let mut skipped = Vec::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        match input.parse::<TokenTree>() {
            Ok(token) => skipped.push(token),
            Err(_) => break,
        }
    }
    skipped.into_iter().collect()
}

fn ends(input: ParseStream<'_>) -> bool {
    input.is_empty() || input.peek(Token![,])
}

fn value(input: ParseStream<'_>, key: &Key, name: &Ident, errors: &mut Errors) -> syn::Result<Value> {
    let wrong = |tokens: TokenStream| {
        let message = match key.form {
            Form::Flag => format!("`{}` takes no value; write it alone", key.name),
            _ => format!("expected {}, as in `{}`", expected(key.form), key.example),
        };
        if tokens.is_empty() {
            syn::Error::new(name.span(), message)
        } else {
            syn::Error::new_spanned(tokens, message)
        }
    };
    if ends(input) {
        return match key.form {
            Form::Flag | Form::FlagOrText => Ok(Value::Flag),
            _ => Err(wrong(TokenStream::new())),
        };
    }
    if key.form == Form::Pairs {
        return pairs(input, key, errors).map_err(|()| wrong(skip_to_comma(input)));
    }
    let followed = input.peek(Token![=]) || input.peek(syn::token::Paren);
    if matches!(key.form, Form::Flag | Form::FlagOrText) && !followed {
        return Ok(Value::Flag);
    }
    if key.form == Form::Flag || input.parse::<Token![=]>().is_err() {
        return Err(wrong(skip_to_comma(input)));
    }
    // Parsed from a copy first, so that a wrong value can be underlined as a whole.
    let attempt = input.fork();
    let fits = parse_form(&attempt, key.form).is_some();
    if fits && ends(&attempt) {
        return parse_form(input, key.form).ok_or_else(|| wrong(TokenStream::new()));
    }
    // An expression may hold commas, as a closure does; it is one wrong value all the same.
    let attempt = input.fork();
    if attempt.parse::<Expr>().is_ok() && ends(&attempt) {
        return Err(wrong(input.parse::<Expr>().map(quote::ToTokens::into_token_stream)?));
    }
    Err(wrong(skip_to_comma(input)))
}

const fn expected(form: Form) -> &'static str {
    match form {
        Form::Flag => "no value",
        Form::Text | Form::FlagOrText => "a text in quotes",
        Form::Interval => "an interval of numbers",
        Form::Expr => "an expression",
        Form::Path => "a path",
        Form::Type => "a type",
        Form::Pairs => "a list in parentheses",
    }
}

fn parse_form(input: ParseStream<'_>, form: Form) -> Option<Value> {
    match form {
        Form::Flag | Form::Pairs => None,
        Form::Text | Form::FlagOrText => input.parse().ok().map(Value::Text),
        Form::Expr => input.parse().ok().map(Value::Expr),
        Form::Path => match input.parse::<Path>().ok()? {
            // `crate` alone is a path too; `extern` prelude paths start with `::`.
            path if path.segments.is_empty() => None,
            path => Some(Value::Path(path)),
        },
        Form::Type => match input.parse::<Type>().ok()? {
            found @ Type::Path(_) => Some(Value::Type(Box::new(found))),
            _ => None,
        },
        Form::Interval => interval(&input.parse::<Expr>().ok()?).map(Value::Interval),
    }
}

fn pairs(input: ParseStream<'_>, key: &Key, errors: &mut Errors) -> Result<Value, ()> {
    if !input.peek(syn::token::Paren) {
        return Err(());
    }
    let content = match input.parse::<TokenTree>() {
        Ok(TokenTree::Group(group)) => group.stream(),
        _ => return Err(()),
    };
    let mut pairs = Vec::new();
    separated(content, errors, |input, _| {
        let wrong =
            |span| syn::Error::new(span, format!("expected an action and a role, as in `{}`", key.example));
        let name = Ident::parse_any(input).map_err(|error| wrong(error.span()))?;
        input.parse::<Token![=]>().map_err(|_| wrong(name.span()))?;
        let text: LitStr = input.parse().map_err(|_| wrong(input.span()))?;
        pairs.push((name, text));
        Ok(())
    });
    Ok(Value::Pairs(pairs))
}

fn interval(expr: &Expr) -> Option<Interval> {
    let tokens = quote::ToTokens::to_token_stream(expr);
    let (least, greatest) = match expr {
        Expr::Range(ExprRange { start, limits, end, .. }) => {
            // `1..80` without `=` is refused: whether 80 belongs to it would be a guess.
            if matches!(limits, RangeLimits::HalfOpen(_)) && end.is_some() || start.is_none() && end.is_none()
            {
                return None;
            }
            let limit_of = |end: &Option<Box<Expr>>| match end {
                Some(end) => limit(end).map(Some),
                None => Some(None),
            };
            (limit_of(start)?, limit_of(end)?)
        }
        one => {
            let limit = limit(one)?;
            (Some(limit.clone()), Some(limit))
        }
    };
    Some(Interval { tokens, least, greatest })
}

fn limit(expr: &Expr) -> Option<Limit> {
    let tokens = quote::ToTokens::to_token_stream(expr);
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) => {
            let integer = literal.base10_digits().parse::<i128>().ok()?;
            let number = literal.base10_digits().parse().ok()?;
            Some(Limit { tokens, number, integer: Some(integer) })
        }
        Expr::Lit(ExprLit { lit: Lit::Float(literal), .. }) => {
            let number = literal.base10_digits().parse::<f64>().ok().filter(|number| number.is_finite())?;
            Some(Limit { tokens, number, integer: None })
        }
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => {
            let limit = limit(expr)?;
            Some(Limit { tokens, number: -limit.number, integer: limit.integer.map(|integer| -integer) })
        }
        Expr::Group(group) => limit(&group.expr),
        _ => None,
    }
}
