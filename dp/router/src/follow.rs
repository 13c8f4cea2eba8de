//! How tables arrive: a long poll of whichever control plane answers, and the last table on disk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metapaas_agent::backoff::{Backoff, jittered};
use reqwest::StatusCode;
use tokio::sync::Notify;

use crate::config::{self, CONTROL_FILE, Control, TABLE_FILE};
use crate::proxy::Server;
use crate::table::WireTable;

/// Path of the call that answers the table.
pub const TABLE_PATH: &str = "/v1/routers/table";

/// How long a control plane is asked to hold the call.
const WAIT_SECONDS: u64 = 30;
const DEADLINE: Duration = Duration::from_secs(WAIT_SECONDS + 15);
const CONNECT: Duration = Duration::from_secs(3);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// Puts the table of the disk in force, if there is one.
///
/// # Errors
/// When it cannot be read. A router that has never had one starts without.
pub fn take_up(directory: &std::path::Path, server: &Server) -> io::Result<()> {
    match config::read::<WireTable>(directory, TABLE_FILE) {
        Ok(table) => server.table.put(&table),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Follows the table for ever. `news` is told of each change.
pub async fn follow(directory: PathBuf, server: Arc<Server>, news: Arc<Notify>) {
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    let mut turn = 0;
    // The first call asks for the whole table: the one on disk may be another installation's.
    let mut after = String::new();
    let mut known: Option<(Control, reqwest::Client)> = None;
    loop {
        match ask(&directory, &after, turn, &mut known).await {
            Ok(None) => backoff.reset(),
            Ok(Some(table)) => {
                backoff.reset();
                let is_news = after != table.revision.to_string();
                after = table.revision.to_string();
                server.table.put(&table);
                news.notify_one();
                let at = directory.clone();
                let kept = tokio::task::spawn_blocking(move || config::write(&at, TABLE_FILE, &table)).await;
                if let Err(error) = kept.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    tracing::warn!(%error, "the routing table cannot be kept");
                }
                if !is_news {
                    // A control plane that answers at once with what we have must not make us spin.
                    tokio::time::sleep(jittered(LONGEST_RETRY)).await;
                }
            }
            Err(error) => {
                let pause = backoff.wait();
                turn += 1;
                tracing::debug!(%error, ?pause, "no control plane answers; the last table stays in force");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Asks one control plane, the next one each turn.
async fn ask(
    directory: &std::path::Path,
    after: &str,
    turn: usize,
    known: &mut Option<(Control, reqwest::Client)>,
) -> io::Result<Option<WireTable>> {
    // Read each time: a control plane that comes up writes down where it is.
    let control: Control = config::read(directory, CONTROL_FILE)?;
    let client = match known {
        Some((same, client)) if *same == control => client.clone(),
        _ => {
            let client = metapaas_agent::http::client(control.ca.as_deref().map(str::as_bytes))?
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .timeout(DEADLINE)
                .build()
                .map_err(io::Error::other)?;
            *known = Some((control.clone(), client.clone()));
            client
        }
    };
    let index = turn % control.endpoints.len().max(1);
    let base = control.endpoints.get(index).ok_or_else(|| io::Error::other("no control plane is known"))?;
    let query = [("after", after), ("wait", &WAIT_SECONDS.to_string())];
    let request = client.get(format!("{base}{TABLE_PATH}")).query(&query).bearer_auth(&control.token);
    let response = request.send().await.map_err(io::Error::other)?;
    match response.status() {
        StatusCode::OK => response.json().await.map(Some).map_err(io::Error::other),
        StatusCode::NOT_MODIFIED => Ok(None),
        status => Err(io::Error::other(format!("{base} answers {status}"))),
    }
}
