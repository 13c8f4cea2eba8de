//! Tables `metapaas_routes` and `metapaas_ports`: who has which host name and which port, and what is behind them.
//!
//! The keys of the tables are the uniqueness: two instances that want the same name at once are told apart by the
//! database. Every change raises the counter `routes`, by which routers know that there is something new.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use sea_query::{Alias, Expr, ExprTrait, OnConflict, Order, Query};
use serde::Serialize;
use uuid::Uuid;

use super::database::Tx;
use super::error::StoreError;
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required, Row, raw_json};
use super::{Store, now};

/// The counter of changes.
const COUNTER: &str = "routes";

/// What an instance has of the outside, or is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSet {
    /// Host name to the route's name and its backends.
    pub hosts: BTreeMap<String, (String, Vec<SocketAddr>)>,
    /// Name of a route with a port to its backends.
    pub ports: BTreeMap<String, Vec<SocketAddr>>,
}

/// What settling came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Host names that another instance has, each with that instance.
    pub taken: Vec<(String, Uuid)>,
    /// The port of each route that asked for one and got it.
    pub ports: BTreeMap<String, u16>,
    /// Whether anything changed.
    pub is_changed: bool,
}

/// All routes of the installation, as routers get them.
#[derive(Clone, Debug, Serialize)]
pub struct RouteTable {
    /// Raised by every change.
    pub revision: i64,
    /// One entry for each route.
    pub routes: Vec<RouteEntry>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteEntry {
    /// The instance it leads to.
    pub instance: Uuid,
    /// Its name in the instance.
    pub name: String,
    /// Its host names.
    pub hosts: Vec<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Where requests go.
    pub backends: Vec<SocketAddr>,
}

#[derive(Clone, Debug)]
pub(super) struct RouteStatements {
    hosts_of: Statement,
    ports_of: Statement,
    all_hosts: Statement,
    all_ports: Statement,
    insert_host: Statement,
    holder: Statement,
    update_host: Statement,
    delete_host: Statement,
    insert_port: Statement,
    update_port: Statement,
    delete_port: Statement,
    used_ports: Statement,
    count: Statement,
    revision: Statement,
}

mod own {
    /// Host name or port.
    pub(super) const KEY: usize = 0;
    pub(super) const INSTANCE: usize = 1;
    pub(super) const NAME: usize = 2;
    pub(super) const BACKENDS: usize = 3;
    pub(super) const NOW: usize = 4;
    pub(super) const COUNTER: usize = 5;
    pub(super) const ONE: usize = 6;
    pub(super) const LAST: usize = 7;
    pub(super) const LEN: usize = 8;
}

const HOSTS: (&str, &str) = ("metapaas_routes", "host");
const PORTS: (&str, &str) = ("metapaas_ports", "port");

impl RouteStatements {
    pub(super) fn new(dialect: Dialect) -> Self {
        let col = |name: &str| Expr::col(Alias::new(name));
        let select = |(table, key): (&str, &str)| {
            Query::select()
                .columns([key, "instance_id", "name", "backends"].map(Alias::new))
                .from(Alias::new(table))
                .order_by(Alias::new(key), Order::Asc)
                .to_owned()
        };
        let of = |table| select(table).and_where(col("instance_id").eq(slot(own::INSTANCE))).to_owned();
        let insert = |(table, key): (&str, &str)| {
            let mut insert = Query::insert();
            insert
                .into_table(Alias::new(table))
                .columns([key, "instance_id", "name", "backends", "created_at"].map(Alias::new))
                .on_conflict(OnConflict::new().do_nothing().to_owned())
                .returning_col(Alias::new(key));
            // It fails only when columns and values differ in number.
            let _ = insert.values([
                slot(own::KEY),
                slot(own::INSTANCE),
                slot(own::NAME),
                slot(own::BACKENDS),
                slot(own::NOW),
            ]);
            insert
        };
        let update = |(table, key): (&str, &str)| {
            Query::update()
                .table(Alias::new(table))
                .value(Alias::new("backends"), slot(own::BACKENDS))
                .value(Alias::new("name"), slot(own::NAME))
                .and_where(col(key).eq(slot(own::KEY)))
                .and_where(col("instance_id").eq(slot(own::INSTANCE)))
                .to_owned()
        };
        let delete = |(table, key): (&str, &str)| {
            Query::delete()
                .from_table(Alias::new(table))
                .and_where(col(key).eq(slot(own::KEY)))
                .and_where(col("instance_id").eq(slot(own::INSTANCE)))
                .to_owned()
        };
        let holder = Query::select()
            .column(Alias::new("instance_id"))
            .from(Alias::new(HOSTS.0))
            .and_where(col(HOSTS.1).eq(slot(own::KEY)))
            .to_owned();
        let used_ports = Query::select()
            .column(Alias::new(PORTS.1))
            .from(Alias::new(PORTS.0))
            .and_where(col(PORTS.1).gte(slot(own::KEY)))
            .and_where(col(PORTS.1).lte(slot(own::LAST)))
            .to_owned();
        let mut count = Query::insert();
        count
            .into_table(Alias::new("metapaas_counters"))
            .columns(["name", "value"].map(Alias::new))
            .on_conflict(
                OnConflict::column(Alias::new("name"))
                    .value(Alias::new("value"), Expr::cust("metapaas_counters.value + 1"))
                    .to_owned(),
            );
        let _ = count.values([slot(own::COUNTER), slot(own::ONE)]);
        let revision = Query::select()
            .column(Alias::new("value"))
            .from(Alias::new("metapaas_counters"))
            .and_where(col("name").eq(slot(own::COUNTER)))
            .to_owned();
        Self {
            hosts_of: Statement::new(dialect, &of(HOSTS)),
            ports_of: Statement::new(dialect, &of(PORTS)),
            all_hosts: Statement::new(dialect, &select(HOSTS)),
            all_ports: Statement::new(dialect, &select(PORTS)),
            insert_host: Statement::new(dialect, &insert(HOSTS)),
            holder: Statement::new(dialect, &holder),
            update_host: Statement::new(dialect, &update(HOSTS)),
            delete_host: Statement::new(dialect, &delete(HOSTS)),
            insert_port: Statement::new(dialect, &insert(PORTS)),
            update_port: Statement::new(dialect, &update(PORTS)),
            delete_port: Statement::new(dialect, &delete(PORTS)),
            used_ports: Statement::new(dialect, &used_ports),
            count: Statement::new(dialect, &count),
            revision: Statement::new(dialect, &revision),
        }
    }
}

/// A row of either table.
struct Held<K> {
    key: K,
    instance: Uuid,
    name: String,
    backends: Vec<SocketAddr>,
}

fn read<K>(row: &Row, key: impl Fn(&Row) -> Result<K, StoreError>) -> Result<Held<K>, StoreError> {
    let backends = row.json(3).required("backends")?;
    let backends = serde_json::from_str(backends.get())
        .map_err(|error| StoreError::Corrupt { action: "read a route", detail: error.to_string() })?;
    Ok(Held {
        key: key(row)?,
        instance: row.uuid(1).required("instance_id")?,
        name: row.text(2).required("name")?,
        backends,
    })
}

fn host(row: &Row) -> Result<String, StoreError> {
    row.text(0).required("host")
}

fn port(row: &Row) -> Result<u16, StoreError> {
    let port = row.int(0).required("port")?;
    u16::try_from(port)
        .map_err(|error| StoreError::Corrupt { action: "read a port lease", detail: error.to_string() })
}

fn all<K>(rows: &[Row], key: impl Fn(&Row) -> Result<K, StoreError>) -> Result<Vec<Held<K>>, StoreError> {
    rows.iter().map(|row| read(row, &key)).collect()
}

impl Store {
    /// What the instance has.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn routes_of(&self, instance: Uuid) -> Result<(RouteSet, Settled), StoreError> {
        let mut args = arguments();
        args[own::INSTANCE] = Arg::from(instance);
        let hosts = self.database.fetch("read routes", &self.route.hosts_of, &args).await?;
        let ports = self.database.fetch("read port leases", &self.route.ports_of, &args).await?;
        let (mut set, mut settled) = (RouteSet::default(), Settled::default());
        for held in all(&hosts, host)? {
            set.hosts.insert(held.key, (held.name, held.backends));
        }
        for held in all(&ports, port)? {
            settled.ports.insert(held.name.clone(), held.key);
            set.ports.insert(held.name, held.backends);
        }
        Ok((set, settled))
    }

    /// Makes the instance have `wanted`, as far as others have not got it already.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) async fn settle_routes(
        &self,
        instance: Uuid,
        before: &RouteSet,
        leased: BTreeMap<String, u16>,
        wanted: &RouteSet,
        range: RangeInclusive<u16>,
    ) -> Result<Settled, StoreError> {
        let change = Change {
            sql: self.route.clone(),
            instance,
            before: before.clone(),
            wanted: wanted.clone(),
            leased,
            range,
            now: now(),
        };
        let settled: Settled = self
            .database
            .write("settle routes", move |tx| Box::pin(async move { change.make(tx).await }))
            .await?;
        if settled.is_changed {
            // Routers that wait for news listen for this id.
            self.changed(Uuid::nil());
        }
        Ok(settled)
    }

    /// The number of the last change of any route.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn routes_revision(&self) -> Result<i64, StoreError> {
        let mut args = arguments();
        args[own::COUNTER] = Arg::from(COUNTER);
        let rows = self.database.fetch("look for new routes", &self.route.revision, &args).await?;
        rows.first().map_or(Ok(0), |row| row.int(0).required("value"))
    }

    /// All routes. The revision is read first: what comes in between is seen once more.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn route_table(&self) -> Result<RouteTable, StoreError> {
        let revision = self.routes_revision().await?;
        let hosts = self.database.fetch("read all routes", &self.route.all_hosts, &[]).await?;
        let ports = self.database.fetch("read all port leases", &self.route.all_ports, &[]).await?;
        let mut routes: BTreeMap<(Uuid, String), RouteEntry> = BTreeMap::new();
        let mut entry = |instance: Uuid, name: String, backends: Vec<SocketAddr>, host, port| {
            let entry = routes.entry((instance, name.clone())).or_insert_with(|| RouteEntry {
                instance,
                name,
                hosts: Vec::new(),
                port: None,
                backends,
            });
            entry.hosts.extend(host);
            entry.port = entry.port.or(port);
        };
        for held in all(&hosts, host)? {
            entry(held.instance, held.name, held.backends, Some(held.key), None);
        }
        for held in all(&ports, port)? {
            entry(held.instance, held.name, held.backends, None, Some(held.key));
        }
        Ok(RouteTable { revision, routes: routes.into_values().collect() })
    }
}

/// A change of one instance's routes, inside a transaction.
struct Change {
    sql: RouteStatements,
    instance: Uuid,
    before: RouteSet,
    wanted: RouteSet,
    leased: BTreeMap<String, u16>,
    range: RangeInclusive<u16>,
    now: DateTime<Utc>,
}

impl Change {
    async fn make(self, tx: &mut Tx) -> Result<Settled, StoreError> {
        let mut settled = Settled::default();
        self.hosts(tx, &mut settled).await?;
        self.ports(tx, &mut settled).await?;
        if settled.is_changed {
            let mut args = arguments();
            args[own::COUNTER] = Arg::from(COUNTER);
            args[own::ONE] = Arg::from(1);
            tx.execute("count a change of routes", &self.sql.count, &args).await?;
        }
        Ok(settled)
    }

    async fn hosts(&self, tx: &mut Tx, settled: &mut Settled) -> Result<(), StoreError> {
        for host in self.before.hosts.keys().filter(|host| !self.wanted.hosts.contains_key(*host)) {
            let args = self.arguments(Arg::from(host.as_str()), "", &[]);
            tx.execute("give up a host name", &self.sql.delete_host, &args).await?;
            settled.is_changed = true;
        }
        for (host, (name, backends)) in &self.wanted.hosts {
            let args = self.arguments(Arg::from(host.as_str()), name, backends);
            match self.before.hosts.get(host) {
                Some((named, had)) if named == name && had == backends => {}
                Some(_) => {
                    tx.execute("change a route", &self.sql.update_host, &args).await?;
                    settled.is_changed = true;
                }
                None if !tx.fetch("take a host name", &self.sql.insert_host, &args).await?.is_empty() => {
                    settled.is_changed = true;
                }
                None => {
                    let rows = tx.fetch("look who has a host name", &self.sql.holder, &args).await?;
                    // Given up meanwhile, it is taken by the next pass.
                    if let Some(row) = rows.first() {
                        settled.taken.push((host.clone(), row.uuid(0).required("instance_id")?));
                    }
                }
            }
        }
        Ok(())
    }

    async fn ports(&self, tx: &mut Tx, settled: &mut Settled) -> Result<(), StoreError> {
        for (name, port) in &self.leased {
            let key = Arg::from(i64::from(*port));
            match self.wanted.ports.get(name) {
                None => {
                    let args = self.arguments(key, name, &[]);
                    tx.execute("give up a port", &self.sql.delete_port, &args).await?;
                    settled.is_changed = true;
                }
                Some(backends) => {
                    if self.before.ports.get(name) != Some(backends) {
                        let args = self.arguments(key, name, backends);
                        tx.execute("change what is behind a port", &self.sql.update_port, &args).await?;
                        settled.is_changed = true;
                    }
                    settled.ports.insert(name.clone(), *port);
                }
            }
        }
        for (name, backends) in self.wanted.ports.iter().filter(|(name, _)| !self.leased.contains_key(*name))
        {
            if let Some(port) = self.lease(tx, name, backends).await? {
                settled.ports.insert(name.clone(), port);
                settled.is_changed = true;
            }
        }
        Ok(())
    }

    /// Takes a free port. Where the search begins follows from the instance, so that a port that was just given up
    /// is not handed to the next who asks.
    async fn lease(
        &self,
        tx: &mut Tx,
        name: &str,
        backends: &[SocketAddr],
    ) -> Result<Option<u16>, StoreError> {
        let (first, last) = (*self.range.start(), *self.range.end());
        let mut args = arguments();
        (args[own::KEY], args[own::LAST]) = (Arg::from(i64::from(first)), Arg::from(i64::from(last)));
        let rows = tx.fetch("look for a free port", &self.sql.used_ports, &args).await?;
        let used: Vec<u16> = rows.iter().map(port).collect::<Result<_, _>>()?;
        let count = u32::from(last.saturating_sub(first)) + 1;
        let [.., a, b, c, d] = self.instance.into_bytes();
        let begin = u32::from_be_bytes([a, b, c, d]) % count;
        for step in 0..count {
            let port = first.saturating_add(u16::try_from((begin + step) % count).unwrap_or_default());
            if used.contains(&port) {
                continue;
            }
            let args = self.arguments(Arg::from(i64::from(port)), name, backends);
            if !tx.fetch("lease a port", &self.sql.insert_port, &args).await?.is_empty() {
                return Ok(Some(port));
            }
        }
        Ok(None)
    }

    fn arguments(&self, key: Arg, name: &str, backends: &[SocketAddr]) -> Vec<Arg> {
        let mut args = arguments();
        args[own::KEY] = key;
        args[own::INSTANCE] = Arg::from(self.instance);
        args[own::NAME] = Arg::from(name);
        args[own::BACKENDS] = Arg::from(raw_json(backends));
        args[own::NOW] = Arg::from(self.now);
        args
    }
}

fn arguments() -> Vec<Arg> {
    vec![Arg::Text(None); own::LEN]
}
