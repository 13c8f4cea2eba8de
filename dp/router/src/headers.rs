//! Header fields that concern one connection alone (RFC 9110, section 7.6.1), and those that tell a node of its client.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Fields of one connection, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::UPGRADE,
];

/// What is said of the client: whatever it says of itself is thrown away, as nobody stands in front of this router.
const FORWARDED: [HeaderName; 6] = [
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-real-ip"),
];

/// Whether this is the beginning of a WebSocket. No other protocol is switched to: `h2c` would hide requests.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrades = tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let mut protocols = tokens(headers, &header::UPGRADE);
    upgrades
        && protocols.next().is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
        && protocols.next().is_none()
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Takes away what concerns one connection alone. The length of the body is that of the message itself and stays,
/// unless the body comes in chunks.
pub fn end_to_end(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            tokens(headers, &header::CONNECTION).filter_map(|token| token.parse().ok()).collect();
        for name in named {
            // A client must not be able to strip what the message itself needs.
            if !matches!(
                name,
                header::HOST | header::CONTENT_LENGTH | header::CONTENT_TYPE | header::AUTHORIZATION
            ) {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if headers.remove(header::TRANSFER_ENCODING).is_some() {
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// Tells the node of the client: its address, the host name that it asked for, and the port that it came in by.
pub fn forward(headers: &mut HeaderMap, client: &HeaderValue, host: &HeaderValue, port: &HeaderValue) {
    for name in &FORWARDED {
        headers.remove(name);
    }
    let [_, from, of_host, proto, of_port, _] = &FORWARDED;
    headers.insert(from, client.clone());
    headers.insert(of_host, host.clone());
    headers.insert(proto, HeaderValue::from_static("http"));
    headers.insert(of_port, port.clone());
}

/// The host name that a request is for, in lower case and without a port; `None` when it says none or several.
pub fn host(headers: &HeaderMap, uri: &hyper::Uri) -> Option<(String, HeaderValue)> {
    let mut values = headers.get_all(header::HOST).iter();
    let of_header = values.next();
    if values.next().is_some() {
        return None;
    }
    // An absolute URI wins over the header (RFC 9112, section 3.2.2).
    let value = match uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok()?,
        None => of_header?.clone(),
    };
    let text = value.to_str().ok()?;
    let name = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => text.rsplit_once(':').map_or(text, |(name, _)| name),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    (!name.is_empty() && name.bytes().all(is_host)).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_concerns_one_connection_ends_there() {
        let mut given = headers(&[
            ("connection", "close, X-Private, Host, Authorization"),
            ("x-private", "1"),
            ("host", "a"),
            ("authorization", "Bearer x"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "x"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("x-kept", "1"),
        ]);
        end_to_end(&mut given);
        let mut left: Vec<&str> = given.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "host", "x-kept"]);
    }

    #[test]
    fn only_a_websocket_is_switched_to() {
        for (connection, upgrade, expected) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, upgrade", "WebSocket", true),
            ("keep-alive", "websocket", false),
            ("upgrade", "h2c", false),
            ("upgrade", "websocket, h2c", false),
        ] {
            let given = headers(&[("connection", connection), ("upgrade", upgrade)]);
            assert_eq!(is_websocket(&given), expected, "{connection} {upgrade}");
        }
    }

    #[test]
    fn a_host_has_one_form() {
        let of =
            |value: &str| host(&headers(&[("host", value)]), &"/".parse().unwrap()).map(|(name, _)| name);
        assert_eq!(of("Blog.Localhost:7490").as_deref(), Some("blog.localhost"));
        assert_eq!(of("blog.localhost.").as_deref(), Some("blog.localhost"));
        assert_eq!(of("[::1]:80").as_deref(), Some("::1"));
        assert_eq!(of("a/b"), None);
        assert_eq!(of(""), None);
        assert_eq!(host(&headers(&[("host", "a"), ("host", "b")]), &"/".parse().unwrap()), None);
        let absolute = host(&headers(&[("host", "a")]), &"http://b/".parse().unwrap());
        assert_eq!(absolute.map(|(name, _)| name).as_deref(), Some("b"));
    }

    #[test]
    fn a_client_does_not_say_who_it_is() {
        let mut given = headers(&[("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")]);
        let text = HeaderValue::from_static;
        forward(&mut given, &text("127.0.0.1"), &text("a:1"), &text("1"));
        assert_eq!(given["x-forwarded-for"], "127.0.0.1");
        assert!(!given.contains_key("forwarded"));
        assert_eq!(given["x-forwarded-host"], "a:1");
    }
}
