//! Requests signed as S3 asks for it (Signature Version 4).

use std::io;

use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use metapaas_core::agent::NodeContext;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::plan::{ROOT, Wanted};

/// The region that every instance is in.
pub(crate) const REGION: &str = "us-east-1";

/// Asks for a bucket as its tenant would: the server answers signed requests, with the keys that are wanted.
pub(crate) async fn try_out(node: &NodeContext, wanted: &Wanted) -> io::Result<()> {
    let Some(bucket) = wanted.document.buckets.keys().next() else { return Ok(()) };
    let missing = || io::Error::other("the document has no key of the instance's own");
    let root = wanted.document.users.get(ROOT).ok_or_else(missing)?;
    let (id, key) = root.access_keys.first_key_value().ok_or_else(missing)?;
    let request =
        Call::new(Method::HEAD, &format!("/{bucket}")).signed(node, &Key { id, secret: &key.secret });
    let status = request.send().await.map_err(io::Error::other)?.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("a signed HEAD /{bucket} answers {status}")))
    }
}

/// What a request is signed with.
pub(crate) struct Key<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: &'a str,
}

/// A request that is to be signed.
pub(crate) struct Call {
    method: Method,
    /// Of letters that need no escape.
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), query: Vec::new(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.query = pairs.iter().map(|(name, value)| (escaped(name), escaped(value))).collect();
        self.query.sort();
        self
    }

    /// Adds headers, their names in small letters.
    pub(crate) fn headers(mut self, pairs: &[(&str, &str)]) -> Self {
        self.headers = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string().into_bytes())
    }

    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn signed(&self, node: &NodeContext, key: &Key<'_>) -> RequestBuilder {
        let now = Utc::now();
        let (day, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
        let content = hex(&Sha256::digest(&self.body));
        let mut headers = self.headers.clone();
        headers.push(("x-amz-content-sha256".to_owned(), content.clone()));
        headers.push(("x-amz-date".to_owned(), time.clone()));
        let mut named = headers.clone();
        named.push(("host".to_owned(), node.socket_address().to_string()));
        named.sort();
        let names = named.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let lines: String = named.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let query = self.query.iter().map(|(name, value)| format!("{name}={value}"));
        let query = query.collect::<Vec<_>>().join("&");
        let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\n{content}", self.method, self.path);
        let scope = format!("{day}/{REGION}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let signing = [day.as_str(), REGION, "s3", "aws4_request"]
            .iter()
            .fold(format!("AWS4{}", key.secret).into_bytes(), |key, part| mac(&key, part.as_bytes()));
        let signature = mac_hex(&signing, text.as_bytes());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            key.id
        );
        let target = if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) };
        let request = node.request(self.method.clone(), &target).header("authorization", authorization);
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.body(self.body.clone())
    }
}

/// As URLs and signatures have it: all but letters, digits and `-._~` in hexadecimal.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A text that nobody can make without the key: 64 digits.
pub(crate) fn mac_hex(key: &[u8], text: &[u8]) -> String {
    hex(&mac(key, text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
