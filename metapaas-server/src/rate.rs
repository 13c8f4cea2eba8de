//! How often one principal, or one address without valid credentials, may ask: token buckets, in bounded memory.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metapaas_core::error::{Error, ErrorCode};
use moka::sync::Cache;
use uuid::Uuid;

use crate::limits::Limits;

/// Buckets of each kind that are remembered. A forgotten one is full again.
const BUCKETS: u64 = 100_000;
/// A bucket that nobody took from for so long is full in any case.
const FORGET: Duration = Duration::from_secs(600);

/// The buckets of a control plane.
#[derive(Debug)]
pub struct Rates {
    principals: Option<Buckets<Uuid>>,
    addresses: Option<Buckets<IpAddr>>,
}

#[derive(Debug)]
struct Buckets<K: Hash + Eq + Send + Sync + 'static> {
    quota: Quota,
    clock: DefaultClock,
    buckets: Cache<K, Arc<DefaultDirectRateLimiter>>,
}

impl Rates {
    /// Buckets as the limits say.
    pub fn new(limits: &Limits) -> Self {
        let principals = quota(limits.rate_limit, limits.rate_burst).map(Buckets::new);
        let addresses = quota(limits.anonymous_rate_limit, 0).map(Buckets::new);
        Self { principals, addresses }
    }

    /// Takes one request from a user's or service account's bucket.
    ///
    /// # Errors
    /// `TooManyRequests`, with the seconds after which there is one again.
    pub fn principal(&self, id: Uuid) -> Result<(), Error> {
        self.principals.as_ref().map_or(Ok(()), |buckets| buckets.take(id, "you"))
    }

    /// Takes one request without valid credentials from an address's bucket.
    ///
    /// # Errors
    /// As [`Self::principal`].
    pub fn address(&self, address: IpAddr) -> Result<(), Error> {
        self.addresses.as_ref().map_or(Ok(()), |buckets| buckets.take(group(address), "your address"))
    }
}

fn quota(rate: u64, burst: u64) -> Option<Quota> {
    let number = |number: u64| NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX));
    let rate = number(rate)?;
    Some(Quota::per_second(rate).allow_burst(number(burst).unwrap_or(rate)))
}

/// One client has a whole /64 of IPv6 to itself.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

impl<K: Hash + Eq + Send + Sync + 'static> Buckets<K> {
    fn new(quota: Quota) -> Self {
        let buckets = Cache::builder().max_capacity(BUCKETS).time_to_idle(FORGET).build();
        Self { quota, clock: DefaultClock::default(), buckets }
    }

    fn take(&self, key: K, who: &str) -> Result<(), Error> {
        let bucket = self.buckets.get_with(key, || Arc::new(RateLimiter::direct(self.quota)));
        bucket.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            // Rounded up: who comes back when told is let in.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let rate = self.quota.burst_size();
            let per = self.quota.replenish_interval();
            let detail = format!(
                "too many requests by {who}: one each {per:?} and {rate} at once are allowed; \
                 try again in {seconds} s"
            );
            Error::new(ErrorCode::TooManyRequests, detail).with("retry_after", seconds.max(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(rate_limit: u64, rate_burst: u64, anonymous_rate_limit: u64) -> Rates {
        Rates::new(&Limits { rate_limit, rate_burst, anonymous_rate_limit, ..Limits::default() })
    }

    #[test]
    fn each_has_a_bucket_of_its_own_and_learns_when_to_come_back() {
        let rates = rates(1, 3, 0);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..3 {
            rates.principal(one).unwrap();
        }
        let refused = rates.principal(one).unwrap_err();
        assert_eq!(refused.code, ErrorCode::TooManyRequests);
        assert_eq!(refused.extra["retry_after"], 1);
        rates.principal(other).unwrap();
        // The other limit is off.
        for _ in 0..10_000 {
            rates.address([127, 0, 0, 1].into()).unwrap();
        }
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let rates = rates(0, 0, 1);
        rates.address("2001:db8::1".parse().unwrap()).unwrap();
        rates.address("2001:db8::2".parse().unwrap()).unwrap_err();
        rates.address("2001:db8:0:1::1".parse().unwrap()).unwrap();
        rates.address("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        rates.address("192.0.2.1".parse().unwrap()).unwrap_err();
    }
}
