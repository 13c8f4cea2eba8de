//! Tokens of OIDC issuers: which user a subject is, made on first sight, and which roles its groups give.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::oidc::Identity;
use super::remembered::Standing;
use super::{Authenticator, digest, refused, revoked};
use crate::error::Error;
use crate::field_type::{Email, is_user_name};
use crate::request::{Actor, ActorKind, Given, Grants};
use crate::role::{PLATFORM_PROJECT, Role};
use crate::store::StoreError;
use crate::store::iam::audit::{AuditActor, AuditRecord};
use crate::store::iam::users::{User, UserRow};
use crate::store::resources::now;
use crate::store::value::raw_json;

/// So long may a name be that gets something appended.
const STEM: usize = 54;

impl Authenticator {
    /// Whom a good token of an issuer stands for.
    pub(super) async fn look_up_foreign(&self, bearer: &str) -> Result<Standing, Error> {
        let identity = self.oidc.verify(bearer).await?;
        let mut age = self.remembered.age();
        let found = self.store.user_of_identity(&identity.issuer.issuer, &identity.subject).await?;
        let row = match found {
            Some(row) => row,
            None if identity.issuer.create_users => {
                let row = self.make_user(&identity).await?;
                self.forget();
                age = self.remembered.age();
                row
            }
            None => {
                let text = "the token is good, but its subject is no user here; ask an owner of the platform";
                return Err(refused("unknown_user", text));
            }
        };
        if row.user.disabled {
            return Err(revoked());
        }
        let id = row.user.id;
        let mut given: Vec<(Uuid, Given)> = self
            .store
            .grants(ActorKind::User, id)
            .await?
            .into_iter()
            .map(|grant| (grant.project, grant.given))
            .collect();
        given.extend(self.group_roles(&identity).await?);
        let actor = Actor {
            kind: ActorKind::User,
            id,
            name: row.user.name.into(),
            grants: Arc::new(Grants::new(given)),
        };
        // The password, if it has one at all, has nothing to do with this way in.
        Ok(Standing { actor, expires_at: Some(identity.expires_at), must_change_password: false, age })
    }

    async fn group_roles(&self, identity: &Identity) -> Result<Vec<(Uuid, Given)>, StoreError> {
        let mut given = Vec::new();
        for group in identity.roles() {
            let project = match group.project.parse() {
                Ok(id) => self.store.project(id).await?,
                Err(_) => self.store.project_named(&group.project).await?,
            };
            let Some(project) = project.map(|project| project.id) else {
                tracing::warn!(
                    group = group.group,
                    project = group.project,
                    "a group's project does not exist"
                );
                continue;
            };
            let role = match Role::parse(&group.role) {
                Some(role) => Some(role.into()),
                None => self.own_role(&group.role, project).await?,
            };
            match role {
                Some(role) => given.push((project, role)),
                None => {
                    tracing::warn!(group = group.group, role = group.role, "a group's role does not exist")
                }
            }
        }
        Ok(given)
    }

    /// The project's own role of that name, or the platform's.
    async fn own_role(&self, name: &str, project: Uuid) -> Result<Option<Given>, StoreError> {
        let row = match self.store.role_named(name, project).await? {
            Some(row) => Some(row),
            None => self.store.role_named(name, PLATFORM_PROJECT).await?,
        };
        Ok(row.map(|row| Given { role: None, patterns: row.permissions }))
    }

    async fn make_user(&self, identity: &Identity) -> Result<UserRow, Error> {
        let (issuer, subject) = (identity.issuer.issuer.clone(), identity.subject.clone());
        let wished = name(identity.user_name().unwrap_or(&subject));
        let suffix = &digest(&format!("{issuer}\n{subject}"))[..8];
        let other = format!("{}-{suffix}", &wished[..wished.len().min(STEM)]);
        let email = identity.email().and_then(|email| Email::new(email).ok());
        let email = email.map(|email| email.as_str().to_owned());
        self.store
            .change("make the user of an OIDC subject", move |mut tx| {
                Box::pin(async move {
                    // Two first requests may come at once.
                    if let Some(row) = tx.user_of_identity(&issuer, &subject).await? {
                        return Ok(row);
                    }
                    // A user of that name is somebody else, whatever the issuer says.
                    let name = if tx.user_named(&wished).await?.is_none() { wished } else { other };
                    let now = now();
                    let user = User {
                        id: Uuid::now_v7(),
                        name,
                        email,
                        disabled: false,
                        must_change_password: false,
                        created_at: now,
                        updated_at: now,
                        revision: 1,
                    };
                    let row = UserRow::new(user, None);
                    tx.insert_user(&row).await?;
                    tx.insert_identity(&issuer, &subject, row.user.id, now).await?;
                    let detail = json!({ "after": row.user, "issuer": issuer, "subject": subject });
                    tx.audit(AuditRecord {
                        id: Uuid::now_v7(),
                        at: now,
                        actor: AuditActor {
                            kind: ActorKind::User.as_str().into(),
                            id: Some(row.user.id),
                            name: row.user.name.clone(),
                        },
                        request_id: String::new(),
                        action: "iam.users.create".into(),
                        resource: format!("users/{}", row.user.name),
                        project_id: Some(PLATFORM_PROJECT),
                        outcome: "OK".into(),
                        detail: Some(raw_json(&detail)),
                    })
                    .await?;
                    Ok(row)
                })
            })
            .await
    }
}

/// A name for a user here, as near to the issuer's as can be.
fn name(wished: &str) -> String {
    let lower = wished.to_ascii_lowercase();
    if is_user_name(&lower) {
        return lower;
    }
    let kept = |byte: char| if byte.is_ascii_alphanumeric() || "._@-".contains(byte) { byte } else { '-' };
    let text: String = lower.chars().map(kept).take(STEM).collect();
    let text = format!("u-{text}");
    if is_user_name(&text) { text } else { "u".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_as_near_to_the_wished_one_as_can_be() {
        for (wished, expected) in [
            ("alice", "alice"),
            ("Alice@Example.com", "alice@example.com"),
            ("1234", "u-1234"),
            ("Ann Äh", "u-ann--h"),
            ("", "u-"),
        ] {
            assert_eq!(name(wished), expected, "{wished}");
        }
        assert!(is_user_name(&name(&"x".repeat(500))));
    }
}
