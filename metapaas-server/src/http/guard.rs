//! What every request is held to before and after its handler: sizes of URI and headers, rates, time.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use metapaas_core::error::{Error, ErrorCode};

use super::error::ApiError;
use super::state::App;
use crate::listen::Peer;

/// The longest wait that a client may ask for with `wait=`, in seconds.
const WAIT_MAX: u64 = 60;

/// What is known of a request before it is handled.
pub(super) struct Guarded {
    /// Who to hold to account when the request's credentials turn out to be none.
    peer: Option<Peer>,
    timeout: Duration,
}

/// Lets a request in, or says why not.
pub(super) fn admit(app: &App, request: &Request) -> Result<Guarded, Error> {
    let limits = &app.limits;
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len()) as u64;
    if uri > limits.uri_bytes {
        let detail = format!("path and query are larger than {} bytes", limits.uri_bytes);
        return Err(Error::new(ErrorCode::UriTooLong, detail).with("limit", limits.uri_bytes));
    }
    let headers = request.headers();
    if headers.len() as u64 > limits.header_count {
        let detail = format!("there are more than {} header fields", limits.header_count);
        return Err(Error::new(ErrorCode::HeadersTooLarge, detail).with("limit", limits.header_count));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes as u64 > limits.header_bytes {
        let detail = format!("the header fields are larger than {} bytes", limits.header_bytes);
        return Err(Error::new(ErrorCode::HeadersTooLarge, detail).with("limit", limits.header_bytes));
    }
    let peer = request.extensions().get::<Peer>().copied();
    let mut timeout = timeout(limits.request_timeout, request.uri());
    if request.method() == Method::PUT && is_upload(request.uri()) {
        timeout += Duration::from_secs(limits.upload_timeout);
    }
    if headers.contains_key(header::AUTHORIZATION) {
        return Ok(Guarded { peer, timeout });
    }
    if let Some(Peer(peer)) = peer {
        app.rates.address(peer.ip())?;
    }
    Ok(Guarded { peer: None, timeout })
}

impl Guarded {
    /// Runs the handler for as long as it may.
    pub(super) async fn run(self, app: &App, handler: impl Future<Output = Response>) -> Response {
        let Ok(response) = tokio::time::timeout(self.timeout, handler).await else {
            let detail = format!(
                "no answer within {:?}; read whether the change was made before you try again",
                self.timeout
            );
            return ApiError(Error::new(ErrorCode::Unavailable, detail)).into_response();
        };
        // Whoever guesses tokens is slowed down; whoever has one is let in, also from the same address.
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(Peer(peer)) = self.peer
            && let Err(error) = app.rates.address(peer.ip())
        {
            return ApiError(error).into_response();
        }
        response
    }
}

/// Whether a file is sent there, which may take longer than other requests.
fn is_upload(uri: &Uri) -> bool {
    let below = uri.path().strip_prefix("/v1/types/").and_then(|rest| rest.split_once("/instances/"));
    below.and_then(|(_, rest)| rest.split('/').nth(1)) == Some("uploads")
}

fn timeout(seconds: u64, uri: &Uri) -> Duration {
    let waits = uri.query().is_some_and(|query| query.contains("wait="));
    Duration::from_secs(seconds + if waits { WAIT_MAX } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_a_client_asks_for_comes_on_top() {
        let timeout = |uri: &'static str| timeout(5, &Uri::from_static(uri)).as_secs();
        assert_eq!((timeout("/v1/x"), timeout("/v1/x?a=b&wait=30")), (5, 65));
    }
}
