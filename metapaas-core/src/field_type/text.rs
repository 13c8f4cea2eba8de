//! Checked texts: `DnsName`, `Domain`, `Email`, `BucketName`, `Cidr`, `InstancePath`.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

use super::{FieldError, FieldType};
use crate::descriptor::{FieldKind, TextFormat};

/// Text without a rule, at most 64 Ki characters unless `len` says otherwise.
pub static ANY_TEXT: TextFormat =
    TextFormat { name: "", expects: "text", max_len: 65_536, accepts: |_| true };

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $format:ident, $format_name:literal, $expects:literal, $max:literal, $accepts:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        static $format: TextFormat =
            TextFormat { name: $format_name, expects: $expects, max_len: $max, accepts: $accepts };

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// What is right, when `text` is not.
            pub fn new(text: impl Into<String>) -> Result<Self, &'static str> {
                let text = text.into();
                let fits = text.chars().count() as u64 <= $format.max_len && ($format.accepts)(&text);
                if fits { Ok(Self(text)) } else { Err($format.expects) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FieldType for $name {
            const KIND: FieldKind = FieldKind::Text(&$format);

            fn to_json(&self) -> Value {
                Value::String(self.0.clone())
            }

            fn from_json(value: &Value) -> Result<Self, FieldError> {
                let text = value.as_str().ok_or_else(|| FieldError::new("a string", value))?;
                Self::new(text).map_err(|expected| FieldError::new(expected, value))
            }

            fn wipe(&mut self) {
                self.0.wipe();
            }
        }
    };
}

checked_text!(
    /// One DNS label (RFC 1123 section 2.1) that starts with a letter: the form of resource names.
    DnsName, DNS_NAME, "dns-label",
    "1 to 63 lower-case letters, digits and hyphens, starting with a letter and not ending with a hyphen",
    63, is_dns_name
);
checked_text!(
    /// A host name of at least two labels (RFC 1123 section 2.1), lower case, no final dot.
    Domain, DOMAIN, "hostname",
    "a domain such as app.example.org, in lower case",
    253, is_domain
);
checked_text!(
    /// An e-mail address: a dot-atom local part (RFC 5321 section 4.1.2) and a domain.
    Email, EMAIL, "email",
    "an e-mail address such as user@example.org",
    254, is_email
);
checked_text!(
    /// An S3 bucket name by the rules of AWS for general purpose buckets.
    BucketName, BUCKET_NAME, "bucket-name",
    "3 to 63 lower-case letters, digits, dots and hyphens, starting and ending with a letter or digit, no two dots together, not an IP address",
    63, is_bucket_name
);
checked_text!(
    /// An IP network such as `10.0.0.0/8` or `2001:db8::/32` (RFC 4632).
    Cidr, CIDR, "cidr",
    "an IP network such as 10.0.0.0/8",
    43, is_cidr
);
checked_text!(
    /// An instance of any type in the same project, by its type's slug and its name or id: `s3/data`.
    InstancePath, INSTANCE_PATH, "instance-path",
    "a type and the name or id of an instance, such as s3/data",
    100, is_instance_path
);

/// Whether `text` may be the name of a resource.
pub(crate) fn is_dns_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase()) && is_label(text)
}

/// Whether `text` may be the name of a user.
pub(crate) fn is_user_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._@-".contains(&byte))
        && text.parse::<uuid::Uuid>().is_err()
}

fn is_instance_path(text: &str) -> bool {
    let is_slug = |slug: &str| {
        slug.starts_with(|first: char| first.is_ascii_lowercase())
            && slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.split_once('/').is_some_and(|(slug, name)| {
        is_slug(slug) && (is_dns_name(name) || name.parse::<uuid::Uuid>().is_ok())
    })
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_domain(text: &str) -> bool {
    let last_is_number = |last: &str| last.bytes().all(|byte| byte.is_ascii_digit());
    match text.rsplit_once('.') {
        Some((_, last)) => !last_is_number(last) && text.split('.').all(is_label),
        None => false,
    }
}

fn is_email(text: &str) -> bool {
    let atom = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte))
    };
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        local.len() <= 64 && local.split('.').all(atom) && is_domain(&domain.to_ascii_lowercase())
    })
}

fn is_bucket_name(text: &str) -> bool {
    const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
    const RESERVED_SUFFIXES: [&str; 4] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3"];
    text.len() >= 3
        && text.split('.').all(is_label)
        && text.parse::<IpAddr>().is_err()
        && !RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
        && !RESERVED_SUFFIXES.iter().any(|suffix| text.ends_with(suffix))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let plain_number =
        bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
    let (Ok(address), Ok(bits), true) = (address.parse::<IpAddr>(), bits.parse::<u32>(), plain_number) else {
        return false;
    };
    let host_bits =
        |width: u32, number: u128| bits <= width && (bits == width || number << (128 - width) << bits == 0);
    match address {
        IpAddr::V4(v4) => host_bits(32, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => host_bits(128, v6.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_their_rules_say() {
        let cases: [(&TextFormat, &[&str], &[&str]); 6] = [
            (&DNS_NAME, &["a", "my-app", "a1"], &["", "A", "1a", "a-", "-a", "a.b", "a_b"]),
            (&DOMAIN, &["a.b", "app.example.org", "1.example"], &["a", "a..b", "a.b.", "A.b", "1.2.3.4"]),
            (&EMAIL, &["a@b.c", "a.b+c@example.org"], &["a", "@b.c", "a@b", "a..b@c.d", "a b@c.d"]),
            (
                &BUCKET_NAME,
                &["abc", "my.bucket-1"],
                &["ab", "a..b", "-ab", "10.0.0.1", "xn--abc", "a.-b", "ABC"],
            ),
            (
                &CIDR,
                &["10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/32", "1.2.3.4/32"],
                &["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/08", "2001:db8::1/32", "x/1"],
            ),
            (
                &INSTANCE_PATH,
                &["s3/data", "app/4d657461-0000-0000-0000-000000000002"],
                &["", "s3", "s3/", "/data", "s3/Data", "s3/data/buckets", "3/data", "s-3/data"],
            ),
        ];
        for (format, right, wrong) in cases {
            for text in right {
                assert!((format.accepts)(text), "{} should accept {text:?}", format.name);
            }
            for text in wrong {
                assert!(!(format.accepts)(text), "{} should refuse {text:?}", format.name);
            }
        }
    }
}
