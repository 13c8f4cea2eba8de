//! Tokens of issuers, good and bad, against keys that a fake issuer publishes.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{FetchJson, GroupRole, IssuerSettings, Oidc};
use crate::error::{Error, ErrorCode};

const ISSUER: &str = "https://id.example.com/one";
// Keys made for these tests and for nothing else.
const ED_ONE: &str = "MC4CAQAwBQYDK2VwBCIEIAx27JEASw7K7nEsVu2pNj0iihXM6SPEdPd8hcXifDpA";
const ED_TWO: &str = "MC4CAQAwBQYDK2VwBCIEIMT4llWaH/uX1g4959V7QLyoLZh2/tMJ/aZeNbxh9kGc";
const EC: &str = "\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4/neDkOV0idIl95NFax5Be8wRkdymlgWW6pEFehXBCyhRANCAATw\
WfFgYdo5iK0hsxvrRI507aVomS4iEJGL4F+4RYl5BSqhamx6Pek9cK+JUkLdz4qVn5JsXFiUI2Gz9wNRAN77";
const RSA: &str = "\
MIIEogIBAAKCAQEAr+FFQJzW/ztkETr+Qoy0MtaYYu1DLlMFNpt7fWMVzkcr4UhpEy0FMi5JcBAy+DZj8t9Dip+z/dEPoH0d0EPE\
oGTmzlcPOGL0LCyy4Mz5zWeE1AzZlMZkJkX0RNado7qCEJ7tQdV8kAQH35V+5PmfzRRWoOqEbjBhGHdArOenwpqX7AxNa3Bmw2F8\
qXF7kd4yhGZMsoWpYiaPQkDAFseCtQnI4lgzbEhf9FXEpjX7KOOP/FYv7NgQbP0BXgtohct2Z/fv9lCc8MUbnbEoWhn5zIQ6LVQu\
IezNYOmCUE/UxTQWRYX9WZId5IMtC7o67FdiseU7aS6EsFzLPTu/K27BUQIDAQABAoH/N+ApdLs6iWlJcTkPAEfKE0EwtirBU/P1\
RArTrls8Rs6schp16+PxoF1Pl2hE7a0jDygaZjbIx/yAvLmVU7vGJ1x5SVj/OpYjE1yEkyH5VfhGZiDcrM4abDwRvB8yp/hNXn76\
gTs4kKO3Luofn2OTNa0eKrN7PyHkJKP1E4ugfhR3ldFU1nzCjcX6BGAYcPHUhY346lx1mwCvYGSDWVmgKJB+Qz3KokIEADd10pPX\
0Gk/jysS6nHhysfJdUE98iScvwGemrxuu0wNY7GSTDrkgrIGIi07WkDyvyUgUahhRa/qPnmtw+B2io3WV6D6sbW31tsKFhYz8lze\
sOIDCqPBAoGBAOoSlagHrRG0giRBtwAclyTn0BbCO8pxg55Hv6AJVJVz/8jAGeNUC5GLbIXTyinS4B13wNpCzPr74LgFqCUaW9T/\
/0v5oQ3aqDx50MQ0U6o879UDHki4/UTeN6XUclEdhNYT9YTAKq7u6Lj+eGB3LflDQk/NSQcLEdILVH04K9FBAoGBAMBbI3B8azL6\
lr20m/jm43D7LrjirSKF2RUpz9rbxSBuyNPaHuP6SqtAlNSwojY7x4BwN7jxu+eWw7wTCS21tjamhd1kbDezOPQGS7QErKu3Ndtg\
C27jJknr7pnLNWNGWHdahRtod/FlPC5mHdoAxxlLGwaMA5t/0fG/M7VqMtwRAoGBANZ6jvz3g6MMho9YU6nbiLb9XlPsSEMYvmSD\
E9g9lG6Zas/1DgOaWDtVyOvbg4vNOSRnPaQAv7heoaudK1RMEcdbhv+DzgpWx/8aE6wk0mDUE2JYyCAUuaWoBM+Dmfgvly9d/INW\
XgYKzd3s9jpWGh8jfRiIXxkAEKUpUpKmrKfBAoGAOYHFyZZY0ifasyJw0uvsKVXe9QVHr5+Gc+5JJuw3NegJAFUgkRW+Bw7Kr/+S\
r1YV4c8qyY7zl1wabnrebpz5ucL1GGgydkCNkV7keRBAsyGV510CbgdY5ha0AaSf9GsOfbhBPR1xZmjWoiSDXi6HV4d9r+piFbYU\
BQsdoWn7hJECgYEA1wWbRFFlrrO3WP4GQC8uNYe2Bkc52kLQo6bVN+6ElLRzrRy3z2eww+nUygf/JjyIT9ds/+6c61uKG5grHDRz\
evzTiFMqIc0ozygXQmZGg3N1qXFTxEVjfZG+vJSNZBTXfW9BnJuOQ395SrTEQ3uDotwQOYW/98aiWw5q3APtkJI=";
const RSA_SMALL: &str = "\
MIICXgIBAAKBgQDYGkZD372jjI7hpICy304z91CVzc2q6bZ2ZcC1IwgzzE1SKD8ZTaLrybm/iG4hGbsbhhFpUdD4/9SVGonMrGMp\
HnIAXdg7jF0Cmon3s/7YIMFXk+9xx+bx506S9qQKh6INMKRPLAqRH81P3mlFSsVjuH4V4Rb49Gw1G1Bw3nYdGQIDAQABAoGBAIPA\
YR54hpHz3BjNxnlHk9Iy8jqi4sVVAB1nI/pLhXCvGmUAjJfMsYu3zTts3lfn7B93uZ3Qd+uXbfAJ4gGbCEimnH4h8tcNXlPYwrvZ\
/96uj1I0FlKGAJlDzZqd91uv0NW5JaklO+q/6FW2+/B8cOZa20FpZ57aHks3hHJY1G7RAkEA8GKF8itLi7jPAPuiQoqaLunn99FS\
m5FBfhlX35X1vuWdRh0oNli+/Uk2eoyhhROXWtStqzsZlNdpN8cD8KltawJBAOYj80sLbBfGWyzz64RlJIGGpqm5DZcU7m25yjns\
HP2NbNqKNn9cyV8BIPRrfqJyZuE5/+ZASDuXh7TLDB+AHIsCQF4clIhdPvRy5EhkPACFNxwK45B4WTkiw1tVHLwif9W/G7XpkGbG\
k++iDDwqdsodA3LCNUQGnVtSgpUdy4MbMgUCQQDgxWvxd45zCgAyv2jfPgmRl/le+qYTURYthK/GMp195orSRvtDGVRzvZ56GiLs\
dd+VShhswYvK6Axav5VvjqhRAkEAmrCSxPnxE7Nx8acFJRRKp6vVEBiLih8fn2xql7WSDxgqyQmD1lMj0tihknYme2Tg1KXaWoWD\
p8a/x3z8LPIsFw==";

thread_local! {
    /// By how much the clock of the keys is fast; each test has a thread of its own.
    pub(super) static LATER: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn later(more: Duration) {
    LATER.set(LATER.get() + more);
}

/// Publishes what it is told to, and counts how often it is asked.
#[derive(Debug)]
struct Fake {
    keys: Mutex<Result<Vec<Value>, String>>,
    issuer: &'static str,
    asked: AtomicUsize,
}

impl FetchJson for Fake {
    fn fetch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Value, String>> {
        async move {
            if url == "https://id.example.com/one/.well-known/openid-configuration" {
                let jwks = "https://id.example.com/keys";
                return Ok(json!({ "issuer": self.issuer, "jwks_uri": jwks }));
            }
            assert_eq!(url, "https://id.example.com/keys");
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.keys.lock().await.clone().map(|keys| json!({ "keys": keys }))
        }
        .boxed()
    }
}

fn key(algorithm: Algorithm, der: &str) -> EncodingKey {
    let der = STANDARD.decode(der).unwrap();
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_der(&der),
        Algorithm::ES256 => EncodingKey::from_ec_der(&der),
        _ => EncodingKey::from_ed_der(&der),
    }
}

fn published(algorithm: Algorithm, der: &str, id: Option<&str>) -> Value {
    let mut jwk = Jwk::from_encoding_key(&key(algorithm, der), algorithm).unwrap();
    jwk.common.key_id = id.map(Into::into);
    serde_json::to_value(jwk).unwrap()
}

fn signed(algorithm: Algorithm, der: &str, id: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = id.map(Into::into);
    encode(&header, claims, &key(algorithm, der)).unwrap()
}

fn claims() -> Value {
    let now = get_current_timestamp();
    json!({ "iss": ISSUER, "aud": ["other", "metapaas"], "sub": "s-1", "exp": now + 300, "iat": now,
            "preferred_username": "Alice", "email": "alice@example.com", "groups": ["staff", "ops"] })
}

fn settings() -> IssuerSettings {
    let role = |group: &str, role: &str| GroupRole {
        group: group.into(),
        role: role.into(),
        project: "shop".into(),
    };
    IssuerSettings {
        issuer: ISSUER.into(),
        audience: vec!["metapaas".into()],
        username_claim: "preferred_username".into(),
        groups_claim: Some("groups".into()),
        roles: vec![role("staff", "viewer"), role("admins", "owner")],
        create_users: true,
        leeway_seconds: 60,
    }
}

fn oidc(keys: Vec<Value>) -> (Oidc, Arc<Fake>) {
    let fake = Arc::new(Fake { keys: Mutex::new(Ok(keys)), issuer: ISSUER, asked: AtomicUsize::new(0) });
    let fetcher: Arc<dyn FetchJson> = Arc::clone(&fake) as _;
    (Oidc::new(vec![settings()], &fetcher), fake)
}

fn reason<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().extra["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_good_token_of_each_algorithm_is_somebody() {
    for (algorithm, der) in [(Algorithm::EdDSA, ED_ONE), (Algorithm::ES256, EC), (Algorithm::RS256, RSA)] {
        let (oidc, _) = oidc(vec![published(algorithm, der, Some("k"))]);
        let identity = oidc.verify(&signed(algorithm, der, Some("k"), &claims())).await.unwrap();
        assert_eq!(
            (identity.subject.as_str(), identity.user_name()),
            ("s-1", Some("Alice")),
            "{algorithm:?}"
        );
        assert_eq!(identity.email(), Some("alice@example.com"));
        let roles: Vec<&str> = identity.roles().map(|role| role.role.as_str()).collect();
        assert_eq!(roles, ["viewer"], "a group without a role here gives nothing");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_keeps_it_out() {
    let now = get_current_timestamp();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let (oidc, _) = oidc(vec![
        published(Algorithm::EdDSA, ED_ONE, Some("ed")),
        published(Algorithm::RS256, RSA, Some("rsa")),
        published(Algorithm::RS256, RSA_SMALL, Some("small")),
    ]);
    let ed = |claims: &Value| signed(Algorithm::EdDSA, ED_ONE, Some("ed"), claims);
    let public: Value = published(Algorithm::RS256, RSA, Some("rsa"));
    let modulus = public["n"].as_str().unwrap();
    let hmac = |secret: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("rsa".into());
        encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap()
    };
    let good = ed(&claims());
    for (what, token, expected) in [
        ("expired", ed(&with("exp", json!(now - 100))), "expired"),
        ("without an end", ed(&without("exp")), "malformed"),
        ("not yet good", ed(&with("nbf", json!(now + 100))), "malformed"),
        ("for somebody else", ed(&with("aud", json!("other"))), "malformed"),
        ("for nobody", ed(&without("aud")), "malformed"),
        ("of another issuer", ed(&with("iss", json!("https://id.example.com/two"))), "malformed"),
        ("of no issuer", ed(&without("iss")), "malformed"),
        ("without a subject", ed(&without("sub")), "malformed"),
        ("with an empty subject", ed(&with("sub", json!(""))), "malformed"),
        ("with an endless subject", ed(&with("sub", json!("x".repeat(256)))), "malformed"),
        ("signed by another key", signed(Algorithm::EdDSA, ED_TWO, Some("ed"), &claims()), "malformed"),
        ("of another kind of key", signed(Algorithm::EdDSA, ED_ONE, Some("rsa"), &claims()), "malformed"),
        (
            "of a key that is too short",
            signed(Algorithm::RS256, RSA_SMALL, Some("small"), &claims()),
            "malformed",
        ),
        ("the public key as a secret", hmac(modulus.as_bytes()), "malformed"),
        ("its bytes as a secret", hmac(&STANDARD.decode(RSA).unwrap()), "malformed"),
        ("without its signature", format!("{}.", good.rsplit_once('.').unwrap().0), "malformed"),
        ("rubbish", "a.b.c".into(), "malformed"),
    ] {
        assert_eq!(reason(oidc.verify(&token).await), expected, "{what}");
    }
    assert!(oidc.verify(&ed(&with("exp", json!(now - 30)))).await.is_ok(), "within the leeway");
    assert!(oidc.verify(&ed(&with("nbf", json!(now + 30)))).await.is_ok(), "within the leeway");
    assert!(oidc.verify(&good).await.is_ok());
}

#[tokio::test]
async fn a_new_key_is_found_and_an_issuer_is_not_asked_for_each_bad_token() {
    let (oidc, fake) = oidc(vec![published(Algorithm::EdDSA, ED_ONE, Some("one"))]);
    let of = |der, id| signed(Algorithm::EdDSA, der, Some(id), &claims());
    for _ in 0..3 {
        assert!(oidc.verify(&of(ED_ONE, "one")).await.is_ok());
    }
    assert_eq!(fake.asked.load(Ordering::SeqCst), 1);
    for _ in 0..20 {
        assert_eq!(reason(oidc.verify(&of(ED_TWO, "two")).await), "malformed");
    }
    assert_eq!(fake.asked.load(Ordering::SeqCst), 1, "asked a moment ago");
    *fake.keys.lock().await = Ok(vec![published(Algorithm::EdDSA, ED_TWO, Some("two"))]);
    later(Duration::from_secs(6));
    assert!(oidc.verify(&of(ED_TWO, "two")).await.is_ok());
    assert_eq!(reason(oidc.verify(&of(ED_ONE, "one")).await), "malformed", "the old key is gone");
    assert_eq!(fake.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn keys_go_on_while_the_issuer_is_away_and_not_for_ever() {
    let (oidc, fake) = oidc(vec![published(Algorithm::EdDSA, ED_ONE, None)]);
    let mut long = claims();
    long["exp"] = json!(get_current_timestamp() + 300_000);
    let token = signed(Algorithm::EdDSA, ED_ONE, None, &long);
    assert!(oidc.verify(&token).await.is_ok(), "one key needs no name");
    *fake.keys.lock().await = Err("away".into());
    later(Duration::from_secs(3600));
    assert!(oidc.verify(&token).await.is_ok());
    later(Duration::from_secs(24 * 3600));
    assert_eq!(oidc.verify(&token).await.unwrap_err().code, ErrorCode::Unavailable);
    *fake.keys.lock().await = Ok(vec![
        published(Algorithm::EdDSA, ED_ONE, Some("one")),
        published(Algorithm::EdDSA, ED_TWO, Some("two")),
    ]);
    later(Duration::from_secs(6));
    assert_eq!(reason(oidc.verify(&token).await), "malformed", "of several, a token must name one");
}

#[tokio::test]
async fn a_document_of_another_issuer_is_not_believed() {
    let fake = Fake {
        keys: Mutex::new(Ok(vec![published(Algorithm::EdDSA, ED_ONE, None)])),
        issuer: "https://id.example.com/two",
        asked: AtomicUsize::new(0),
    };
    let fetcher: Arc<dyn FetchJson> = Arc::new(fake);
    let oidc = Oidc::new(vec![settings()], &fetcher);
    let token = signed(Algorithm::EdDSA, ED_ONE, None, &claims());
    assert_eq!(oidc.verify(&token).await.unwrap_err().code, ErrorCode::Unavailable);
}
