//! `Allow`: a 405 says which methods the path has (RFC 9110). The OpenAPI document knows them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::state::App;

/// The methods of each path.
#[derive(Debug)]
pub struct Methods(Vec<(String, HeaderValue)>);

impl Methods {
    /// Those that a document describes.
    pub fn of(paths: Vec<(String, Vec<&'static str>)>) -> Self {
        let values = paths.into_iter().filter_map(|(path, mut methods)| {
            if methods.contains(&"GET") {
                methods.push("HEAD");
            }
            Some((path, HeaderValue::from_str(&methods.join(", ")).ok()?))
        });
        Self(values.collect())
    }

    fn find(&self, path: &str) -> Option<&HeaderValue> {
        let fits = |template: &str| {
            let mut parts = path.trim_end_matches('/').split('/');
            let all = template.split('/').all(|part| {
                parts
                    .next()
                    .is_some_and(|found| found == part || (part.starts_with('{') && !found.is_empty()))
            });
            all && parts.next().is_none()
        };
        // A path without parameters goes before one with: `/v1/types/{slug}` fits `/v1/types/demo` as well.
        let all = self.0.iter().filter(|(template, _)| fits(template));
        all.min_by_key(|(template, _)| template.matches('{').count()).map(|(_, methods)| methods)
    }
}

/// Adds the header to a 405.
pub(super) fn allow(app: &App, path: &str, response: &mut Response) {
    // Handlers that tell their methods apart themselves have said it, with spaces; what the router says has none.
    let is_said = response.headers().get(header::ALLOW).is_some_and(|said| said.as_bytes().contains(&b' '));
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && !is_said
        && let Some(methods) = app.methods.find(path)
    {
        response.headers_mut().insert(header::ALLOW, methods.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_path_tells() {
        let methods = Methods::of(vec![
            ("/v1/types/{slug}".into(), vec!["GET"]),
            ("/v1/types/demo/instances/{instance}".into(), vec!["GET", "PATCH"]),
            ("/v1/types/{slug}/openapi.json".into(), vec!["GET", "POST"]),
        ]);
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(methods.find(path).map(|found| found.to_str().unwrap()), expected, "{path}");
        };
        check("/v1/types/demo", Some("GET, HEAD"));
        check("/v1/types/demo/", Some("GET, HEAD"));
        check("/v1/types/demo/instances/one", Some("GET, PATCH, HEAD"));
        check("/v1/types/demo/instances", None);
        check("/v1/types/demo/openapi.json", Some("GET, POST, HEAD"));
        check("/v1", None);
    }
}
