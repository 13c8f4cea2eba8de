//! Text for people: values in table cells, ages, durations, and nothing that moves the cursor.

use chrono::{DateTime, Utc};
use serde_json::Value;

const CELL_WIDTH: usize = 48;

/// The text with control characters written out, so that what a server or another user wrote cannot drive the
/// terminal.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible_direction(character) {
            cleaned.extend(character.escape_default());
        } else {
            cleaned.push(character);
        }
    }
    cleaned
}

/// Marks that make text read in another order than it stands in.
const fn is_invisible_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value as people read it: text without quotes, nothing for null, JSON for what has parts.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        Value::Object(members) if members.values().all(Value::is_string) => {
            let pair = |(name, value): (&String, &Value)| format!("{}={}", clean(name), plain(value));
            members.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        other => clean(&other.to_string()),
    }
}

/// A value for a column of a list: as [`plain`], cut to a width that leaves room for others.
pub(crate) fn cell(value: &Value) -> String {
    let text = plain(value);
    if text.chars().count() <= CELL_WIDTH {
        return text;
    }
    let mut cut: String = text.chars().take(CELL_WIDTH - 3).collect();
    cut.push_str("...");
    cut
}

/// How long ago that RFC 3339 time was, in its greatest unit; the text itself when it is none.
pub(crate) fn age(value: &Value, now: DateTime<Utc>) -> String {
    let Some(time) = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok()) else {
        return cell(value);
    };
    let seconds = (now - time.to_utc()).num_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The known word that the user may have meant, as `; did you mean ...?`, or nothing.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let closest = known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(given, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 4)
        .min();
    closest.map_or_else(String::new, |(_, word)| format!("; did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_well() {
        for (value, expected) in [
            (json!(null), ""),
            (json!("a\nb"), "a\\nb"),
            (json!(["a", 1, true]), "a, 1, true"),
            (json!({"tier": "web"}), "tier=web"),
            (json!([{"a": 1}]), "[{\"a\":1}]"),
            (json!("\u{202e}txt"), "\\u{202e}txt"),
        ] {
            assert_eq!(plain(&value), expected);
        }
        assert_eq!(cell(&json!("é".repeat(60))).chars().count(), CELL_WIDTH);
    }

    #[test]
    fn ages_use_one_unit() {
        let now = DateTime::parse_from_rfc3339("2026-01-02T00:00:00Z").unwrap().to_utc();
        for (time, expected) in [
            ("2026-01-01T23:59:30Z", "30s"),
            ("2026-01-01T23:00:00Z", "60m"),
            ("2026-01-01T12:00:00Z", "12h"),
            ("2025-12-02T00:00:00Z", "31d"),
            ("2026-01-02T00:00:05Z", "0s"),
            ("soon", "soon"),
        ] {
            assert_eq!(age(&json!(time), now), expected);
        }
    }

    #[test]
    fn only_close_words_are_suggested() {
        let known = ["greeting", "replicas", "theme"];
        assert_eq!(did_you_mean("greting", known), "; did you mean `greeting`?");
        assert_eq!(did_you_mean("colour", known), "");
    }
}
