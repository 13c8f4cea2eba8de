//! [`Admin`]: signed requests of the platform's own key, to S3 and to the admin API, which differ in their paths only.

use std::io;

use metapaas_core::agent::{DriverError, ItemError, NodeContext};
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::ROOT_KEY;
use crate::plan::Wanted;
use crate::sign::{Call, Key};

pub(super) struct Admin<'a> {
    node: &'a NodeContext,
    key: Key<'a>,
}

impl<'a> Admin<'a> {
    pub(super) fn new(node: &'a NodeContext, wanted: &'a Wanted) -> Self {
        Self { node, key: Key { id: ROOT_KEY, secret: &wanted.document.usage_token } }
    }

    /// What is at a path, as it comes.
    pub(super) async fn text(&self, path: &str, query: &[(&str, &str)]) -> io::Result<String> {
        let (status, text) = self.send(&Call::new(Method::GET, path).query(query)).await?;
        match status {
            200..300 => Ok(text),
            _ => Err(io::Error::other(format!("GET {path} answers {status}: {}", reason(&text)))),
        }
    }

    /// What is at a path, in JSON.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> io::Result<T> {
        let text = self.text(path, query).await?;
        serde_json::from_str(&text).map_err(|error| io::Error::other(format!("GET {path}: {error}")))
    }

    /// As [`Self::read`], as a step of an apply.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, DriverError> {
        let found = self.read(path, query).await;
        found.map_err(|source| DriverError::Effect { action: "ask RustFS what it has".to_owned(), source })
    }

    /// Changes something: answers whether it was done. What the server refuses is an error of `item`; what it could not
    /// do is tried again.
    pub(super) async fn change(
        &self,
        item: &str,
        call: Call,
        errors: &mut Vec<ItemError>,
    ) -> Result<bool, DriverError> {
        let action = format!("set up {item}");
        let (status, text) = self
            .node
            .effect(action.clone(), async {
                let (status, text) = self.send(&call).await?;
                match status {
                    500.. | 429 => Err(io::Error::other(format!("{status}: {}", reason(&text)))),
                    _ => Ok((status, text)),
                }
            })
            .await?;
        if status < 400 {
            return Ok(true);
        }
        let code = if text.contains("<Code>BucketNotEmpty<") { "BUCKET_NOT_EMPTY" } else { "ENGINE_REFUSED" };
        errors.push(ItemError {
            item: item.to_owned(),
            code: code.to_owned(),
            message: format!("RustFS refuses it: {}", reason(&text)),
        });
        Ok(false)
    }

    async fn send(&self, call: &Call) -> io::Result<(u16, String)> {
        let answer = call.signed(self.node, &self.key).send().await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(io::Error::other)?))
    }
}

/// What an error in XML says, or the text itself.
fn reason(text: &str) -> &str {
    element(text, "Message").next().unwrap_or(text).trim()
}

/// The texts of all elements of that name, which have no attributes and whose texts have nothing escaped.
pub(super) fn element<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(open.as_str())?;
        let (found, after) = after.split_once(close.as_str())?;
        rest = after;
        Some(found)
    })
}
