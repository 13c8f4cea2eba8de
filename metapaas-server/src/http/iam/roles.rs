//! Roles by HTTP.

use axum::body::Body;
use axum::http::Method;
use metapaas_core::descriptor::Action;
use metapaas_core::iam::{Iam, ROLE_LIST, ROLES, RoleEntry};
use metapaas_core::role::PLATFORM_PROJECT;
use serde_json::Value;

use super::lists::Part;
use super::{Call, no_content};
use crate::http::Answer;
use crate::http::error::wrong_method;

impl Call<'_> {
    pub(super) async fn roles(&self, method: &Method, path: &str, body: Body) -> Answer {
        let registry = &self.app.registry;
        match *method {
            Method::GET => {
                let registry = registry.clone();
                let page = move |of: Part| {
                    let registry = registry.clone();
                    async move { of.iam.list_roles(&registry, &of.allowed, of.project, of.page).await }
                };
                // Those of the platform are for all to see.
                let owner =
                    |role: &RoleEntry| Some(role.project_id).filter(|project| *project != PLATFORM_PROJECT);
                self.list(&ROLE_LIST, move |role: &RoleEntry| (role.id, owner(role)), page).await
            }
            Method::POST => {
                let allowed = self.allowed(&ROLES, Action::Create);
                let make = async |iam: Iam, body: Value| iam.create_role(registry, &allowed, &body).await;
                self.create(Some("roles"), &allowed, body, make).await
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    pub(super) async fn role(&self, method: &Method, path: &str, key: &str, body: Body) -> Answer {
        let registry = &self.app.registry;
        match *method {
            Method::GET => {
                let project = self.project_parameter()?;
                let allowed = self.allowed(&ROLES, Action::Read);
                self.found(&self.app.iam.get_role(registry, &allowed, key, project).await?)
            }
            Method::PATCH => {
                let allowed = self.allowed(&ROLES, Action::Update);
                let change = async |iam: Iam, body: Value, project| {
                    iam.update_role(registry, &allowed, key, project, &body).await
                };
                self.change(&allowed, body, change).await
            }
            Method::DELETE => {
                let asked = self.asked_of_row()?;
                let allowed = self.allowed(&ROLES, Action::Delete);
                self.deciding(&asked).delete_role(&allowed, key, asked.project).await?;
                Ok(no_content())
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }
}
