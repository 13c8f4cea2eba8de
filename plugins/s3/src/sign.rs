//! Requests signed as S3 asks for it (Signature Version 4), by the instance's own key.

use std::io;

use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use metapaas_core::agent::NodeContext;
use reqwest::{Method, RequestBuilder};
use sha2::{Digest, Sha256};

use crate::plan::{ROOT, Wanted};

/// The region that every instance is in.
pub(crate) const REGION: &str = "us-east-1";

/// Asks for a bucket as its tenant would: the server answers signed requests, with the keys that are wanted.
pub(crate) async fn try_out(node: &NodeContext, wanted: &Wanted) -> io::Result<()> {
    let Some(bucket) = wanted.document.buckets.keys().next() else { return Ok(()) };
    let request = signed(node, wanted, Method::HEAD, &format!("/{bucket}"), "", Vec::new())?;
    let status = request.send().await.map_err(io::Error::other)?.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("a signed HEAD /{bucket} answers {status}")))
    }
}

/// A signed request of the instance's own key. `query` is in the order and the encoding that the signature asks for.
///
/// # Errors
/// When the document has no such key.
pub(crate) fn signed(
    node: &NodeContext,
    wanted: &Wanted,
    method: Method,
    path: &str,
    query: &str,
    body: Vec<u8>,
) -> io::Result<RequestBuilder> {
    let missing = || io::Error::other("the document has no key of the instance's own");
    let root = wanted.document.users.get(ROOT).ok_or_else(missing)?;
    let (id, key) = root.access_keys.first_key_value().ok_or_else(missing)?;
    let now = Utc::now();
    let (day, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
    let (host, content) = (node.socket_address().to_string(), hex(&Sha256::digest(&body)));
    let names = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!(
        "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{content}\nx-amz-date:{time}\n\n{names}\n{content}"
    );
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let secret = format!("AWS4{}", key.secret);
    let signing = [day.as_str(), REGION, "s3", "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| mac(&key, part.as_bytes()));
    let signature = hex(&mac(&signing, text.as_bytes()));
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let request = node.request(method, &target).header("authorization", authorization);
    Ok(request.header("x-amz-content-sha256", content).header("x-amz-date", time).body(body))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
