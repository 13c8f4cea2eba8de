//! Roles by HTTP.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use metapaas_core::descriptor::Action;
use metapaas_core::iam::ROLES;

use super::{Call, answer, created, listed, no_content};
use crate::http::Answer;
use crate::http::error::wrong_method;

impl Call<'_> {
    pub(super) async fn roles(&self, method: &Method, path: &str, body: Body) -> Answer {
        let registry = &self.app.registry;
        match *method {
            Method::GET => {
                let (page, project) = self.page(&["project_id"])?;
                let allowed = self.allowed(&ROLES, Action::List);
                let found = self.app.iam.list_roles(registry, &allowed, project, page).await?;
                Ok(listed(&found, |role| role.id))
            }
            Method::POST => {
                let body = self.body(method, body).await?;
                let allowed = self.allowed(&ROLES, Action::Create);
                let made = self.app.iam.create_role(registry, &allowed, &body).await?;
                Ok(created("roles", made.id, &made))
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    pub(super) async fn role(&self, method: &Method, path: &str, key: &str, body: Body) -> Answer {
        let (iam, registry) = (&self.app.iam, &self.app.registry);
        let project = self.project_parameter()?;
        match *method {
            Method::GET => {
                let allowed = self.allowed(&ROLES, Action::Read);
                Ok(answer(StatusCode::OK, &iam.get_role(registry, &allowed, key, project).await?))
            }
            Method::PATCH => {
                let body = self.body(method, body).await?;
                let allowed = self.allowed(&ROLES, Action::Update);
                let role = iam.update_role(registry, &allowed, key, project, &body).await?;
                Ok(answer(StatusCode::OK, &role))
            }
            Method::DELETE => {
                iam.delete_role(&self.allowed(&ROLES, Action::Delete), key, project).await?;
                Ok(no_content())
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }
}
