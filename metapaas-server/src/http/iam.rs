//! `/v1/iam/`: tokens, users, projects, roles, bindings, service accounts, "may I", the audit.

mod change;
mod lists;
mod questions;
mod roles;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use metapaas_core::authn::Identified;
use metapaas_core::authz::{Allowed, authorize};
use metapaas_core::descriptor::{Action, TypeDescriptor};
use metapaas_core::error::Error;
use metapaas_core::iam::{
    BINDING_LIST, BINDINGS, Binding, Iam, Origin, PROJECT_LIST, PROJECTS, Project, SERVICE_ACCOUNT_LIST,
    SERVICE_ACCOUNTS, ServiceAccount, ServiceToken, TOKEN_LIST, TOKENS, USER_LIST, USERS, User,
};
use metapaas_core::request::RequestContext;
use metapaas_core::role::PLATFORM_PROJECT;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use uuid::Uuid;

use self::lists::Part;
use super::Answer;
use super::body::read_json;
use super::denials;
use super::error::wrong_method;
use super::headers::{RequestId, bearer};
use super::origin::client_address;
use super::query::Query;
use super::resources::json as answer;
use super::state::App;

/// Everything below `/v1/iam/`.
pub(super) async fn dispatch(State(app): State<App>, request: Request) -> Answer {
    let (mut parts, body) = request.into_parts();
    // The server leaves out the body of an answer to HEAD.
    if parts.method == Method::HEAD {
        parts.method = Method::GET;
    }
    let path = parts.uri.path();
    let segments = path
        .trim_matches('/')
        .split('/')
        .skip(2)
        .map(|segment| percent_decode_str(segment).decode_utf8().map(std::borrow::Cow::into_owned))
        .collect::<Result<Vec<String>, _>>()
        .map_err(|_| super::no_such_path(path))?;
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    if words == ["token"] {
        return match parts.method {
            Method::POST => token(&app, &parts, body).await,
            ref method => Err(wrong_method(method, path).into()),
        };
    }
    let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(|| RequestId("-".into()));
    let who = app.authenticator.identify(bearer(&parts.headers)?).await?;
    app.rates.principal(who.actor.id)?;
    let context = RequestContext { actor: who.actor.clone(), request_id: id.0 };
    denials::caller_is(&context);
    if who.must_change_password && !is_free(&parts.method, &words, &who) {
        app.authenticator.authenticate(bearer(&parts.headers)?).await?;
    }
    let call = Call { app: &app, context, who, headers: &parts.headers, path, query: parts.uri.query() };
    match (&parts.method, words.as_slice()) {
        (&Method::POST, ["logout"]) => {
            // A change with a parameter that it does not know must not be made.
            call.no_parameters()?;
            app.iam.logout(&call.who, &call.context.request_id).await?;
            Ok(no_content())
        }
        (&Method::GET, ["whoami"]) => Ok(answer(StatusCode::OK, &app.iam.whoami(&call.who).await?)),
        (&Method::POST, ["check"]) => call.check(body).await,
        (&Method::POST, ["explain"]) => call.explain(body).await,
        (&Method::GET, ["audit"]) => call.audit().await,
        (method, ["roles"]) => call.roles(method, path, body).await,
        (method, ["roles", key]) => call.role(method, path, key, body).await,
        (method, ["users"]) => call.users(method, path, body).await,
        (method, ["users", key]) => call.user(method, path, key, body).await,
        (method, ["projects"]) => call.projects(method, path, body).await,
        (method, ["projects", key]) => call.project(method, path, key, body).await,
        (method, ["bindings"]) => call.bindings(method, path, body).await,
        (method, ["bindings", id]) => call.binding(method, path, id).await,
        (method, ["service-accounts"]) => call.accounts(method, path, body).await,
        (method, ["service-accounts", key]) => call.account(method, path, key, body).await,
        (method, ["service-accounts", key, "tokens"]) => call.tokens(method, path, key, body).await,
        (&Method::DELETE, ["service-accounts", key, "tokens", id]) => {
            let id = id.parse().map_err(|_| Error::not_found(format_args!("token {id:?}")))?;
            let asked = call.asked_of_row()?;
            let allowed = call.allowed(&TOKENS, Action::Delete);
            call.deciding(&asked).delete_token(&allowed, key, asked.project, id).await?;
            Ok(no_content())
        }
        (_, ["logout" | "whoami" | "check" | "explain" | "audit"] | ["service-accounts", _, "tokens", _]) => {
            Err(wrong_method(&parts.method, path).into())
        }
        _ => Err(super::no_such_path(path).into()),
    }
}

/// `POST /v1/iam/token`
async fn token(app: &App, parts: &Parts, body: Body) -> Answer {
    let body = read_json(&Method::POST, &parts.headers, body, app.body_limit).await?;
    let id = parts.extensions.get::<RequestId>().map_or_else(|| "-".into(), |id| id.0.clone());
    let address = client_address(&parts.extensions, &parts.headers, &app.trusted_proxies);
    let origin = Origin { address, request_id: id };
    Ok(answer(StatusCode::OK, &app.iam.token(&body, &origin).await?))
}

/// What may be done before the password is changed: to change it, to see who one is, to log out.
fn is_free(method: &Method, words: &[&str], who: &Identified) -> bool {
    match (method, words) {
        (&Method::POST, ["logout"]) | (&Method::GET, ["whoami"]) => true,
        (&Method::PATCH, ["users", key]) => {
            *key == &*who.actor.name || key.parse().is_ok_and(|id: Uuid| id == who.actor.id)
        }
        _ => false,
    }
}

/// One request, past authentication.
struct Call<'a> {
    app: &'a App,
    context: RequestContext,
    who: Identified,
    headers: &'a HeaderMap,
    path: &'a str,
    query: Option<&'a str>,
}

impl Call<'_> {
    fn allowed(&self, ty: &'static TypeDescriptor, action: Action) -> Allowed {
        authorize(&self.context, ty, action)
    }

    fn no_parameters(&self) -> Result<(), Error> {
        Query::parse(self.query, &[]).finish()
    }

    fn project_parameter(&self) -> Result<Option<Uuid>, Error> {
        let mut query = Query::parse(self.query, &["project_id"]);
        let project = query.id("project_id");
        query.finish()?;
        Ok(project)
    }

    async fn users(&self, method: &Method, path: &str, body: Body) -> Answer {
        match *method {
            Method::GET => {
                let page = |of: Part| async move { of.iam.list_users(&of.allowed, of.page).await };
                self.list(&USER_LIST, |user: &User| (user.id, Some(PLATFORM_PROJECT)), page).await
            }
            Method::POST => {
                let allowed = self.allowed(&USERS, Action::Create);
                let make = async |iam: Iam, body: Value| iam.create_user(&allowed, &body).await;
                self.create(Some("users"), &allowed, body, make).await
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    async fn user(&self, method: &Method, path: &str, key: &str, body: Body) -> Answer {
        match *method {
            Method::GET => {
                self.no_parameters()?;
                self.found(&self.app.iam.get_user(&self.allowed(&USERS, Action::Read), key).await?)
            }
            Method::PATCH => {
                let allowed = self.allowed(&USERS, Action::Update);
                let (registry, session) = (&self.app.registry, self.who.session);
                let change = async |iam: Iam, body: Value, _| {
                    if self.who.must_change_password && body.get("password").is_none() {
                        self.app.authenticator.authenticate(bearer(self.headers)?).await?;
                    }
                    iam.update_user(registry, &allowed, session, key, &body).await
                };
                self.change(&allowed, body, change).await
            }
            Method::DELETE => {
                let asked = self.asked_of_row()?;
                self.deciding(&asked).delete_user(&self.allowed(&USERS, Action::Delete), key).await?;
                Ok(no_content())
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    async fn projects(&self, method: &Method, path: &str, body: Body) -> Answer {
        match *method {
            Method::GET => {
                let page = |of: Part| async move { of.iam.list_projects(&of.allowed, of.page).await };
                self.list(&PROJECT_LIST, |project: &Project| (project.id, Some(project.id)), page).await
            }
            Method::POST => {
                let allowed = self.allowed(&PROJECTS, Action::Create);
                let make = async |iam: Iam, body: Value| iam.create_project(&allowed, &body).await;
                self.create(Some("projects"), &allowed, body, make).await
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    async fn project(&self, method: &Method, path: &str, key: &str, body: Body) -> Answer {
        match *method {
            Method::GET => {
                self.no_parameters()?;
                let allowed = self.allowed(&PROJECTS, Action::Read);
                self.found(&self.app.iam.get_project(&allowed, key).await?)
            }
            Method::PATCH => {
                let allowed = self.allowed(&PROJECTS, Action::Update);
                let change = async |iam: Iam, body: Value, _| iam.update_project(&allowed, key, &body).await;
                self.change(&allowed, body, change).await
            }
            Method::DELETE => {
                let asked = self.asked_of_row()?;
                self.deciding(&asked).delete_project(&self.allowed(&PROJECTS, Action::Delete), key).await?;
                Ok(no_content())
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    async fn bindings(&self, method: &Method, path: &str, body: Body) -> Answer {
        match *method {
            Method::GET => {
                let page =
                    |of: Part| async move { of.iam.list_bindings(&of.allowed, of.project, of.page).await };
                let whose = |binding: &Binding| (binding.id, Some(binding.project_id));
                self.list(&BINDING_LIST, whose, page).await
            }
            Method::POST => {
                let allowed = self.allowed(&BINDINGS, Action::Create);
                let registry = &self.app.registry;
                let make = async |iam: Iam, body: Value| iam.create_binding(registry, &allowed, &body).await;
                self.create(Some("bindings"), &allowed, body, make).await
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    async fn binding(&self, method: &Method, path: &str, id: &str) -> Answer {
        let id = id.parse().map_err(|_| Error::not_found(format_args!("binding {id:?}")))?;
        match *method {
            Method::GET => {
                self.no_parameters()?;
                let allowed = self.allowed(&BINDINGS, Action::Read);
                self.found(&self.app.iam.get_binding(&allowed, id).await?)
            }
            Method::DELETE => {
                let asked = self.asked_of_row()?;
                self.deciding(&asked).delete_binding(&self.allowed(&BINDINGS, Action::Delete), id).await?;
                Ok(no_content())
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    async fn accounts(&self, method: &Method, path: &str, body: Body) -> Answer {
        match *method {
            Method::GET => {
                let page = |of: Part| async move {
                    of.iam.list_service_accounts(&of.allowed, of.project, of.page).await
                };
                let whose = |account: &ServiceAccount| (account.id, Some(account.project_id));
                self.list(&SERVICE_ACCOUNT_LIST, whose, page).await
            }
            Method::POST => {
                let allowed = self.allowed(&SERVICE_ACCOUNTS, Action::Create);
                let make = async |iam: Iam, body: Value| iam.create_service_account(&allowed, &body).await;
                self.create(Some("service-accounts"), &allowed, body, make).await
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    async fn account(&self, method: &Method, path: &str, key: &str, body: Body) -> Answer {
        match *method {
            Method::GET => {
                let project = self.project_parameter()?;
                let allowed = self.allowed(&SERVICE_ACCOUNTS, Action::Read);
                self.found(&self.app.iam.get_service_account(&allowed, key, project).await?)
            }
            Method::PATCH => {
                let allowed = self.allowed(&SERVICE_ACCOUNTS, Action::Update);
                let change = async |iam: Iam, body: Value, project| {
                    iam.update_service_account(&allowed, key, project, &body).await
                };
                self.change(&allowed, body, change).await
            }
            Method::DELETE => {
                let asked = self.asked_of_row()?;
                let allowed = self.allowed(&SERVICE_ACCOUNTS, Action::Delete);
                self.deciding(&asked).delete_service_account(&allowed, key, asked.project).await?;
                Ok(no_content())
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }

    async fn tokens(&self, method: &Method, path: &str, key: &str, body: Body) -> Answer {
        match *method {
            Method::GET => {
                let key = key.to_owned();
                let page = move |of: Part| {
                    let key = key.clone();
                    async move { of.iam.list_tokens(&of.allowed, &key, of.project, of.page).await }
                };
                // Whoever may list them may see their account, which was looked at.
                self.list(&TOKEN_LIST, |token: &ServiceToken| (token.id, None), page).await
            }
            Method::POST => {
                let allowed = self.allowed(&TOKENS, Action::Create);
                let project = self.asked_of_create()?.project;
                let registry = &self.app.registry;
                let make = async |iam: Iam, body: Value| {
                    iam.create_token(registry, &allowed, key, project, &body).await
                };
                self.create(None, &allowed, body, make).await
            }
            _ => Err(wrong_method(method, path).into()),
        }
    }
}

fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
