//! Policies, users and their keys. A tenant's user is a user of RustFS, each of its access keys a service account of it.

use std::collections::{BTreeMap, BTreeSet};

use metapaas_core::agent::{DriverError, ItemError};
use metapaas_s3d::document::{AccessKey, Document, User};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::Admin;
use super::policy;
use crate::sign::{Call, mac_hex};

/// Denies what the control plane decides; every user has it.
const GUARD: &str = "platform-guard";
/// What the instance's own key may do: everything else.
const ROOT: &str = "platform-root";
/// Begins the names of the tenant's policies.
const TENANT: &str = "t-";

const PLATFORM: [(&str, &str, &[&str]); 2] = [
    (ROOT, "Allow", &["s3:*"]),
    (
        GUARD,
        "Deny",
        &[
            "s3:CreateBucket",
            "s3:DeleteBucket",
            "s3:ForceDeleteBucket",
            "s3:PutBucketPolicy",
            "s3:DeleteBucketPolicy",
            "s3:PutBucketVersioning",
            "s3:PutBucketEncryption",
            "s3:PutBucketObjectLockConfiguration",
        ],
    ),
];

/// What RustFS calls a tenant's policy. It separates names by commas.
fn name_of(policy: &str) -> String {
    format!("{TENANT}{}", policy.replace(',', "~"))
}

/// Makes policies be as wanted. Those that are to go are left to [`users`], which takes them from their users first.
pub(super) async fn policies(
    admin: &Admin<'_>,
    known: Option<&Document>,
    wanted: &Document,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    let there = listed_policies(admin).await?;
    for (name, effect, actions) in PLATFORM {
        if !there.contains(name) || known.is_none() {
            let statement = json!({ "Effect": effect, "Action": actions, "Resource": ["arn:aws:s3:::*"] });
            add(admin, "", name, &json!({ "Version": "2012-10-17", "Statement": [statement] }), errors)
                .await?;
        }
    }
    for (name, document) in &wanted.policies {
        let (item, called) = (format!("policies/{name}"), name_of(name));
        let is_same = known.is_some_and(|known| known.policies.get(name) == Some(document));
        if is_same && there.contains(&called) {
            continue;
        }
        match policy::translated(document) {
            Ok(document) => add(admin, &item, &called, &document, errors).await?,
            Err(problems) => {
                let message = problems.iter().map(|(at, why)| format!("{at}: {why}")).collect::<Vec<_>>();
                errors.push(ItemError {
                    item,
                    code: "ENGINE_REFUSED".to_owned(),
                    message: message.join("; "),
                });
            }
        }
    }
    Ok(())
}

async fn listed_policies(admin: &Admin<'_>) -> Result<BTreeSet<String>, DriverError> {
    let there: BTreeMap<String, Value> =
        admin.list("/rustfs/admin/v3/list-canned-policies", &[("bucket", "")]).await?;
    Ok(there.into_keys().collect())
}

async fn add(
    admin: &Admin<'_>,
    item: &str,
    name: &str,
    document: &Value,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    let call = Call::new(Method::PUT, "/rustfs/admin/v3/add-canned-policy").query(&[("name", name)]);
    admin.change(item, call.json(document), errors).await.map(drop)
}

/// A user as RustFS tells it.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "policyName", default)]
    policies: String,
}

/// Makes users, what they may do, and their keys be as wanted.
pub(super) async fn users(
    admin: &Admin<'_>,
    known: Option<&Document>,
    wanted: &Document,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    let there: BTreeMap<String, Listed> = admin.list("/rustfs/admin/v3/list-users", &[]).await?;
    for name in there.keys().filter(|name| !wanted.users.contains_key(*name)) {
        let call = Call::new(Method::DELETE, "/rustfs/admin/v3/remove-user").query(&[("accessKey", name)]);
        admin.change(&format!("users/{name}"), call, errors).await?;
    }
    for (name, user) in &wanted.users {
        let item = format!("users/{name}");
        let before = known.and_then(|known| known.users.get(name)).filter(|_| there.contains_key(name));
        if before.is_none() && !make(admin, &item, name, wanted, errors).await? {
            continue;
        }
        let policies = attached(user, wanted);
        let has = there.get(name).map(|listed| listed.policies.split(',').map(str::to_owned).collect());
        if has.as_ref() != Some(&policies) {
            let policies = Vec::from_iter(policies).join(",");
            let query = [("policyName", policies.as_str()), ("userOrGroup", name), ("isGroup", "false")];
            let call = Call::new(Method::PUT, "/rustfs/admin/v3/set-user-or-group-policy").query(&query);
            admin.change(&item, call, errors).await?;
        }
        if before.is_none_or(|before| before.access_keys != user.access_keys) {
            keys(admin, name, before, user, errors).await?;
        }
    }
    for gone in listed_policies(admin).await?.iter().filter(|name| name.starts_with(TENANT)) {
        if !wanted.policies.keys().any(|name| name_of(name) == *gone) {
            let call = Call::new(Method::DELETE, "/rustfs/admin/v3/remove-canned-policy");
            admin.change("", call.query(&[("name", gone)]), errors).await?;
        }
    }
    Ok(())
}

/// The policies of a user, by the names that RustFS has for them.
fn attached(user: &User, wanted: &Document) -> BTreeSet<String> {
    let own =
        user.policies.iter().filter(|name| wanted.policies.contains_key(*name)).map(|name| name_of(name));
    own.chain(user.root.then(|| ROOT.to_owned())).chain([GUARD.to_owned()]).collect()
}

/// A user of RustFS has a key of its own, which nobody is told: it follows from a secret of the platform.
async fn make(
    admin: &Admin<'_>,
    item: &str,
    name: &str,
    wanted: &Document,
    errors: &mut Vec<ItemError>,
) -> Result<bool, DriverError> {
    let secret = mac_hex(wanted.usage_token.as_bytes(), format!("user {name}").as_bytes());
    let body = json!({ "secretKey": secret.get(..40), "status": "enabled" });
    let call = Call::new(Method::PUT, "/rustfs/admin/v3/add-user").query(&[("accessKey", name)]);
    admin.change(item, call.json(&body), errors).await
}

/// The service accounts of a user, as RustFS tells them.
#[derive(Deserialize)]
struct Accounts {
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(rename = "accessKey")]
    key: String,
}

async fn keys(
    admin: &Admin<'_>,
    name: &str,
    before: Option<&User>,
    user: &User,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    let item = format!("users/{name}");
    let found: Accounts = admin.list("/rustfs/admin/v3/list-service-accounts", &[("user", name)]).await?;
    let there: BTreeSet<&str> = found.accounts.iter().map(|account| account.key.as_str()).collect();
    for gone in there.iter().filter(|id| !user.access_keys.contains_key(**id)) {
        let call = Call::new(Method::DELETE, "/rustfs/admin/v3/delete-service-accounts");
        admin.change(&item, call.query(&[("accessKey", gone)]), errors).await?;
    }
    for (id, key) in &user.access_keys {
        let (item, is_there) = (format!("access-keys/{id}"), there.contains(id.as_str()));
        let known = before.and_then(|before| before.access_keys.get(id));
        if is_there && known == Some(key) {
            continue;
        }
        if !is_there {
            let body = json!({ "targetUser": name, "accessKey": id, "secretKey": key.secret });
            let call = Call::new(Method::PUT, "/rustfs/admin/v3/add-service-accounts").json(&body);
            if !admin.change(&item, call, errors).await? || key.enabled {
                continue;
            }
        }
        update(admin, &item, id, key, errors).await?;
    }
    Ok(())
}

async fn update(
    admin: &Admin<'_>,
    item: &str,
    id: &str,
    key: &AccessKey,
    errors: &mut Vec<ItemError>,
) -> Result<(), DriverError> {
    let status = if key.enabled { "on" } else { "off" };
    let body = json!({ "newSecretKey": key.secret, "newStatus": status });
    let call = Call::new(Method::POST, "/rustfs/admin/v3/update-service-account").query(&[("accessKey", id)]);
    admin.change(item, call.json(&body), errors).await.map(drop)
}
