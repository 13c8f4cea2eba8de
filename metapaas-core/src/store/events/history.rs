//! The history of changes, page by page.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_query::{Alias, Condition, ExprTrait, Order, Query};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{col, table};
use crate::authz::Projects;
use crate::query::{Field, Filter, Kind, Place};
use crate::registry::RegisteredType;
use crate::resource::rfc3339;
use crate::store::resources::condition;
use crate::store::statement::{Statement, slot};
use crate::store::value::{Arg, Required, Row};
use crate::store::{Store, StoreError};

/// One change of a row, as it was recorded with it.
#[derive(Clone, Debug)]
pub struct Event {
    /// The revision that the change gave the row: its place in the order of all changes.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The row's project.
    pub project_id: Uuid,
    /// The slug of the row's type.
    pub slug: String,
    /// The plural of the row's type.
    pub plural: String,
    /// The row.
    pub resource_id: Uuid,
    /// The instance at its root.
    pub instance_id: Option<Uuid>,
    /// The row above it.
    pub parent_id: Option<Uuid>,
    /// What paths named it by.
    pub name: String,
    /// What was done.
    pub action: String,
    /// `user`, `service_account` or `system`.
    pub actor_kind: String,
    /// Who did it.
    pub actor_id: Option<Uuid>,
    /// The name at the time.
    pub actor_name: String,
    /// The request.
    pub request_id: String,
    /// The row's generation after the change.
    pub generation: i64,
    /// What changed.
    pub detail: Option<Box<RawValue>>,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("at", &rfc3339(self.at))?;
        map.serialize_entry("project_id", &self.project_id)?;
        map.serialize_entry("type", &self.slug)?;
        map.serialize_entry("plural", &self.plural)?;
        map.serialize_entry("resource_id", &self.resource_id)?;
        map.serialize_entry("instance_id", &self.instance_id)?;
        map.serialize_entry("parent_id", &self.parent_id)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("action", &self.action)?;
        let actor =
            serde_json::json!({ "kind": self.actor_kind, "id": self.actor_id, "name": self.actor_name });
        map.serialize_entry("actor", &actor)?;
        map.serialize_entry("request_id", &self.request_id)?;
        map.serialize_entry("generation", &self.generation)?;
        map.serialize_entry("detail", &self.detail)?;
        map.end()
    }
}

/// Which events, of those that the caller may see.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The row's project.
    pub project_id: Option<Uuid>,
    /// The slug of the row's type.
    pub slug: Option<String>,
    /// The plural of the row's type.
    pub plural: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// Who did it, by name or id.
    pub actor: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// Made then or later.
    pub since: Option<DateTime<Utc>>,
    /// Made before.
    pub until: Option<DateTime<Utc>>,
    /// And this, of [`FIELDS`].
    pub also: Filter,
}

/// What `filter` may name, and lists can be sorted by.
pub const FIELDS: &[Field] = &[
    Field { sortable: true, ..field("seq", "/seq", Kind::Int) },
    field("at", "/at", Kind::Time),
    field("project_id", "/project_id", Kind::Uuid),
    field("resource_id", "/resource_id", Kind::Uuid),
    Field { nullable: true, ..field("instance_id", "/instance_id", Kind::Uuid) },
];

/// Members of events.
pub const MEMBERS: &[&str] = &[
    "seq",
    "at",
    "project_id",
    "type",
    "plural",
    "resource_id",
    "instance_id",
    "parent_id",
    "name",
    "action",
    "actor",
    "request_id",
    "generation",
    "detail",
];

const fn field(name: &'static str, pointer: &'static str, kind: Kind) -> Field {
    Field { name, place: Place::Column(pointer), kind, nullable: false, sortable: false }
}

/// Which way a page of events goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrder {
    /// From the last back.
    NewestFirst,
    /// From the first on.
    OldestFirst,
}

/// The part of the history that a page is read from.
#[derive(Clone, Copy, Debug)]
pub struct EventRange {
    /// Which way.
    pub order: EventOrder,
    /// Only events after this position.
    pub after: i64,
    /// Only events up to this position.
    pub upto: i64,
    /// Most events of the page.
    pub limit: u16,
}

const COLUMNS: [&str; 16] = [
    "seq",
    "at",
    "project_id",
    "type",
    "plural",
    "resource_id",
    "instance_id",
    "parent_id",
    "name",
    "action",
    "actor_kind",
    "actor_id",
    "actor_name",
    "request_id",
    "generation",
    "detail",
];

/// The projects in which the caller may read rows of a type, for each type that it may read at all.
pub type Readable = [(&'static str, &'static str, Projects)];

impl Store {
    /// A page of the events that match `filter` of the rows that `readable` allows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn events(
        &self,
        readable: &Readable,
        filter: &EventFilter,
        range: EventRange,
    ) -> Result<Vec<Event>, StoreError> {
        let mut args = vec![Arg::from(range.after), Arg::from(range.upto), Arg::from(i64::from(range.limit))];
        let mut add = |arg: Arg| {
            args.push(arg);
            slot(args.len() - 1)
        };
        let order = match range.order {
            EventOrder::NewestFirst => Order::Desc,
            EventOrder::OldestFirst => Order::Asc,
        };
        let mut query = Query::select();
        query
            .columns(COLUMNS.map(Alias::new))
            .from(table())
            .and_where(col("seq").gt(slot(0)))
            .and_where(col("seq").lte(slot(1)))
            .order_by(Alias::new("seq"), order)
            // Slot 2, as all numbers in statements are slots.
            .limit(2);
        let mut visible = Condition::any();
        for (projects, types) in by_projects(readable) {
            let mut of_types = Condition::any();
            for (slug, plural) in types {
                let ty = Condition::all()
                    .add(col("type").eq(add(Arg::from(slug))))
                    .add(col("plural").eq(add(Arg::from(plural))));
                of_types = of_types.add(ty);
            }
            let mut both = Condition::all().add(of_types);
            if let Projects::Some(projects) = &projects {
                let slots: Vec<_> = projects.iter().map(|project| add(Arg::from(*project))).collect();
                both = both.add(col("project_id").is_in(slots));
            }
            visible = visible.add(both);
        }
        if visible.is_empty() {
            return Ok(Vec::new());
        }
        query.cond_where(visible);
        let texts = [
            ("type", &filter.slug),
            ("plural", &filter.plural),
            ("action", &filter.action),
            ("request_id", &filter.request_id),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                query.and_where(col(name).eq(add(Arg::from(value.as_str()))));
            }
        }
        if let Some(project) = filter.project_id {
            query.and_where(col("project_id").eq(add(Arg::from(project))));
        }
        if let Some(actor) = &filter.actor {
            let is_actor = match actor.parse::<Uuid>() {
                Ok(id) => col("actor_id").eq(add(Arg::from(id))),
                Err(_) => col("actor_name").eq(add(Arg::from(actor.as_str()))),
            };
            query.and_where(is_actor);
        }
        if let Some(since) = filter.since {
            query.and_where(col("at").gte(add(Arg::from(since))));
        }
        if let Some(until) = filter.until {
            query.and_where(col("at").lt(add(Arg::from(until))));
        }
        let dialect = self.database.dialect();
        if !filter.also.is_everything() {
            query.and_where(condition(dialect, &filter.also, &mut args));
        }
        let statement = Statement::new(dialect, &query);
        let rows = self.database.fetch("read events", &statement, &args).await?;
        rows.iter().map(read_event).collect()
    }

    /// The types that the events of `filter` may be of.
    pub fn event_types(&self, filter: &EventFilter) -> Vec<&RegisteredType> {
        let fits =
            |wanted: &Option<String>, word: &str| wanted.as_deref().is_none_or(|wanted| wanted == word);
        let types = self.registry.types().iter();
        types.filter(|one| fits(&filter.slug, one.ty.slug) && fits(&filter.plural, one.ty.plural)).collect()
    }
}

/// Types that may be read in the same projects go together: with few roles there are few such groups.
fn by_projects(readable: &Readable) -> Vec<(Projects, Vec<(&'static str, &'static str)>)> {
    let mut groups: Vec<(Projects, Vec<_>)> = Vec::new();
    for (slug, plural, projects) in readable {
        if *projects == Projects::Some(Arc::from([])) {
            continue;
        }
        match groups.iter_mut().find(|(of, _)| of == projects) {
            Some((_, types)) => types.push((*slug, *plural)),
            None => groups.push((projects.clone(), vec![(*slug, *plural)])),
        }
    }
    groups
}

fn read_event(row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        seq: row.int(0).required("seq")?,
        at: row.time(1).required("at")?,
        project_id: row.uuid(2).required("project_id")?,
        slug: row.text(3).required("type")?,
        plural: row.text(4).required("plural")?,
        resource_id: row.uuid(5).required("resource_id")?,
        instance_id: row.uuid(6)?,
        parent_id: row.uuid(7)?,
        name: row.text(8).required("name")?,
        action: row.text(9).required("action")?,
        actor_kind: row.text(10).required("actor_kind")?,
        actor_id: row.uuid(11)?,
        actor_name: row.text(12).required("actor_name")?,
        request_id: row.text(13).required("request_id")?,
        generation: row.int(14).required("generation")?,
        detail: row.json(15)?,
    })
}
