//! [`Throttle`]: after some wrong passwords, each further one makes the next wait longer.
//!
//! Counts of users that exist are in the database, so that they hold for all control planes. Names that do not exist
//! and addresses are counted here, in bounded memory, and by the same rule: an answer does not tell which names exist.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::ops::compute::Op;
use moka::sync::Cache;

use crate::authn::digest;
use crate::error::{Error, ErrorCode};

/// The longest wait.
pub(super) const LONGEST: TimeDelta = TimeDelta::minutes(15);
/// A count whose last wait ended so long ago is forgiven.
pub(super) const FORGIVEN_AFTER: TimeDelta = TimeDelta::hours(1);
const MOST_NAMES: u64 = 20_000;
const MOST_ADDRESSES: u64 = 50_000;

/// How long the next try has to wait after `failures`, of which `free` are free: 1 s, 2 s, 4 s and so on.
pub(super) fn wait_after(failures: u64, free: u32) -> TimeDelta {
    let Some(beyond) = failures.checked_sub(u64::from(free)) else { return TimeDelta::zero() };
    let seconds = 1_i64.checked_shl(u32::try_from(beyond).unwrap_or(u32::MAX)).filter(|wait| *wait > 0);
    seconds.map_or(LONGEST, |seconds| TimeDelta::seconds(seconds.min(LONGEST.num_seconds())))
}

/// `TooManyRequests` with the seconds to wait.
pub(super) fn locked(until: DateTime<Utc>, now: DateTime<Utc>) -> Error {
    let seconds = (until - now).num_seconds().max(0) + 1;
    let text = format!("too many failed logins; try again in {seconds} s");
    Error::new(ErrorCode::TooManyRequests, text).with("retry_after", seconds)
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u64,
    until: DateTime<Utc>,
}

/// Counts of what has no row.
#[derive(Debug)]
pub(super) struct Throttle {
    names: Cache<String, Failures>,
    addresses: Cache<IpAddr, Failures>,
    free_of_name: u32,
    free_of_address: u32,
}

impl Throttle {
    pub(super) fn new(free_of_name: u32, free_of_address: u32) -> Self {
        // Longer than the longest wait, and than it takes to be forgiven.
        let kept = Duration::from_secs(2 * 60 * 60);
        Self {
            names: Cache::builder().max_capacity(MOST_NAMES).time_to_idle(kept).build(),
            addresses: Cache::builder().max_capacity(MOST_ADDRESSES).time_to_idle(kept).build(),
            free_of_name,
            free_of_address,
        }
    }

    /// Until when a name without a user has to wait.
    pub(super) fn until_of_name(&self, name: &str) -> Option<DateTime<Utc>> {
        self.names.get(&digest(name)).map(|failures| failures.until)
    }

    /// # Errors
    /// `TooManyRequests` while the address has to wait.
    pub(super) fn check_address(&self, address: Option<IpAddr>, now: DateTime<Utc>) -> Result<(), Error> {
        let Some(failures) = address.and_then(|address| self.addresses.get(&network(address))) else {
            return Ok(());
        };
        if failures.until > now { Err(locked(failures.until, now)) } else { Ok(()) }
    }

    pub(super) fn name_failed(&self, name: &str, now: DateTime<Utc>) {
        count(&self.names, digest(name), self.free_of_name, now);
    }

    pub(super) fn address_failed(&self, address: Option<IpAddr>, now: DateTime<Utc>) {
        if let Some(address) = address {
            count(&self.addresses, network(address), self.free_of_address, now);
        }
    }
}

fn count<K>(cache: &Cache<K, Failures>, key: K, free: u32, now: DateTime<Utc>)
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
{
    cache.entry(key).and_compute_with(|entry| {
        let before = entry.map(moka::Entry::into_value).filter(|old| old.until > now - FORGIVEN_AFTER);
        let count = before.map_or(0, |old| old.count) + 1;
        Op::Put(Failures { count, until: now + wait_after(count, free) })
    });
}

/// What one customer of a provider has at least: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_as_long_up_to_a_quarter_of_an_hour() {
        let waits: Vec<i64> = [0, 4, 5, 6, 7, 14, 15, 70, u64::MAX]
            .map(|failures| wait_after(failures, 5).num_seconds())
            .into();
        assert_eq!(waits, [0, 0, 1, 2, 4, 512, 900, 900, 900]);
    }

    #[test]
    fn names_and_addresses_are_counted_apart_and_forgiven_after_an_hour() {
        let throttle = Throttle::new(2, 3);
        let now = Utc::now();
        let home: IpAddr = "10.0.0.1".parse().unwrap();
        for _ in 0..2 {
            throttle.name_failed("nobody", now);
            throttle.address_failed(Some(home), now);
        }
        assert!(throttle.until_of_name("nobody").unwrap() > now);
        assert_eq!(throttle.until_of_name("somebody"), None);
        assert!(throttle.check_address(Some(home), now).is_ok());
        throttle.address_failed(Some(home), now);
        let error = throttle.check_address(Some("::ffff:10.0.0.1".parse().unwrap()), now).unwrap_err();
        assert_eq!((error.code, error.extra["retry_after"].as_i64()), (ErrorCode::TooManyRequests, Some(2)));
        assert!(throttle.check_address(Some("10.0.0.2".parse().unwrap()), now).is_ok());
        assert!(throttle.check_address(None, now).is_ok());
        let later = now + TimeDelta::hours(2);
        throttle.name_failed("nobody", later);
        assert!(throttle.until_of_name("nobody").unwrap() <= later);
    }

    #[test]
    fn an_ipv6_customer_is_one_source() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::4"), of("2001:db8:1:3::4"));
    }
}
