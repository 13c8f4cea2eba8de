//! [`Plugin`]: the table of contents of a plugin. A distribution is a list of `fn() -> Plugin`.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use metapaas_agent::{Driver, Engine};

use crate::action::{ActionCall, ActionDescriptor, ActionError};
use crate::command::{CommandFuture, Console, PluginCommand};
use crate::descriptor::{FieldDescriptor, TypeDescriptor};
use crate::field_type::Map;
use crate::hook::{self, Admission, Denial, Hooks, LeaveCall};
use crate::migration::Migrations;
use crate::offer::{Bound, OfferFn};
use crate::paas_type::PaasType;
use crate::plan::{Desired, DesiredTree, NodeSpec, PlanError, Planned};
use crate::route::{ObservedNode, Route};

/// All that a plugin adds to a control plane.
pub struct Plugin {
    /// Its name; crate feature and migration history go by it.
    pub name: &'static str,
    /// Its version, as `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// The types, parents before children.
    pub types: Vec<&'static TypeDescriptor>,
    /// Its schema changes, oldest first.
    pub migrations: Migrations,
    /// Plan function by slug.
    pub plans: Vec<(&'static str, PlanFn)>,
    /// Routes function by slug.
    pub routes: Vec<(&'static str, RoutesFn)>,
    /// Driver by slug.
    pub drivers: Vec<(&'static str, MakeDriver)>,
    /// Service programs that the agent binary brings, by name.
    pub engines: Vec<(&'static str, Engine)>,
    /// Actions by type.
    pub actions: Vec<(&'static TypeDescriptor, ActionDescriptor)>,
    /// Hooks by type.
    pub hooks: Vec<(&'static TypeDescriptor, Hooks)>,
    /// Commands that it adds to the command line.
    pub commands: Vec<PluginCommand>,
    /// Versions that instances may choose, newest first, by slug.
    pub versions: Vec<(&'static str, VersionsFn)>,
    /// Types whose rows plans make; they are among `types` too.
    pub managed: Vec<&'static TypeDescriptor>,
    /// Types whose rows bind their instance to others; they are among `types` too.
    pub bindings: Vec<&'static TypeDescriptor>,
    /// What instances offer to those that are bound to them, by slug.
    pub offers: Vec<(&'static str, OfferFn)>,
    /// Instance types that take uploads, by slug.
    pub uploads: Vec<&'static str>,
    /// Tells what is wrong with the operator's settings for the plugin; it takes none without.
    pub settings: Option<CheckSettings>,
}

/// Tells what is wrong with the settings that an operator has given for a plugin.
pub type CheckSettings = fn(&Value) -> Result<(), String>;

/// The versions that instances may choose, newest first, by what the operator has set for the plugin.
pub type VersionsFn = Arc<dyn Fn(&Value) -> Vec<&'static str> + Send + Sync>;

/// Makes the driver of one node.
pub type MakeDriver = fn() -> Box<dyn Driver>;

/// A plan function with its types taken off.
pub type PlanFn = Arc<dyn Fn(Arc<DesiredTree>) -> Result<Planned, PlanError> + Send + Sync>;

/// A routes function with its types taken off.
pub type RoutesFn =
    Arc<dyn Fn(Arc<DesiredTree>, &[ObservedNode]) -> Result<Vec<Route>, PlanError> + Send + Sync>;

impl Plugin {
    /// A plugin with nothing in it.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            types: Vec::new(),
            migrations: Migrations::NONE,
            plans: Vec::new(),
            routes: Vec::new(),
            drivers: Vec::new(),
            engines: Vec::new(),
            actions: Vec::new(),
            hooks: Vec::new(),
            commands: Vec::new(),
            versions: Vec::new(),
            managed: Vec::new(),
            bindings: Vec::new(),
            offers: Vec::new(),
            uploads: Vec::new(),
            settings: None,
        }
    }

    /// Adds an instance type.
    #[must_use]
    pub fn instance<T: PaasType>(mut self) -> Self {
        self.types.push(T::DESCRIPTOR);
        self
    }

    /// Adds a type that lives under another.
    #[must_use]
    pub fn child<T: PaasType>(self) -> Self {
        self.instance::<T>()
    }

    /// Adds a type below another whose rows the plan makes ([`Planned::rows`]), such as releases of an app. Requests
    /// read them and run their actions; who tries to make, change or delete one is answered `METHOD_NOT_ALLOWED`.
    #[must_use]
    pub fn managed_child<T: PaasType>(mut self) -> Self {
        self.managed.push(T::DESCRIPTOR);
        self.child::<T>()
    }

    /// Adds a type below an instance whose rows bind the instance to another, of any type that offers something
    /// ([`Self::offer`]). It has the fields `to`, an [`crate::InstancePath`], and `parameters`, a map of texts; neither
    /// changes. The plan finds how each stands in [`Desired::links`], and environment variables in those that are ready.
    ///
    /// # Guarantees
    /// Who makes one may update the other instance. An instance that is bound to cannot be deleted. A binding is ACTIVE
    /// once the other instance accepts the credentials, and gone only once it no longer does.
    #[must_use]
    pub fn binding<T: PaasType>(mut self) -> Self {
        self.bindings.push(T::DESCRIPTOR);
        self.child::<T>()
    }

    /// Says what instances of `T` offer to those that are bound to them: environment variables by name. `offer` gets the
    /// instance and a binding, and denies parameters that it has no use for; [`Denial::Refused`] means: not yet. Pure,
    /// as a plan function is: credentials are made of what the binding brings ([`Bound::derive`]), and the plan of `T`
    /// has the instance accept those of each of [`Desired::bound`], and no others.
    #[must_use]
    pub fn offer<T: PaasType>(
        mut self,
        offer: fn(&Desired<T>, &Bound) -> Result<Map<String>, Denial>,
    ) -> Self {
        let offer: OfferFn = Arc::new(move |tree, bound| offer(&Desired::new(tree)?, bound));
        self.offers.push((T::DESCRIPTOR.slug, offer));
        self
    }

    /// Says that instances of `T`, a type with a plan, take uploads: files that who may update one sends to
    /// `PUT .../{id}/uploads/{digest}`. They are kept sealed in the database for as long as the plan names them in
    /// [`Planned::uploads`], so that every control plane has them. The plan finds in [`Desired::has_upload`] which are there;
    /// a driver gets one with [`metapaas_agent::NodeContext::fetch_upload`].
    #[must_use]
    pub fn uploads<T: PaasType>(mut self) -> Self {
        self.uploads.push(T::DESCRIPTOR.slug);
        self
    }

    /// Says that operators may set something for the plugin, under `[plugins.<name>]`, of the form of `S`. Plans read
    /// it by [`Desired::settings`], which is how it comes to nodes. What is not given has the default of `S`; a server
    /// does not start with settings that are not of this form.
    #[must_use]
    pub fn settings<S: DeserializeOwned>(mut self) -> Self {
        self.settings = Some(|value| S::deserialize(value).map(drop).map_err(|error| error.to_string()));
        self
    }

    /// Sets the plugin's migrations: `.migrations(migrations!())`.
    #[must_use]
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = migrations;
        self
    }

    /// Sets what nodes an instance of `T` should have. A type without a plan has none.
    #[must_use]
    pub fn plan<T: PaasType>(mut self, plan: fn(&Desired<T>) -> Result<Vec<NodeSpec>, PlanError>) -> Self {
        self.plans.push((T::DESCRIPTOR.slug, Arc::new(move |tree| Ok(plan(&Desired::new(tree)?)?.into()))));
        self
    }

    /// As [`Self::plan`], for a plan that also makes rows, sets outputs, or says why it cannot go on.
    #[must_use]
    pub fn plan_all<T: PaasType>(mut self, plan: fn(&Desired<T>) -> Result<Planned, PlanError>) -> Self {
        self.plans.push((T::DESCRIPTOR.slug, Arc::new(move |tree| plan(&Desired::new(tree)?))));
        self
    }

    /// Sets how instances of `T` are reached from outside: host names, ports and the addresses behind them. Asked after
    /// each pass and before a node goes; pure, as a plan function is.
    #[must_use]
    pub fn routes<T: PaasType>(mut self, routes: fn(&Desired<T>, &[ObservedNode]) -> Vec<Route>) -> Self {
        let routes: RoutesFn = Arc::new(move |tree, nodes| Ok(routes(&Desired::new(tree)?, nodes)));
        self.routes.push((T::DESCRIPTOR.slug, routes));
        self
    }

    /// Sets what runs on the nodes of `T`.
    #[must_use]
    pub fn driver<T: PaasType>(mut self, make: MakeDriver) -> Self {
        self.drivers.push((T::DESCRIPTOR.slug, make));
        self
    }

    /// Declares an action of `T`, which is an instance type or one below: `POST .../actions/<verb>`.
    ///
    /// `run` gets the row as its tenant wants it, secrets in the open, and answers it as it should be, or refuses. It
    /// may change every field but the key, also those that requests cannot: an output such as a counter of restarts,
    /// which the plan hands to the nodes, is how an action reaches a driver. It is pure: same input, same answer. The
    /// generation rises in any case, so that every node looks at its document again.
    #[must_use]
    pub fn action<T: PaasType>(
        self,
        verb: &'static str,
        doc: &'static str,
        run: fn(T, &ActionCall) -> Result<T, ActionError>,
    ) -> Self {
        self.action_with(verb, doc, [], run)
    }

    /// Declares an action whose body has parameters, each made by [`crate::action::parameter`].
    #[must_use]
    pub fn action_with<T: PaasType>(
        mut self,
        verb: &'static str,
        doc: &'static str,
        parameters: impl Into<Vec<FieldDescriptor>>,
        run: fn(T, &ActionCall) -> Result<T, ActionError>,
    ) -> Self {
        let action = ActionDescriptor::declared(verb, doc, parameters.into(), run);
        self.actions.push((T::DESCRIPTOR, action));
        self
    }

    /// Lets tenants run one-off commands on nodes of `T`, an instance type: the action `run`. `choose` names the place of
    /// the node that takes the next one, or refuses with what to do about it; pure, as a plan function is. How the node runs
    /// it is for [`Driver::command`] to say.
    #[must_use]
    pub fn runs<T: PaasType>(mut self, choose: fn(&Desired<T>) -> Result<String, ActionError>) -> Self {
        self.actions.push((T::DESCRIPTOR, ActionDescriptor::command(choose)));
        self
    }

    /// Fills in fields of `T` that follow from the others, on create and on each update that changes one: `complete`
    /// gets the row as it is to be, its fields found right, and as it was. On create it may set every field, outputs
    /// too; later only those that requests may change. A secret that it sets is shown once, by the answer, unless it
    /// is an output: an output secret is for the nodes alone.
    #[must_use]
    pub fn complete<T: PaasType>(self, complete: fn(T, Option<&T>) -> T) -> Self {
        self.hook::<T>(Hooks { complete: Some(hook::complete(complete)), ..Hooks::default() })
    }

    /// Holds each change of a row of `T` to a rule on its whole instance, an `I`: `admit` gets the instance with all
    /// below it as the change would leave it, in the same transaction. Changes of one instance come one after the
    /// other, so that what it finds still holds when the change is kept.
    #[must_use]
    pub fn admit<I: PaasType, T: PaasType>(
        self,
        admit: fn(&Desired<I>, &Admission<T>) -> Result<(), Denial>,
    ) -> Self {
        self.hook::<T>(Hooks { admit: Some(hook::admit(admit)), ..Hooks::default() })
    }

    /// Decides whether a row of `T` may go. `leave` answers the row as its nodes are to know it while it leaves: it may
    /// change outputs, which the plan finds in [`Desired::leaving`]. `DELETE` of such a row takes `?force=true`, also
    /// when it is on its way out already.
    #[must_use]
    pub fn leave<T: PaasType>(self, leave: fn(T, &LeaveCall) -> Result<T, ActionError>) -> Self {
        self.hook::<T>(Hooks { leave: Some(hook::leave(leave)), ..Hooks::default() })
    }

    fn hook<T: PaasType>(mut self, hooks: Hooks) -> Self {
        self.hooks.push((T::DESCRIPTOR, hooks));
        self
    }

    /// Adds a service program to the agent binary: `metapaas engine <name> ...`.
    #[must_use]
    pub fn engine(mut self, name: &'static str, engine: Engine) -> Self {
        self.engines.push((name, engine));
        self
    }

    /// Adds a command to the command line: `metapaas <name> ...`, with the name and the words of `C`. It can do what its
    /// user could do by the API, and no more. A server that hosts the plugin need not be the program that runs it.
    #[must_use]
    pub fn command<C: clap::Parser + 'static>(
        mut self,
        run: for<'a> fn(C, &'a mut dyn Console) -> CommandFuture<'a>,
    ) -> Self {
        self.commands.push(PluginCommand::new(run));
        self
    }

    /// Sets the versions that instances of `T` may choose, newest first. Without it, the plugin's own is the one.
    #[must_use]
    pub fn versions<T: PaasType>(mut self, versions: &'static [&'static str]) -> Self {
        self.versions.push((T::DESCRIPTOR.slug, Arc::new(|_| versions.to_vec())));
        self
    }

    /// As [`Self::versions`], where the operator's settings decide which ones there are. Instances keep a version that is
    /// no longer among them.
    #[must_use]
    pub fn versions_by<T: PaasType, S: DeserializeOwned + 'static>(
        mut self,
        versions: fn(&S) -> &'static [&'static str],
    ) -> Self {
        // Settings of another form have stopped the server before they get here.
        let by: VersionsFn = Arc::new(move |settings| {
            S::deserialize(settings).map_or_else(|_| Vec::new(), |set| versions(&set).to_vec())
        });
        self.versions.push((T::DESCRIPTOR.slug, by));
        self
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
