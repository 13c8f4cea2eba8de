//! The grammar of the commands about resources.

use clap::{Args, ValueEnum};

/// `create TYPE NAME field=value ...`
#[derive(Args, Clone, Debug)]
pub struct Create {
    /// What to make: TYPE, or TYPE/NAME/CHILDREN for something below an instance
    #[arg(value_name = "TYPE")]
    pub(super) collection: String,
    /// The name, then fields: field=value, field:=JSON, field=@file, labels.KEY=value
    #[arg(value_name = "NAME FIELD=VALUE", required = false)]
    pub(super) rest: Vec<String>,
    /// A label; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) label: Vec<String>,
    /// What makes the nodes of the instance, e.g. docker; the same as --label metapaas/provider=NAME
    #[arg(long, value_name = "NAME")]
    pub(super) provider: Option<String>,
    /// Free text
    #[arg(long)]
    pub(super) description: Option<String>,
    /// Wait until it is ACTIVE
    #[arg(long)]
    pub(super) wait: bool,
    /// Check everything and tell what would happen, change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// `list [PATH]`
#[derive(Args, Clone, Debug)]
pub struct List {
    /// TYPE or TYPE/NAME/CHILDREN; without it, instances of all types
    pub(super) path: Option<String>,
    /// Show at most that many (default 50)
    #[arg(long, value_name = "N", value_parser = at_least_one, conflicts_with = "all")]
    pub(super) limit: Option<usize>,
    /// Show all
    #[arg(long)]
    pub(super) all: bool,
    /// Only those that fit, e.g. "status != ACTIVE AND name:web"; given again, both have to hold
    #[arg(long, value_name = "FILTER")]
    pub(super) filter: Vec<String>,
    /// Only those with these labels, e.g. tier=web or "tier in (web,api),!old"
    #[arg(short = 'l', long, value_name = "LABELS", visible_alias = "selector")]
    pub(super) label: Option<String>,
    /// Only those with this status, or one of these
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(super) status: Vec<String>,
    /// Show these fields alone, e.g. id,name
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub(super) fields: Vec<String>,
    /// Order, e.g. "created_at desc,name"
    #[arg(long, value_name = "FIELDS")]
    pub(super) order_by: Option<String>,
}

/// `watch PATH`
#[derive(Args, Clone, Debug)]
pub struct WatchList {
    /// TYPE or TYPE/NAME/CHILDREN
    pub(super) path: String,
    /// Only those with that value; the same field again means or, another field means and
    #[arg(long, value_name = "FIELD=VALUE")]
    pub(super) filter: Vec<String>,
    /// Only those with these labels, e.g. tier=web
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(super) selector: Option<String>,
}

/// `events [PATH]`
#[derive(Args, Clone, Debug)]
pub struct Events {
    /// TYPE, TYPE/NAME for an instance with all below it, or TYPE/NAME/CHILDREN/KEY
    pub(super) path: Option<String>,
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Show the last N (default 20)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) limit: Option<usize>,
}

/// `set PATH field=value ...`
#[derive(Args, Clone, Debug)]
pub struct Set {
    /// TYPE/NAME or TYPE/NAME/CHILDREN/KEY
    pub(super) path: String,
    /// field=value, field:=JSON, field=@file, labels.KEY=value, labels.KEY:=null
    #[arg(value_name = "FIELD=VALUE", required = true)]
    pub(super) assignments: Vec<String>,
    /// Wait until the change is in force
    #[arg(long)]
    pub(super) wait: bool,
    /// Check everything and tell what would happen, change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Only if it still has this revision, as `get -o json` shows it
    #[arg(long, value_name = "REVISION", value_parser = etag)]
    pub(super) if_match: Option<String>,
}

/// `delete PATH`
#[derive(Args, Clone, Debug)]
pub struct Delete {
    /// NAME of an app, TYPE/NAME or TYPE/NAME/CHILDREN/KEY
    pub(super) path: String,
    /// Wait until it is gone
    #[arg(long)]
    pub(super) wait: bool,
    /// Delete it with all that it holds, where its type would refuse
    #[arg(long)]
    pub(super) force: bool,
    /// Check everything and tell what would happen, change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Only if it still has this revision, as `get -o json` shows it
    #[arg(long, value_name = "REVISION", value_parser = etag)]
    pub(super) if_match: Option<String>,
}

/// `action PATH VERB [name=value ...]`
#[derive(Args, Clone, Debug)]
pub struct RunAction {
    /// TYPE/NAME or TYPE/NAME/CHILDREN/KEY
    pub(super) path: String,
    /// One of the actions that the type declares
    pub(super) verb: String,
    /// Arguments of the action; JSON where it can be, text otherwise
    #[arg(value_name = "NAME=VALUE")]
    pub(super) arguments: Vec<String>,
    /// Wait until it is done; exit code 0 only when it succeeded
    #[arg(long)]
    pub(super) wait: bool,
    /// Check everything and tell what would happen, change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// `wait PATH`
#[derive(Args, Clone, Debug)]
pub struct Wait {
    /// TYPE/NAME or TYPE/NAME/CHILDREN/KEY
    pub(super) path: String,
    /// What to wait for
    #[arg(long = "for", value_name = "STATE", value_enum, ignore_case = true, default_value_t = WaitFor::Active)]
    pub(super) state: WaitFor,
}

/// What `wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// The newest generation is in force and healthy
    Active,
    /// It is gone
    Deleted,
}

/// A revision as an entity tag; a tag stays as it is.
fn etag(text: &str) -> Result<String, String> {
    let is_revision = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_tag = text == "*" || (text.len() > 1 && text.starts_with('"') && text.ends_with('"'));
    match (is_revision, is_tag) {
        (true, _) => Ok(format!("\"{text}\"")),
        (_, true) => Ok(text.to_owned()),
        _ => Err("write the number after `revision` in what `metapaas get -o json` shows".into()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number from 1".into())
}
