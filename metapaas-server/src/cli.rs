//! The client half of the command line: commands that ask a server, driven by what it says of its types.
//!
//! The distribution flattens [`ClientOptions`] and [`ClientCommand`] into its own parser and hands both to [`run`].

mod arguments;
mod assign;
mod client;
mod console;
mod convert;
mod error;
mod file_body;
mod follow;
mod iam;
mod login;
mod logins;
mod logs;
mod operations;
mod output;
mod path;
mod places;
mod prompt;
mod quota;
mod resource;
mod run;
mod session;
#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod view;
mod wait;

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

pub use self::arguments::{Create, Delete, Events, List, RunAction, Set, Wait, WaitFor, WatchList};
use self::client::{Api, Client};
pub(crate) use self::console::run as run_plugin;
use self::error::CliError;
pub use self::error::EXIT_CODES;
pub use self::iam::IamCommand;
pub use self::login::LoginArguments;
pub use self::logs::LogsArguments;
pub use self::operations::{OperationsArguments, OperationsCommand};
pub use self::output::Format;
use self::output::Output;
use self::places::Places;
pub use self::quota::{QuotaArguments, QuotaCommand};
pub use self::run::RunArguments;
use self::session::Session;

/// Which server to ask, as whom, and how to answer; each may stand before or after the command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client options")]
pub struct ClientOptions {
    /// Base URL of the server
    #[arg(long, global = true, env = "METAPAAS_ENDPOINT", value_name = "URL")]
    pub endpoint: Option<String>,
    /// Access or service token
    #[arg(long, global = true, env = "METAPAAS_TOKEN", hide_env_values = true)]
    pub token: Option<Token>,
    /// Data directory of a `metapaas up` on this machine
    #[arg(long, global = true, env = "METAPAAS_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Certificates in PEM to trust when the server's URL is https [default: those of the system]
    #[arg(long, global = true, env = "METAPAAS_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Project, by name or id
    #[arg(long, global = true, env = "METAPAAS_PROJECT", value_name = "PROJECT")]
    pub project: Option<String>,
    /// How results are written
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// How long to wait at most, e.g. 90s or 5m
    #[arg(long, global = true, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// A token, which debug output does not show.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The token itself.
    pub(crate) const fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Token {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// The commands that ask a server.
#[derive(Clone, Debug, Subcommand)]
pub enum ClientCommand {
    /// Show the hosted types, or one with its fields
    Types {
        /// Which one
        slug: Option<String>,
    },
    /// Make an instance, or something below one: create demo my-demo greeting=hello
    Create(Create),
    /// Show one resource: get demo/my-demo
    Get {
        /// TYPE/NAME or TYPE/NAME/CHILDREN/KEY
        path: String,
    },
    /// List instances, or what is below one: list demo, list demo/my-demo/pages
    List(List),
    /// Follow changes as they happen: watch demo, watch demo/my-demo/pages
    Watch(WatchList),
    /// Show what the nodes of an instance write: logs my-app -f, logs demo/my-demo --since 10m
    Logs(LogsArguments),
    /// Run a command on a node of an instance: run my-app -- python manage.py migrate
    Run(RunArguments),
    /// Show who changed what: events, events demo/my-demo --follow
    Events(Events),
    /// Change fields: set demo/my-demo greeting=hi
    Set(Set),
    /// Delete one resource: delete demo/my-demo
    Delete(Delete),
    /// Run an action of a type: action demo/my-demo restart
    Action(RunAction),
    /// Show what became of actions: operations, operations get ID --wait
    Operations(OperationsArguments),
    /// Show or set how much a project may have: quota default set instances:demo=5 nodes=10
    Quota(QuotaArguments),
    /// Wait until a resource is ACTIVE, or gone
    Wait(Wait),
    /// Users, projects, roles, bindings, service accounts
    #[command(subcommand)]
    Iam(IamCommand),
    /// Log in with a password and keep the login for later commands
    Login(LoginArguments),
    /// Forget the login
    Logout,
    /// Show who you are to the server and what roles you have
    Whoami,
}

/// Runs a command and tells its result; the exit code is one of [`EXIT_CODES`].
pub async fn run(options: ClientOptions, command: ClientCommand) -> ExitCode {
    let mut output = Output::standard(options.output);
    let result = execute(&options, &Places::from_environment(), command, &mut output).await;
    output.finish(result)
}

/// Writes the completions of `command` for a shell.
pub fn completions(shell: clap_complete::Shell, mut command: clap::Command) -> ExitCode {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let mut output = Output::standard(Format::Table);
    let result = output.write(&String::from_utf8_lossy(&script));
    output.finish(result)
}

async fn execute(
    options: &ClientOptions,
    places: &Places,
    command: ClientCommand,
    output: &mut Output,
) -> Result<(), CliError> {
    match &command {
        ClientCommand::Login(arguments) => return login::login(options, places, arguments, output).await,
        ClientCommand::Logout => return login::logout(options, places, output).await,
        _ => {}
    }
    let client = &mut Client {
        api: Api::new(Session::choose(options, places)?, options.ca_file.as_deref())?,
        output,
        project: options.project.clone().filter(|project| !project.is_empty()),
        timeout: options.timeout,
    };
    match &command {
        ClientCommand::Types { slug } => types::show(client, slug.as_deref()).await,
        ClientCommand::Create(arguments) => resource::create(client, arguments).await,
        ClientCommand::Get { path } => resource::get(client, path).await,
        ClientCommand::List(arguments) => resource::list(client, arguments).await,
        ClientCommand::Watch(arguments) => follow::watch(client, arguments).await,
        ClientCommand::Logs(arguments) => logs::run(client, arguments).await,
        ClientCommand::Run(arguments) => run::run(client, arguments).await,
        ClientCommand::Events(arguments) => follow::events(client, arguments).await,
        ClientCommand::Set(arguments) => resource::set(client, arguments).await,
        ClientCommand::Delete(arguments) => resource::delete(client, arguments).await,
        ClientCommand::Action(arguments) => operations::action(client, arguments).await,
        ClientCommand::Operations(arguments) => operations::run(client, arguments).await,
        ClientCommand::Quota(arguments) => quota::run(client, arguments).await,
        ClientCommand::Wait(arguments) => resource::wait_for(client, arguments).await,
        ClientCommand::Iam(command) => iam::run(client, command).await,
        ClientCommand::Whoami => login::whoami(client).await,
        ClientCommand::Login(_) | ClientCommand::Logout => Ok(()),
    }
}
