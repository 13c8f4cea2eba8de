//! One-time passwords (RFC 6238, HMAC-SHA-1, six digits, 30 seconds) for deletes of versions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

const STEP_SECONDS: u64 = 30;

/// Remembers the step of the last password that was taken, because each is good for one request only.
#[derive(Debug, Default)]
pub(crate) struct LastStep(AtomicU64);

/// Whether `header`, the value of `x-amz-mfa` (a device's serial number, a space, a password), shows knowledge of the
/// base32 `secret` now. A step earlier or later is taken too, for clocks that are not quite right.
pub(crate) fn accepts(secret: &str, header: Option<&str>, last: &LastStep) -> bool {
    let Some(password) = header.and_then(|header| header.split_whitespace().last()) else { return false };
    let Some(secret) = base32(secret) else { return false };
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = seconds / STEP_SECONDS;
    let Some(step) = [now - 1, now, now + 1]
        .into_iter()
        .find(|step| is_same(at_step(&secret, *step).as_bytes(), password.as_bytes()))
    else {
        return false;
    };
    last.0.fetch_max(step, Ordering::AcqRel) < step
}

/// In a time that does not tell how many bytes are right.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

fn at_step(secret: &[u8], step: u64) -> String {
    let Ok(mut hmac) = Hmac::<Sha1>::new_from_slice(secret) else { return String::new() };
    hmac.update(&step.to_be_bytes());
    let digest = hmac.finalize().into_bytes();
    let offset = usize::from(digest[19] & 15);
    let number =
        digest[offset..offset + 4].iter().fold(0u32, |number, byte| (number << 8) | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (vec![], 0u32, 0u32);
    for character in text.trim_end_matches('=').chars().filter(|character| !character.is_whitespace()) {
        let digit = match character.to_ascii_uppercase() {
            letter @ 'A'..='Z' => u32::from(letter) - u32::from('A'),
            number @ '2'..='7' => u32::from(number) - u32::from('2') + 26,
            _ => return None,
        };
        (held, bits) = ((held << 5) | digit, bits + 5);
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
        held &= (1 << bits) - 1;
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 6238, appendix B, in six digits.
    #[test]
    fn passwords_are_those_of_the_standard() {
        for (seconds, password) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(at_step(b"12345678901234567890", seconds / STEP_SECONDS), password);
        }
    }

    #[test]
    fn base32_is_read() {
        assert_eq!(base32("GEZD GNBVGY3TQOJQ").as_deref(), Some(&b"1234567890"[..]));
        assert_eq!(base32("0"), None);
    }

    #[test]
    fn a_password_is_good_once() {
        let last = LastStep::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / STEP_SECONDS;
        let header = format!("serial {}", at_step(b"1234567890", now));
        assert!(accepts("GEZDGNBVGY3TQOJQ", Some(&header), &last));
        assert!(!accepts("GEZDGNBVGY3TQOJQ", Some(&header), &last));
        assert!(!accepts("GEZDGNBVGY3TQOJQ", Some("serial 000000x"), &LastStep::default()));
        assert!(!accepts("GEZDGNBVGY3TQOJQ", None, &last));
    }
}
