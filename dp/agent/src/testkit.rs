//! Holds a driver to its contract: applied twice it changes nothing, after a crash at any effect the next apply gets
//! to the same state, and an older document is refused.
//!
//! Services are written down, not run; an effect on a running service goes through
//! [`NodeContext::effect`] and is counted like any other.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use metapaas_protocol::NodeDocument;

use crate::context::{Hands, NodeContext};
use crate::document;
use crate::driver::{Driver, DriverError};

/// How a driver broke its contract.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// It has to accept the documents it is checked with.
    #[error("{when}: the driver refuses the document: {error}")]
    Refused {
        /// At what step.
        when: String,
        /// What it said, with its cause.
        error: String,
    },
    /// It has to leave a node alone that already is what the document says.
    #[error("{when}: a second apply changed something: {effects:?}")]
    NotIdempotent {
        /// At what step.
        when: String,
        /// What it did.
        effects: Vec<String>,
    },
    /// It has to get to the same state whatever happened before.
    #[error("{when}: the state differs from that of an apply without a crash, at {paths:?}")]
    NotConverging {
        /// At what step.
        when: String,
        /// Files that differ.
        paths: Vec<String>,
    },
    /// A document of an older generation was taken.
    #[error("{when}: an older document was taken")]
    TookStale {
        /// At what step.
        when: String,
    },
    /// The check itself could not be made.
    #[error("{action}")]
    Kit {
        /// What was tried.
        action: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Runs the driver through `documents`, which follow each other in the life of one node, generations rising.
///
/// # Errors
/// The first breach of the contract.
pub async fn check_driver(make: fn() -> Box<dyn Driver>, documents: &[NodeDocument]) -> Result<(), Finding> {
    let place = tempfile::tempdir().map_err(|source| kit("make a directory", source))?;
    // Always the same path, so that files that name it are the same in every run.
    let directory = place.path().join("node");
    for (index, document) in documents.iter().enumerate() {
        let before = documents.get(..index).unwrap_or_default();
        let when = format!("document {index}");
        let (expected, effects) = {
            let node = TestNode::fresh(&directory, make, before).await?;
            node.apply(document, None).await.map_err(|stop| stop.finding(&when))?;
            let effects = node.effects();
            node.settled(document, &when).await?;
            (node.state()?, effects.len())
        };
        for crash in 1..=effects {
            let when = format!("document {index}, crash after effect {crash} of {effects}");
            let node = TestNode::fresh(&directory, make, before).await?;
            match node.apply(document, Some(crash)).await {
                Err(Stop::Crash) => {}
                Err(stop) => return Err(stop.finding(&when)),
                // Effects that depend on the outcome of others can be fewer in another run.
                Ok(()) => continue,
            }
            node.apply(document, None).await.map_err(|stop| stop.finding(&when))?;
            let paths = differences(&expected, &node.state()?);
            if !paths.is_empty() {
                return Err(Finding::NotConverging { when, paths });
            }
            node.settled(document, &when).await?;
        }
        let stale = NodeDocument { generation: document.generation - 1, ..document.clone() };
        if document::accept(document.node_id, Some(document), &stale).is_ok() {
            return Err(Finding::TookStale { when });
        }
    }
    Ok(())
}

struct TestNode {
    make: fn() -> Box<dyn Driver>,
    directory: PathBuf,
    done: Arc<Mutex<Done>>,
    hands: Arc<Hands>,
}

#[derive(Default)]
struct Done {
    effects: Vec<String>,
    crash_after: Option<usize>,
}

/// What a panic carries that is an injected crash.
struct Crash;

enum Stop {
    Crash,
    Error(String),
}

impl Stop {
    fn finding(self, when: &str) -> Finding {
        let error = match self {
            Self::Crash => "a crash that was not asked for".to_owned(),
            Self::Error(error) => error,
        };
        Finding::Refused { when: when.to_owned(), error }
    }
}

impl TestNode {
    async fn fresh(
        directory: &Path,
        make: fn() -> Box<dyn Driver>,
        before: &[NodeDocument],
    ) -> Result<Self, Finding> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(kit("empty the directory", error));
            }
            _ => {}
        }
        let done = Arc::new(Mutex::new(Done::default()));
        let counter = Arc::clone(&done);
        let count = Box::new(move |action: &str| {
            let mut done = counter.lock().unwrap_or_else(PoisonError::into_inner);
            done.effects.push(action.to_owned());
            if done.crash_after == Some(done.effects.len()) {
                drop(done);
                // Unlike `panic!` this prints nothing; the driver goes down as a killed agent's would.
                std::panic::resume_unwind(Box::new(Crash));
            }
        });
        let hands =
            Hands::new(directory, None, None, count).map_err(|source| kit("make the node", source))?;
        let node = Self { make, directory: directory.to_owned(), done, hands: Arc::new(hands) };
        for document in before {
            node.apply(document, None).await.map_err(|stop| stop.finding("an earlier document"))?;
        }
        Ok(node)
    }

    /// Applies with a new driver, as an agent does that has just started.
    async fn apply(&self, document: &NodeDocument, crash_after: Option<usize>) -> Result<(), Stop> {
        *self.done() = Done { effects: Vec::new(), crash_after };
        let context = NodeContext::new(Arc::clone(&self.hands), document);
        let mut driver = (self.make)();
        let work = async {
            match document.removing {
                true => driver.remove(&context).await,
                false => driver.apply(&context, document).await.map(|_| ()),
            }
        };
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(answer) => answer.map_err(|error| Stop::Error(with_cause(&error))),
            Err(panic) if panic.is::<Crash>() => Err(Stop::Crash),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    async fn settled(&self, document: &NodeDocument, when: &str) -> Result<(), Finding> {
        self.apply(document, None).await.map_err(|stop| stop.finding(when))?;
        match self.effects() {
            effects if effects.is_empty() => Ok(()),
            effects => Err(Finding::NotIdempotent { when: when.to_owned(), effects }),
        }
    }

    fn effects(&self) -> Vec<String> {
        self.done().effects.clone()
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> Result<State, Finding> {
        let mut state = State::new();
        read_tree(&self.directory, &self.directory, &mut state)
            .map_err(|source| kit("read the node", source))?;
        Ok(state)
    }
}

/// Mode and content by path; a directory has no content.
type State = BTreeMap<String, (u32, Option<Vec<u8>>)>;

fn read_tree(root: &Path, directory: &Path, state: &mut State) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        let content = if metadata.is_file() { Some(fs::read(&path)?) } else { None };
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        state.insert(name, (metadata.permissions().mode(), content));
        if metadata.is_dir() {
            read_tree(root, &path, state)?;
        }
    }
    Ok(())
}

fn differences(one: &State, other: &State) -> Vec<String> {
    let paths = one.keys().chain(other.keys().filter(|path| !one.contains_key(*path)));
    paths.filter(|path| one.get(*path) != other.get(*path)).cloned().collect()
}

fn with_cause(error: &DriverError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn kit(action: &str, source: io::Error) -> Finding {
    Finding::Kit { action: action.to_owned(), source }
}
