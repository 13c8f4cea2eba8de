//! How many requests were answered, and how long that took.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

type Series = (Counter, Histogram);

/// The metrics of requests. Each series is looked up once, not with every request.
#[derive(Default)]
pub struct Counts {
    series: RwLock<HashMap<(&'static str, StatusCode), Series>>,
}

impl Counts {
    /// Counts an answered request.
    pub(super) fn record(&self, method: &Method, status: StatusCode, elapsed: Duration) {
        let method = label(method);
        let known =
            self.series.read().unwrap_or_else(PoisonError::into_inner).get(&(method, status)).cloned();
        let (requests, seconds) = known.unwrap_or_else(|| {
            let series = (
                metrics::counter!("metapaas_http_requests_total", "method" => method, "status" => status.as_str().to_owned()),
                metrics::histogram!("metapaas_http_request_seconds", "method" => method),
            );
            let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
            all.entry((method, status)).or_insert(series).clone()
        });
        requests.increment(1);
        seconds.record(elapsed.as_secs_f64());
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counts").finish_non_exhaustive()
    }
}

/// A client chooses the method; it must not be able to make endless series.
fn label(method: &Method) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    KNOWN.into_iter().find(|known| method.as_str() == *known).unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_makes_no_series() {
        assert_eq!(label(&Method::PATCH), "PATCH");
        assert_eq!(label(&Method::OPTIONS), "OTHER");
        assert_eq!(label(&Method::from_bytes(b"BREW").unwrap()), "OTHER");
    }
}
