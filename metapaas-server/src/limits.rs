//! What one client may ask of a control plane at the most: sizes, times, numbers. Each is a setting.

use std::ops::RangeInclusive;
use std::time::Duration;

use metapaas_core::uploads::UploadLimits;
use serde::{Deserialize, Serialize};

/// The limits of a control plane; names and defaults are documented in `book/src/operating.md`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Header fields of a request.
    pub header_count: u64,
    /// Bytes of all header fields of a request.
    pub header_bytes: u64,
    /// Bytes of path and query.
    pub uri_bytes: u64,
    /// Levels of arrays and objects in a body.
    pub json_depth: u64,
    /// Seconds for a request's headers to arrive in, from its first byte (or from the connection) on.
    pub header_timeout: u64,
    /// Seconds for a request's body to arrive in.
    pub body_timeout: u64,
    /// Seconds to answer in; waits that a client asks for come on top.
    pub request_timeout: u64,
    /// Seconds that a connection is kept without a request.
    pub idle_timeout: u64,
    /// Seconds that a client may take nothing of its answer.
    pub write_timeout: u64,
    /// Connections at one time.
    pub connections: u64,
    /// Connections of one address at one time; 0 is no limit of its own.
    pub connections_per_address: u64,
    /// Requests per second of one user or service account; 0 is no limit.
    pub rate_limit: u64,
    /// How many of these may come at once after a pause; 0 is as many as in a second.
    pub rate_burst: u64,
    /// Requests per second of one address that carry no valid credentials; 0 is no limit.
    pub anonymous_rate_limit: u64,
    /// Seconds that a one-off command may take.
    pub run_timeout: u64,
    /// Hours that the answers to requests with an `Idempotency-Key` are kept.
    pub idempotency_hours: u64,
    /// Bytes of a file that is sent for an instance.
    pub upload_bytes: u64,
    /// Bytes of all such files of one instance.
    pub upload_instance_bytes: u64,
    /// Seconds for such a file to arrive in.
    pub upload_timeout: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_count: 64,
            header_bytes: 16 << 10,
            uri_bytes: 8 << 10,
            json_depth: 100,
            header_timeout: 10,
            body_timeout: 30,
            request_timeout: 60,
            idle_timeout: 75,
            write_timeout: 60,
            connections: 10_000,
            connections_per_address: 0,
            rate_limit: 0,
            rate_burst: 0,
            anonymous_rate_limit: 0,
            run_timeout: 3600,
            idempotency_hours: 24,
            upload_bytes: 128 << 20,
            upload_instance_bytes: 2 << 30,
            upload_timeout: 600,
        }
    }
}

/// One limit: its name, what it may be, and its value.
type Bound = (&'static str, RangeInclusive<u64>, fn(&Limits) -> u64);

/// Longest time that may be set, in seconds.
const DAY: u64 = 24 * 60 * 60;

const BOUNDS: [Bound; 19] = [
    // The parser of requests takes 100 by itself.
    ("header_count", 8..=100, |limits| limits.header_count),
    ("header_bytes", 1024..=(256 << 10), |limits| limits.header_bytes),
    ("uri_bytes", 256..=(60 << 10), |limits| limits.uri_bytes),
    // The reader of JSON takes 127 by itself.
    ("json_depth", 8..=127, |limits| limits.json_depth),
    ("header_timeout", 1..=600, |limits| limits.header_timeout),
    ("body_timeout", 1..=DAY, |limits| limits.body_timeout),
    ("request_timeout", 1..=DAY, |limits| limits.request_timeout),
    ("idle_timeout", 1..=DAY, |limits| limits.idle_timeout),
    ("write_timeout", 1..=DAY, |limits| limits.write_timeout),
    ("connections", 1..=1_000_000, |limits| limits.connections),
    ("connections_per_address", 0..=1_000_000, |limits| limits.connections_per_address),
    ("rate_limit", 0..=1_000_000, |limits| limits.rate_limit),
    ("rate_burst", 0..=1_000_000, |limits| limits.rate_burst),
    ("anonymous_rate_limit", 0..=1_000_000, |limits| limits.anonymous_rate_limit),
    ("run_timeout", 1..=DAY, |limits| limits.run_timeout),
    // The contract promises a day.
    ("idempotency_hours", 24..=8760, |limits| limits.idempotency_hours),
    ("upload_bytes", 1024..=(4 << 30), |limits| limits.upload_bytes),
    ("upload_instance_bytes", 1024..=(1 << 40), |limits| limits.upload_instance_bytes),
    // What has not arrived after two hours is given up.
    ("upload_timeout", 1..=3600, |limits| limits.upload_timeout),
];

impl Limits {
    /// Names of the settings.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        BOUNDS.iter().map(|(name, ..)| *name)
    }

    /// One line for each that is out of its bounds.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let wrong = BOUNDS.iter().filter(|(_, bounds, value)| !bounds.contains(&value(self)));
        wrong
            .map(|(name, bounds, _)| format!("`{name}` must be from {} to {}", bounds.start(), bounds.end()))
            .collect()
    }

    /// What files that are sent for instances may be.
    pub(crate) const fn uploads(&self) -> UploadLimits {
        UploadLimits { bytes: self.upload_bytes, instance_bytes: self.upload_instance_bytes }
    }

    /// How long to wait for a request's headers.
    pub(crate) const fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_timeout)
    }

    /// What a body may be; `bytes` is a setting of its own.
    pub(crate) fn body(&self, bytes: usize) -> BodyLimit {
        BodyLimit {
            bytes,
            depth: usize::try_from(self.json_depth).unwrap_or(usize::MAX),
            timeout: Duration::from_secs(self.body_timeout),
        }
    }
}

/// What a request's body may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    /// Largest size.
    pub bytes: usize,
    /// Levels of arrays and objects.
    pub depth: usize,
    /// How long it may take to arrive.
    pub timeout: Duration,
}
