//! Ids of resources: UUIDv7 that hold the time of creation to the microsecond, so that the order of ids is the order
//! of `created_at`, and a list by time needs no index of its own.

use chrono::{DateTime, Utc};
use uuid::{Builder, Uuid};

/// A new id for a row that is made at `created_at`.
pub fn new_id(created_at: DateTime<Utc>) -> Uuid {
    let mut random = [0; 10];
    random.iter_mut().zip(Uuid::new_v4().as_bytes().iter().rev()).for_each(|(to, from)| *to = *from);
    let low = random[1] & 0b11;
    at(created_at, low, random)
}

/// The least id that a row made at `created_at` can have.
pub fn first_id(created_at: DateTime<Utc>) -> Uuid {
    at(created_at, 0, [0; 10])
}

/// RFC 9562 leaves the 12 bits after the milliseconds to us: ten hold the microseconds, `low` is the other two.
fn at(time: DateTime<Utc>, low: u8, mut rest: [u8; 10]) -> Uuid {
    // Times before 1970 come before all ids.
    let micros = u64::try_from(time.timestamp_micros()).unwrap_or_default();
    let [high, middle] = u16::try_from((micros % 1000) << 2).unwrap_or_default().to_be_bytes();
    rest[0] = high;
    rest[1] = middle | low;
    Builder::from_unix_timestamp_millis(micros / 1000, &rest).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_time() {
        let micros = [0, 1, 999, 1000, 1001, 1_790_000_000_123_456, 1_790_000_000_123_457];
        let times = micros.map(|micros| DateTime::from_timestamp_micros(micros).unwrap());
        for pair in times.windows(2) {
            for _ in 0..20 {
                let (id, next) = (new_id(pair[0]), new_id(pair[1]));
                assert!(first_id(pair[0]) <= id && id < first_id(pair[1]) && id < next, "{id} {next}");
                assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            }
        }
    }

    #[test]
    fn times_before_1970_come_first() {
        let early = DateTime::from_timestamp_micros(-5).unwrap();
        assert_eq!(first_id(early), first_id(DateTime::UNIX_EPOCH));
    }

    #[test]
    fn ids_of_one_moment_differ() {
        let now = Utc::now();
        assert_ne!(new_id(now), new_id(now));
    }
}
