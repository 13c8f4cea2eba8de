//! The command line: which command runs what.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use metapaas_agent::{AgentOptions, Drivers, Engines};
use metapaas_core::Plugin;
use metapaas_core::command::PluginCommand;
use metapaas_core::error::chain;
use metapaas_core::migrate::{self, Made, PluginMigrations};
use metapaas_core::registry::Registry;
use serde_json::Value;

use crate::cli::{ClientCommand, ClientOptions};
use crate::config::{Config, ServerOptions};
#[cfg(feature = "docker")]
use crate::images::{self, ImagesCommand};
use crate::keys::{self, KeysCommand};
use crate::nodes::{self, NodesCommand};
use crate::schema::{self, SchemaCommand};
use crate::serve::{self, Parts};
use crate::startup::{self, StartError};
use crate::telemetry;

/// One control plane that hosts many PaaS types. Without a command it does `up`.
#[derive(Parser, Debug)]
#[command(name = "metapaas", version, about, after_help = exit_codes())]
struct Cli {
    #[command(flatten)]
    client: ClientOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Migrate, serve and work, all in one (the default)
    Up(ServerArguments),
    /// Serve the API alone; another control plane on the same database does the work
    Serve(ServerArguments),
    /// Make, show or apply migrations
    Migrate {
        #[command(subcommand)]
        command: MigrateCommand,
    },
    /// Show, add, seal anew under and remove master keys
    Keys {
        #[command(flatten)]
        arguments: ServerArguments,
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Show and remove nodes that the database does not know
    Nodes {
        #[command(flatten)]
        arguments: ServerArguments,
        #[command(subcommand)]
        command: NodesCommand,
    },
    /// Make the images that nodes of the docker provider run from
    #[cfg(feature = "docker")]
    Images {
        #[command(flatten)]
        arguments: ServerArguments,
        #[command(subcommand)]
        command: ImagesCommand,
    },
    /// Have the running control planes look at every instance again; one that is as it should be is left alone
    Resync {
        /// Only instances of this type
        #[arg(long = "type", value_name = "SLUG")]
        slug: Option<String>,
        /// How many instances may wait for a worker at a time, 1 to 10000
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        batch: u16,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Print what follows from the types: OpenAPI, tables, policy
    Schema {
        #[command(subcommand)]
        command: SchemaCommand,
    },
    /// Run the agent of a node (started by providers)
    Agent {
        /// The node's folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Run a built-in service program (started by agents)
    #[command(hide = true)]
    Engine {
        /// Its name
        name: String,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Client(ClientCommand),
}

#[derive(clap::Args, Debug)]
struct ServerArguments {
    /// Settings file in TOML; `<data dir>/metapaas.toml` is read when it exists
    #[arg(long, value_name = "FILE", env = "METAPAAS_CONFIG")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:7480]
    #[arg(long, value_name = "ADDRESS", env = "METAPAAS_LISTEN")]
    listen: Option<String>,
    /// `postgres://user:password@host/database`; SQLite in the data folder when absent
    #[arg(long, value_name = "URL", env = "METAPAAS_DATABASE", hide_env_values = true)]
    database: Option<String>,
}

#[derive(Subcommand, Debug)]
enum MigrateCommand {
    /// Compare a plugin's types with its last migration and propose the next one
    Make {
        /// The plugin
        plugin: String,
        /// The plugin's `migrations` folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// What the migration is for, e.g. `add_quota`
        #[arg(long)]
        name: Option<String>,
    },
    /// Show what is applied and what is pending
    Status(ServerArguments),
    /// Apply what is pending
    Apply(ServerArguments),
}

fn exit_codes() -> String {
    let lines: Vec<String> =
        crate::cli::EXIT_CODES.iter().map(|(code, meaning)| format!("\n  {code:3}  {meaning}")).collect();
    format!("Exit codes:{}", lines.concat())
}

/// The whole program: parses the command line and runs the command.
pub fn main(plugins: &[fn() -> Plugin]) -> ExitCode {
    let plugins: Vec<Plugin> = plugins.iter().map(|plugin| plugin()).collect();
    // Engines come first: the agent starts every service through them, and they must not meet threads or settings.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "engine")
        && let Some(name) = arguments.next()
    {
        return engines(&plugins).run(&name.to_string_lossy(), arguments.collect());
    }
    // For clients that plugins make without `metapaas_agent::http`.
    metapaas_agent::http::provider();
    let grammar = match grammar(&plugins) {
        Ok(grammar) => grammar,
        Err(error) => return failed(&error),
    };
    let asked = match grammar.try_get_matches().and_then(|matches| Asked::of(&matches, &plugins)) {
        Ok(asked) => asked,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&StartError(format!("cannot start threads: {error}"))),
    };
    match asked {
        Asked::Own(cli) => runtime.block_on(run(cli, plugins)),
        Asked::Plugins { client, command, words } => {
            runtime.block_on(crate::cli::run_plugin(client, &command, &words))
        }
    }
}

/// What the command line asks for.
#[expect(clippy::large_enum_variant, reason = "a process has one")]
enum Asked {
    /// A command of the distribution.
    Own(Cli),
    /// A command that a plugin brings.
    Plugins { client: ClientOptions, command: PluginCommand, words: ArgMatches },
}

impl Asked {
    fn of(matches: &ArgMatches, plugins: &[Plugin]) -> Result<Self, clap::Error> {
        if let Some((name, words)) = matches.subcommand()
            && let Some(command) = plugin_commands(plugins).find(|one| one.grammar.get_name() == name)
        {
            let client = ClientOptions::from_arg_matches(matches)?;
            return Ok(Self::Plugins { client, command: command.clone(), words: words.clone() });
        }
        Cli::from_arg_matches(matches).map(Self::Own)
    }
}

fn plugin_commands(plugins: &[Plugin]) -> impl Iterator<Item = &PluginCommand> {
    plugins.iter().flat_map(|plugin| &plugin.commands)
}

/// The distribution's own commands and those of plugins.
fn grammar(plugins: &[Plugin]) -> Result<clap::Command, StartError> {
    let mut grammar = Cli::command();
    for command in plugin_commands(plugins) {
        let name = command.grammar.get_name();
        if grammar.find_subcommand(name).is_some() {
            return Err(StartError(format!(
                "two commands are called `{name}`; a plugin's command needs a name of its own"
            )));
        }
        grammar = grammar.subcommand(command.grammar.clone());
    }
    Ok(grammar)
}

async fn run(cli: Cli, plugins: Vec<Plugin>) -> ExitCode {
    let Cli { client, command } = cli;
    let done = match command {
        None => {
            let none = ServerArguments { config: None, listen: None, database: None };
            control_plane(&client, none, plugins, Parts::All).await
        }
        Some(Command::Up(arguments)) => control_plane(&client, arguments, plugins, Parts::All).await,
        Some(Command::Serve(arguments)) => control_plane(&client, arguments, plugins, Parts::Api).await,
        Some(Command::Migrate { command }) => migrate(&client, command, plugins).await,
        Some(Command::Keys { arguments, command }) => keys(&client, arguments, command, plugins).await,
        Some(Command::Nodes { arguments, command }) => nodes(&client, arguments, command, plugins).await,
        #[cfg(feature = "docker")]
        Some(Command::Images { arguments, command }) => images(&client, arguments, command, plugins).await,
        Some(Command::Resync { slug, batch, server }) => resync(&client, server, plugins, slug, batch).await,
        Some(Command::Schema { command }) => {
            registry(plugins).and_then(|registry| schema::print(&registry, &command).map_err(StartError))
        }
        Some(Command::Agent { dir }) => agent(dir, &plugins).await,
        Some(Command::Engine { name, arguments }) => return engines(&plugins).run(&name, arguments),
        Some(Command::Completions { shell }) => match grammar(&plugins) {
            Ok(grammar) => return crate::cli::completions(shell, grammar),
            Err(error) => Err(error),
        },
        Some(Command::Client(command)) => return crate::cli::run(client, command).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &StartError) -> ExitCode {
    crate::say(&format!("error: {error}"));
    ExitCode::FAILURE
}

fn settings(client: &ClientOptions, arguments: ServerArguments) -> Result<Config, StartError> {
    let options = ServerOptions {
        config: arguments.config,
        data_dir: client.data_dir.clone(),
        listen: arguments.listen,
        database: arguments.database,
    };
    Ok(Config::load(&options)?)
}

/// All plugins together, or every reason why they cannot be.
fn registry(plugins: Vec<Plugin>) -> Result<Arc<Registry>, StartError> {
    with_settings(plugins, &BTreeMap::new())
}

/// The same with what the operator has set for plugins.
fn with_settings(
    plugins: Vec<Plugin>,
    settings: &BTreeMap<String, Value>,
) -> Result<Arc<Registry>, StartError> {
    let registry = Registry::new(plugins).map_err(|conflicts| {
        let lines: Vec<String> = conflicts.iter().map(|conflict| format!("\n  {conflict}")).collect();
        StartError(format!("the plugins cannot be hosted together:{}", lines.concat()))
    })?;
    let registry = registry.with_settings(settings);
    registry.map(Arc::new).map_err(|mistakes| StartError(mistakes.join("\n")))
}

async fn control_plane(
    client: &ClientOptions,
    arguments: ServerArguments,
    plugins: Vec<Plugin>,
    parts: Parts,
) -> Result<(), StartError> {
    let config = settings(client, arguments)?;
    telemetry::logs(&config)?;
    let registry = with_settings(plugins, &config.plugins)?;
    serve::run(config, registry, parts).await
}

async fn keys(
    client: &ClientOptions,
    arguments: ServerArguments,
    command: KeysCommand,
    plugins: Vec<Plugin>,
) -> Result<(), StartError> {
    let config = settings(client, arguments)?;
    keys::run(command, client.output, &config, registry(plugins)?).await
}

async fn nodes(
    client: &ClientOptions,
    arguments: ServerArguments,
    command: NodesCommand,
    plugins: Vec<Plugin>,
) -> Result<(), StartError> {
    let config = settings(client, arguments)?;
    nodes::run(command, client.output, &config, registry(plugins)?).await
}

#[cfg(feature = "docker")]
async fn images(
    client: &ClientOptions,
    arguments: ServerArguments,
    command: ImagesCommand,
    plugins: Vec<Plugin>,
) -> Result<(), StartError> {
    let config = settings(client, arguments)?;
    telemetry::agent_logs();
    images::run(command, &config, registry(plugins)?).await
}

async fn resync(
    client: &ClientOptions,
    arguments: ServerArguments,
    plugins: Vec<Plugin>,
    slug: Option<String>,
    batch: u16,
) -> Result<(), StartError> {
    let registry = registry(plugins)?;
    let config = settings(client, arguments)?;
    crate::resync::run(&config, &registry, slug.as_deref(), batch).await
}

async fn migrate(
    client: &ClientOptions,
    command: MigrateCommand,
    plugins: Vec<Plugin>,
) -> Result<(), StartError> {
    let failed = |error: &(dyn std::error::Error + 'static)| StartError(chain(error));
    match command {
        MigrateCommand::Make { plugin, dir, name } => make(&plugin, dir, name, &plugins),
        MigrateCommand::Status(arguments) => {
            let registry = registry(plugins)?;
            let config = settings(client, arguments)?;
            startup::data_dir(&config)?;
            let database = startup::database(&config).await?;
            let all = PluginMigrations::all(registry.plugins());
            for plugin in migrate::status(&database, &all).await.map_err(|error| failed(&error))? {
                for one in &plugin.migrations {
                    let applied =
                        one.applied_at.map_or_else(|| "pending".into(), |at| format!("applied {at}"));
                    crate::print(&format!("{:12} {:30} {applied}", plugin.plugin, one.name));
                }
                for problem in &plugin.problems {
                    crate::print(&format!("{:12} problem: {problem}", plugin.plugin));
                }
            }
            Ok(())
        }
        MigrateCommand::Apply(arguments) => {
            let registry = registry(plugins)?;
            let config = settings(client, arguments)?;
            startup::data_dir(&config)?;
            let _lock = startup::lock(&config)?;
            let database = startup::database(&config).await?;
            let all = PluginMigrations::all(registry.plugins());
            let applied = migrate::apply(&database, &all).await.map_err(|error| failed(&error))?;
            if applied.is_empty() {
                crate::print("nothing is pending");
            }
            for one in applied {
                crate::print(&format!("applied {} {}", one.plugin, one.migration));
            }
            Ok(())
        }
    }
}

fn make(
    name: &str,
    dir: Option<PathBuf>,
    what: Option<String>,
    plugins: &[Plugin],
) -> Result<(), StartError> {
    // The framework's own tables change by the same command, for its contributors.
    let all = PluginMigrations::all(plugins);
    let Some(plugin) = all.iter().find(|one| one.name == name) else {
        let known: Vec<&str> = all.iter().map(|one| one.name).collect();
        return Err(StartError(format!(
            "this distribution has no plugin `{name}`; it has {}",
            known.join(", ")
        )));
    };
    let dir = match dir {
        Some(dir) => dir,
        None => ["migrations".into(), PathBuf::from("plugins").join(name).join("migrations")]
            .into_iter()
            .find(|dir| dir.is_dir())
            .ok_or_else(|| {
                StartError("there is no `migrations` folder here; say which with --dir".to_owned())
            })?,
    };
    match migrate::make(plugin, &dir, what.as_deref()).map_err(|error| StartError(chain(&error)))? {
        Made::Files(files) => {
            for file in files {
                crate::print(&file.display().to_string());
            }
            crate::say("Review the SQL, then commit all of it.");
            Ok(())
        }
        Made::NothingToDo => {
            crate::print("the types are as the last migration left them");
            Ok(())
        }
        Made::Refused(refusals) => {
            let lines: Vec<String> = refusals.iter().map(|refusal| format!("\n  {refusal}")).collect();
            Err(StartError(format!("no migration was made:{}", lines.concat())))
        }
    }
}

async fn agent(dir: PathBuf, plugins: &[Plugin]) -> Result<(), StartError> {
    telemetry::agent_logs();
    let drivers = plugins
        .iter()
        .flat_map(|plugin| &plugin.drivers)
        .fold(Drivers::new(), |drivers, (slug, driver)| drivers.with(slug, *driver));
    metapaas_agent::run(AgentOptions { dir }, &drivers).await.map_err(|error| StartError(chain(&error)))
}

fn engines(plugins: &[Plugin]) -> Engines {
    plugins.iter().flat_map(|plugin| &plugin.engines).fold(
        Engines::new().with(metapaas_router::ENGINE, metapaas_router::engine),
        |engines, (name, engine)| engines.with(name, *engine),
    )
}

/// Databases that DDL can be printed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectName {
    /// SQLite 3
    Sqlite,
    /// PostgreSQL 13 or newer
    Postgres,
}
