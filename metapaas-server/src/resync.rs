//! `metapaas resync`: has the running control planes look at every instance again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metapaas_core::error::chain;
use metapaas_core::registry::Registry;
use metapaas_core::store::Resync;

use crate::config::Config;
use crate::startup::{self, StartError};

/// How often the queue is looked at while a batch is worked off.
const LOOK: Duration = Duration::from_millis(200);
/// A queue that does not get shorter for this long has nobody who works on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Wakes the instances of all types, or of one, no more than `batch` ahead of the workers: changes that users make
/// meanwhile do not wait behind all of them.
///
/// # Errors
/// When the database is away, the type is not hosted, or nobody works.
pub(crate) async fn run(
    config: &Config,
    registry: &Arc<Registry>,
    slug: Option<&str>,
    batch: u16,
) -> Result<(), StartError> {
    if let Some(slug) = slug.filter(|slug| registry.root(slug).is_none()) {
        let hosted: Vec<&str> = registry.roots().map(|root| root.ty.slug).collect();
        return Err(StartError(format!(
            "no plugin hosts the type `{slug}`; hosted are: {}",
            hosted.join(", ")
        )));
    }
    let database = startup::database(config).await?;
    for root in registry.roots().filter(|root| slug.is_none_or(|slug| slug == root.ty.slug)) {
        let started = Instant::now();
        let mut resync = Resync::new(&database, root.ty);
        let mut count = 0;
        loop {
            let woken = resync.wake(batch).await.map_err(|error| StartError(chain(&error)))?;
            count += woken;
            worked_off(&resync, if woken < usize::from(batch) { 0 } else { batch / 2 }).await?;
            if woken < usize::from(batch) {
                break;
            }
        }
        crate::print(&format!(
            "{:12} {count} instances in {:.1} s",
            root.ty.slug,
            started.elapsed().as_secs_f64()
        ));
    }
    database.close().await;
    Ok(())
}

/// Waits until no more than `rest` pieces of work are due.
async fn worked_off(resync: &Resync<'_>, rest: u16) -> Result<(), StartError> {
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        let backlog = resync.backlog(u16::MAX).await.map_err(|error| StartError(chain(&error)))?;
        if backlog <= usize::from(rest) {
            return Ok(());
        }
        if backlog < least {
            (least, since) = (backlog, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return Err(StartError(format!(
                "{backlog} pieces of work are due and nobody works on them; start a control plane with `metapaas up`"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
