//! [`Connection`]: one keep-alive HTTP/1.1 connection.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::error::BenchError;

/// A connection that carries one request at a time.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Opens it.
    pub(crate) async fn open(address: &str) -> Result<Self, BenchError> {
        Self::open_for(address, address).await
    }

    /// Opens it, for requests to a host of another name.
    pub(crate) async fn open_for(address: &str, host: &str) -> Result<Self, BenchError> {
        let connecting = |source| BenchError::Connect { address: address.to_owned(), source };
        let stream = TcpStream::connect(address).await.map_err(connecting)?;
        stream.set_nodelay(true).map_err(connecting)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|source| BenchError::Handshake { address: address.to_owned(), source })?;
        // Its errors reach the caller through the request under way.
        tokio::spawn(connection);
        Ok(Self { sender, host: host.to_owned() })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&mut self, call: &Call) -> Result<(StatusCode, Bytes), BenchError> {
        let mut request =
            Request::builder().method(call.method.clone()).uri(&call.path).header(HOST, &self.host);
        if let Some(token) = &call.token {
            request = request.header(AUTHORIZATION, token);
        }
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request
            .body(Full::new(call.body.clone()))
            .map_err(|source| BenchError::Invalid { request: call.shown(), source })?;
        let failed = |source| BenchError::Request { request: call.shown(), source };
        self.sender.ready().await.map_err(failed)?;
        let response = self.sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(failed)?.to_bytes();
        Ok((status, body))
    }

    /// Sends a request that must succeed and answers its body.
    pub(crate) async fn succeed(&mut self, call: &Call) -> Result<Bytes, BenchError> {
        let (status, body) = self.send(call).await?;
        if status.is_success() {
            return Ok(body);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Err(BenchError::Status { request: call.shown(), status: status.as_u16(), body })
    }

    /// Sends a request that must succeed and reads its JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self, call: &Call) -> Result<T, BenchError> {
        let body = self.succeed(call).await?;
        serde_json::from_slice(&body).map_err(|source| BenchError::Shape { request: call.shown(), source })
    }
}

/// A request to be sent.
pub(crate) struct Call {
    /// GET, POST, PATCH.
    pub(crate) method: Method,
    /// With the query, if any.
    pub(crate) path: String,
    /// The whole value of the authorization header.
    pub(crate) token: Option<HeaderValue>,
    /// JSON, or nothing.
    pub(crate) body: Bytes,
}

impl Call {
    fn shown(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}
