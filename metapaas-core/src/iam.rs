//! [`Iam`]: users, projects, roles, bindings, service accounts, logins, and what each caller may do with them.
//!
//! Functions that an actor calls take the [`Allowed`] of the IAM type and action that they are about. They answer
//! `Internal` to one for another type or action: that is a mistake in the caller's code, not in a request.

mod audit;
mod bindings;
mod body;
mod bootstrap;
mod check;
mod explain;
mod lists;
mod login;
mod password;
mod permissions;
mod projects;
mod record;
mod roles;
mod service_accounts;
mod terms;
mod throttle;
mod types;
mod users;

use std::sync::Arc;

use futures::future::BoxFuture;
use uuid::Uuid;

pub use self::audit::Denial;
pub(crate) use self::body::READ_ONLY;
pub use self::bootstrap::{Bootstrap, LOCAL_ACCOUNT, bootstrap};
pub use self::check::{CheckAnswer, Whoami, check};
pub use self::explain::{Explanation, GrantedBy, Whom};
pub use self::lists::{
    AUDIT_LIST, BINDING_LIST, IamList, PROJECT_LIST, ROLE_LIST, SERVICE_ACCOUNT_LIST, TOKEN_LIST, USER_LIST,
};
pub use self::login::{Origin, TokenPair};
pub use self::roles::RoleEntry;
pub use self::service_accounts::CreatedToken;
pub use self::terms::{Entity, OnceEntity, Precondition, RenderEntity, Terms, UNCHANGING};
pub use self::types::{AUDIT, BINDINGS, PROJECTS, ROLES, SERVICE_ACCOUNTS, TOKENS, TYPES, USERS};
pub use self::users::CreatedUser;
use crate::authn::Authenticator;
use crate::authz::Allowed;
use crate::descriptor::{Action, TypeDescriptor};
use crate::error::{Error, ErrorCode};
use crate::iam::audit::AuditLog;
use crate::iam::password::Passwords;
pub(crate) use crate::iam::password::{PASSWORD_MAX, PASSWORD_MIN};
use crate::iam::throttle::Throttle;
use crate::role::PLATFORM_PROJECT;
pub use crate::store::iam::audit::{AuditActor, AuditFilter, AuditRecord};
pub use crate::store::iam::bindings::{Binding, Membership, Principal};
pub use crate::store::iam::projects::Project;
pub use crate::store::iam::service_accounts::{ServiceAccount, ServiceToken};
pub use crate::store::iam::users::User;
use crate::store::iam::{IamStore, IamTx};
pub use crate::store::iam::{Listed, PageAt};
use crate::store::{KeptAnswers, NewProjectLimits, in_progress};

/// The built-in issuer and its tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Iam {
    authenticator: Arc<Authenticator>,
    passwords: Arc<Passwords>,
    throttle: Arc<Throttle>,
    log: Arc<AuditLog>,
    answers: Option<Arc<KeptAnswers>>,
    limits: Option<NewProjectLimits>,
    terms: Terms,
}

impl Iam {
    /// Works on the authenticator's database; what changes here, the authenticator knows at once.
    pub fn new(authenticator: Arc<Authenticator>) -> Self {
        let settings = authenticator.settings();
        let throttle = Throttle::new(settings.failures_per_user, settings.failures_per_address);
        Self {
            authenticator,
            passwords: Arc::new(Passwords::new()),
            throttle: Arc::new(throttle),
            log: Arc::new(AuditLog::new()),
            answers: None,
            limits: None,
            terms: Terms::default(),
        }
    }

    /// The same, which can make changes once: `answers` keeps what was answered.
    #[must_use]
    pub fn keeping(self, answers: Arc<KeptAnswers>) -> Self {
        Self { answers: Some(answers), ..self }
    }

    /// The same, which gives limits to every project that it makes.
    #[must_use]
    pub fn limiting(self, limits: NewProjectLimits) -> Self {
        Self { limits: Some(limits), ..self }
    }

    /// The same for one request, whose changes are made on `terms`. What a dry run answers is what would be.
    #[must_use]
    pub fn on(&self, terms: Terms) -> Self {
        Self { terms, ..self.clone() }
    }

    /// Tells who makes a request.
    pub const fn authenticator(&self) -> &Arc<Authenticator> {
        &self.authenticator
    }

    fn store(&self) -> &IamStore {
        self.authenticator.store()
    }

    /// Changes rights and has them looked up anew.
    async fn change<T, F>(&self, action: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(IamTx<'t>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let result = self.store().change_with(self.terms.effect, action, work).await;
        // After a failure too: a commit whose answer was lost has happened all the same.
        self.authenticator.forget();
        result
    }

    /// The same for a change that leaves a row, whose answer is kept when the terms say that it is made once.
    async fn make<T, F>(&self, action: &'static str, work: F) -> Result<T, Error>
    where
        T: Entity + 'static,
        F: for<'t> FnOnce(IamTx<'t>) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let Some(once) = self.terms.once.clone().filter(|_| !self.terms.is_dry_run()) else {
            return self.change(action, work).await;
        };
        let answers = self.answers.clone();
        let answers = answers.ok_or_else(|| Error::internal("this `Iam` keeps no answers"))?;
        self.change(action, move |mut tx| {
            Box::pin(async move {
                // Made by another control plane a moment ago: asked again, its answer is found.
                if answers.reserve(tx.inner(), &once.key).await?.is_some() {
                    return Err(in_progress(&once.key.key));
                }
                let made = work(tx.part()).await?;
                answers.keep(tx.inner(), &once.key, &(once.render)(&made)).await?;
                Ok(made)
            })
        })
        .await
    }
}

/// Refuses a token that was made for something else.
fn expect(allowed: &Allowed, ty: &'static TypeDescriptor, action: Action) -> Result<(), Error> {
    if std::ptr::eq(allowed.ty(), ty) && allowed.action() == action {
        return Ok(());
    }
    let text = format!("{} was called with another permission", ty.permission(action));
    Err(Error::internal(text))
}

/// Whether the caller may do it in `project`; a project that it cannot see does not exist.
fn in_project(allowed: &Allowed, project: Uuid) -> Result<(), Error> {
    if !allowed.sees().contains(project) {
        return Err(Error::not_found(format_args!("project {project}")));
    }
    allowed.in_project(project)
}

/// The rule over all changes: somebody can log in who owns the platform.
async fn keep_an_owner(tx: &mut IamTx<'_>) -> Result<(), Error> {
    if tx.platform_owners().await? > 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::InvalidState,
        format!(
            "this would leave the platform without an owner who can log in; \
             first bind another user as owner in the platform project {PLATFORM_PROJECT}"
        ),
    ))
}
