//! Rows of nodes: what the platform has decided about them and what they report.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use metapaas_protocol::ItemError;
use sea_query::{Alias, Expr, ExprTrait, OnConflict, Order, Query};
use serde_json::Value;
use uuid::Uuid;

use super::error::StoreError;
use super::statement::{Dialect, Statement, slot};
use super::value::{Arg, Required, Row, raw_json};
use super::work::{Claim, held};
use super::{Store, now};

/// A node as the database knows it, less its document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// UUIDv7.
    pub id: Uuid,
    /// The instance it belongs to.
    pub instance_id: Uuid,
    /// The project of the instance.
    pub project_id: Uuid,
    /// Slug of the instance's type.
    pub slug: String,
    /// Its place in the instance; no two live nodes have the same.
    pub place: String,
    /// Name of the provider that makes it.
    pub provider: String,
    /// Where its services listen, once known.
    pub address: Option<IpAddr>,
    /// Port of its main service.
    pub port: u16,
    /// What the provider answered to find it again.
    pub location: Option<Value>,
    /// Whether the provider has said that it exists.
    pub made: bool,
    /// The instance's generation that its document holds.
    pub document_generation: i64,
    /// Hash of its document.
    pub document_digest: String,
    /// The generation that it has applied.
    pub applied_generation: i64,
    /// `starting`, `healthy`, `unhealthy` as reported, `silent` when it has not reported for too long.
    pub health: String,
    /// Why it is not healthy.
    pub message: String,
    /// Values for output fields.
    pub facts: BTreeMap<String, Value>,
    /// Parts of its document that it refused.
    pub errors: Vec<ItemError>,
    /// Whether it has carried out its removal.
    pub removed: bool,
    /// When it last reported.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When it was decided on.
    pub created_at: DateTime<Utc>,
    /// When it was decided to go.
    pub deleting_at: Option<DateTime<Utc>>,
}

const COLUMNS: [&str; 21] = [
    "id",
    "instance_id",
    "project_id",
    "type",
    "place",
    "provider",
    "address",
    "port",
    "location",
    "phase",
    "document_generation",
    "document_digest",
    "applied_generation",
    "health",
    "message",
    "facts",
    "errors",
    "removed",
    "last_seen_at",
    "created_at",
    "deleting_at",
];

#[derive(Debug)]
pub(super) struct NodeStatements {
    insert: Statement,
    of_instance: Statement,
    by_id: Statement,
    document: Statement,
    silent: Statement,
    set_document: Statement,
    set_made: Statement,
    set_deleting: Statement,
    set_silent: Statement,
    report: Statement,
    delete: Statement,
}

/// Slots: the columns in order, then these.
const DOCUMENT: usize = COLUMNS.len();
const NOW: usize = DOCUMENT + 1;
const LIMIT: usize = NOW + 1;
/// Epoch of the lease under which a pass writes.
const EPOCH: usize = LIMIT + 1;
const SLOTS: usize = EPOCH + 1;
const ID: usize = 0;
const INSTANCE: usize = 1;

impl NodeStatements {
    /// Reads the nodes of the instance in slot 1.
    pub(super) const fn of_instance(&self) -> &Statement {
        &self.of_instance
    }
}

fn at(column: &str) -> usize {
    COLUMNS.iter().position(|other| *other == column).unwrap_or(ID)
}

impl NodeStatements {
    pub(super) fn new(dialect: Dialect) -> Self {
        let table = || Alias::new("metapaas_nodes");
        let col = |name: &str| Expr::col(Alias::new(name));
        let select = || Query::select().columns(COLUMNS.map(Alias::new)).from(table()).to_owned();
        let update = |columns: &[&'static str]| {
            let mut update = Query::update();
            update
                .table(table())
                .and_where(col("id").eq(slot(ID)))
                .value(Alias::new("updated_at"), slot(NOW))
                .returning_col(Alias::new("id"));
            for column in columns {
                update.value(Alias::new(*column), slot(at(column)));
            }
            update
        };
        let held = || held(dialect, INSTANCE, EPOCH, true);
        let update_under_lease = |columns: &[&'static str]| update(columns).and_where(held()).to_owned();
        let mut insert = Query::insert();
        insert
            .into_table(table())
            .columns(COLUMNS.into_iter().chain(["status", "document", "updated_at"]).map(Alias::new))
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .returning_col(Alias::new("id"));
        let values = (0..COLUMNS.len()).map(slot).chain([Expr::cust("''"), slot(DOCUMENT), slot(NOW)]);
        let mut decided = Query::select();
        decided.exprs(values).and_where(held());
        // It fails only when columns and values differ in number.
        let _ = insert.select_from(decided);
        let mut set_document = update_under_lease(&["document_generation", "document_digest"]);
        set_document.value(Alias::new("document"), slot(DOCUMENT));
        let mut set_silent = update_under_lease(&["health", "message"]);
        // A report that came meanwhile is worth more than its absence before.
        let seen = col("last_seen_at").lte(slot(at("last_seen_at")));
        set_silent.and_where(col("last_seen_at").is_null().or(seen));
        let mut report = update(&[
            "applied_generation",
            "health",
            "message",
            "facts",
            "errors",
            "removed",
            "last_seen_at",
        ]);
        // What it says of the document that it has is good only while that is the newest.
        report.and_where(col("document_digest").eq(slot(at("document_digest"))));
        let of_instance = select()
            .and_where(col("instance_id").eq(slot(INSTANCE)))
            .order_by(Alias::new("id"), Order::Asc)
            .to_owned();
        let by_id = select().and_where(col("id").eq(slot(ID))).to_owned();
        let document = Query::select()
            .columns(["document", "document_digest"].map(Alias::new))
            .from(table())
            .and_where(col("id").eq(slot(ID)))
            .to_owned();
        let silent = select()
            .and_where(col("last_seen_at").lt(slot(at("last_seen_at"))))
            .and_where(Expr::cust("health <> 'silent'"))
            .order_by(Alias::new("last_seen_at"), Order::Asc)
            .limit(LIMIT as u64)
            .to_owned();
        let delete = Query::delete().from_table(table()).and_where(col("id").eq(slot(ID))).to_owned();
        Self {
            insert: Statement::new(dialect, &insert),
            of_instance: Statement::new(dialect, &of_instance),
            by_id: Statement::new(dialect, &by_id),
            document: Statement::new(dialect, &document),
            silent: Statement::new(dialect, &silent),
            set_document: Statement::new(dialect, &set_document),
            set_made: Statement::new(dialect, &update_under_lease(&["phase", "address", "location"])),
            set_deleting: Statement::new(dialect, &update_under_lease(&["deleting_at"])),
            set_silent: Statement::new(dialect, &set_silent),
            report: Statement::new(dialect, &report),
            delete: Statement::new(dialect, &delete),
        }
    }
}

/// Reads a row of the columns that the statements of nodes select.
pub(super) fn read_node(row: &Row) -> Result<Node, StoreError> {
    let corrupt = |detail: &dyn std::fmt::Display| StoreError::Corrupt {
        action: "read a node",
        detail: detail.to_string(),
    };
    let json = |column: &str| row.json(at(column)).required("json");
    Ok(Node {
        id: row.uuid(at("id")).required("id")?,
        instance_id: row.uuid(at("instance_id")).required("instance_id")?,
        project_id: row.uuid(at("project_id")).required("project_id")?,
        slug: row.text(at("type")).required("type")?,
        place: row.text(at("place")).required("place")?,
        provider: row.text(at("provider")).required("provider")?,
        address: row
            .text(at("address"))?
            .map(|text| text.parse().map_err(|error| corrupt(&error)))
            .transpose()?,
        port: u16::try_from(row.int(at("port")).required("port")?).map_err(|error| corrupt(&error))?,
        location: row.json(at("location"))?.and_then(|raw| serde_json::from_str(raw.get()).ok()),
        made: row.text(at("phase")).required("phase")? == "made",
        document_generation: row.int(at("document_generation")).required("document_generation")?,
        document_digest: row.text(at("document_digest"))?.unwrap_or_default(),
        applied_generation: row.int(at("applied_generation")).required("applied_generation")?,
        health: row.text(at("health")).required("health")?,
        message: row.text(at("message")).required("message")?,
        facts: serde_json::from_str(json("facts")?.get()).map_err(|error| corrupt(&error))?,
        errors: serde_json::from_str(json("errors")?.get()).map_err(|error| corrupt(&error))?,
        removed: row.bool(at("removed")).required("removed")?,
        last_seen_at: row.time(at("last_seen_at"))?,
        created_at: row.time(at("created_at")).required("created_at")?,
        deleting_at: row.time(at("deleting_at"))?,
    })
}

fn arguments(node: &Node, document: Option<String>) -> Vec<Arg> {
    let mut args = vec![Arg::Text(None); SLOTS];
    args[ID] = Arg::from(node.id);
    args[INSTANCE] = Arg::from(node.instance_id);
    args[at("project_id")] = Arg::from(node.project_id);
    args[at("type")] = Arg::from(node.slug.as_str());
    args[at("place")] = Arg::from(node.place.as_str());
    args[at("provider")] = Arg::from(node.provider.as_str());
    args[at("address")] = Arg::Text(node.address.map(|address| address.to_string()));
    args[at("port")] = Arg::from(i64::from(node.port));
    args[at("location")] = Arg::Json(node.location.as_ref().map(raw_json));
    args[at("phase")] = Arg::from(if node.made { "made" } else { "wanted" });
    args[at("document_generation")] = Arg::from(node.document_generation);
    args[at("document_digest")] = Arg::from(node.document_digest.as_str());
    args[at("applied_generation")] = Arg::from(node.applied_generation);
    args[at("health")] = Arg::from(node.health.as_str());
    args[at("message")] = Arg::from(node.message.as_str());
    args[at("facts")] = Arg::from(raw_json(&node.facts));
    args[at("errors")] = Arg::from(raw_json(&node.errors));
    args[at("removed")] = Arg::from(node.removed);
    args[at("last_seen_at")] = Arg::from(node.last_seen_at);
    args[at("created_at")] = Arg::from(node.created_at);
    args[at("deleting_at")] = Arg::from(node.deleting_at);
    args[DOCUMENT] = Arg::Text(document);
    args[NOW] = Arg::from(now());
    args
}

/// Where a node's document stands, for sealing.
pub(super) fn document_place(id: impl std::fmt::Display) -> String {
    format!("metapaas_nodes.document:{id}")
}

impl Store {
    /// The nodes of an instance, oldest first.
    pub(crate) async fn nodes(&self, instance: Uuid) -> Result<Vec<Node>, StoreError> {
        let args = [Arg::from(Uuid::nil()), Arg::from(instance)];
        let rows = self.database.fetch("read nodes", &self.node.of_instance, &args).await?;
        rows.iter().map(read_node).collect()
    }

    /// One node.
    pub(crate) async fn node(&self, id: Uuid) -> Result<Option<Node>, StoreError> {
        let rows = self.database.fetch("read a node", &self.node.by_id, &[Arg::from(id)]).await?;
        rows.first().map(read_node).transpose()
    }

    /// Decides on a node. `false` when its place or address has been taken meanwhile, or the lease.
    pub(crate) async fn insert_node(
        &self,
        lease: &Claim,
        node: &Node,
        document: &str,
    ) -> Result<bool, StoreError> {
        let sealed = self.keys.seal(&document_place(node.id), document.as_bytes());
        self.under_lease("make a node", &self.node.insert, lease, node, Some(sealed)).await
    }

    /// Gives a node a new document; its generation and digest are those of `node`. `false` when the lease is lost.
    pub(crate) async fn set_node_document(
        &self,
        lease: &Claim,
        node: &Node,
        document: &str,
    ) -> Result<bool, StoreError> {
        let sealed = self.keys.seal(&document_place(node.id), document.as_bytes());
        let statement = &self.node.set_document;
        let is_done =
            self.under_lease("write a node's document", statement, lease, node, Some(sealed)).await?;
        // Agents that wait for a document listen for their node's id.
        self.changed(node.id);
        Ok(is_done)
    }

    async fn under_lease(
        &self,
        action: &'static str,
        statement: &Statement,
        lease: &Claim,
        node: &Node,
        document: Option<String>,
    ) -> Result<bool, StoreError> {
        let mut args = arguments(node, document);
        args[EPOCH] = Arg::from(lease.epoch);
        Ok(!self.run_write(action, statement, args).await?.is_empty())
    }

    /// A node's document and its digest, opened.
    pub(crate) async fn node_document(&self, id: Uuid) -> Result<Option<(String, String)>, StoreError> {
        let rows =
            self.database.fetch("read a node's document", &self.node.document, &[Arg::from(id)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let corrupt = |detail: String| StoreError::Corrupt { action: "open a node's document", detail };
        let sealed = row.text(0).required("document")?;
        let place = document_place(id);
        let plain = self
            .keys
            .open(&place, &sealed)
            .map_err(|error| StoreError::sealed("open a node's document", &place, error))?;
        let text = String::from_utf8(plain.to_vec()).map_err(|error| corrupt(error.to_string()))?;
        Ok(Some((text, row.text(1)?.unwrap_or_default())))
    }

    /// Nodes that last reported before `before` and are not yet known as silent.
    pub(crate) async fn silent_nodes(
        &self,
        before: DateTime<Utc>,
        limit: u16,
    ) -> Result<Vec<Node>, StoreError> {
        let mut args = vec![Arg::Text(None); SLOTS];
        args[at("last_seen_at")] = Arg::from(before);
        args[LIMIT] = Arg::from(i64::from(limit));
        let rows = self.database.fetch("find silent nodes", &self.node.silent, &args).await?;
        rows.iter().map(read_node).collect()
    }

    /// Keeps what the provider answered. `false` when the node is no more, or the lease is lost.
    pub(crate) async fn set_node_made(&self, lease: &Claim, node: &Node) -> Result<bool, StoreError> {
        self.under_lease("keep a node's location", &self.node.set_made, lease, node, None).await
    }

    /// Decides that a node goes. `false` when the lease is lost.
    pub(crate) async fn set_node_deleting(&self, lease: &Claim, node: &Node) -> Result<bool, StoreError> {
        self.under_lease("let a node go", &self.node.set_deleting, lease, node, None).await
    }

    /// Notes that a node has not reported since its `last_seen_at`. `false` when it has, or the lease is lost.
    pub(crate) async fn set_node_silent(&self, lease: &Claim, node: &Node) -> Result<bool, StoreError> {
        self.under_lease("note that a node is silent", &self.node.set_silent, lease, node, None).await
    }

    /// Keeps what a node reported on the document that it has. With news its instance is woken, both or neither.
    /// `false` when the node has another document by now.
    pub(crate) async fn report_node(&self, node: &Node, is_news: bool) -> Result<bool, StoreError> {
        const ACTION: &str = "keep a node's report";
        let args = arguments(node, None);
        if !is_news {
            return Ok(!self.run_write(ACTION, &self.node.report, args).await?.is_empty());
        }
        let report = self.node.report.clone();
        let (wake, wake_args) = self.waking(node.instance_id, &node.slug);
        let written: Result<(), NotKept> = self
            .database
            .write(ACTION, move |tx| {
                Box::pin(async move {
                    // The work row before the node's, as passes do: two that wait for each other are one too many.
                    tx.execute(ACTION, &wake, &wake_args).await?;
                    let rows = tx.fetch(ACTION, &report, &args).await?;
                    if rows.is_empty() { Err(NotKept(None)) } else { Ok(()) }
                })
            })
            .await;
        match written {
            Ok(()) => {
                self.changed(node.instance_id);
                Ok(true)
            }
            Err(NotKept(None)) => Ok(false),
            Err(NotKept(Some(error))) => Err(error),
        }
    }

    /// Forgets a node that its provider has removed.
    pub(crate) async fn delete_node(&self, id: Uuid) -> Result<(), StoreError> {
        self.run_write("forget a node", &self.node.delete, vec![Arg::from(id)]).await.map(|_| ())
    }
}

/// Undoes a report: the document has changed, or the database failed.
struct NotKept(Option<StoreError>);

impl From<StoreError> for NotKept {
    fn from(error: StoreError) -> Self {
        Self(Some(error))
    }
}
