//! The JSON form of a [`Resource`] in answers, whole or in part.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Datum, Resource, rfc3339};
use crate::descriptor::TypeDescriptor;

/// The members that answers of a type have, in their order. Secrets are none of them.
pub fn member_names(ty: &'static TypeDescriptor) -> Vec<&'static str> {
    let mut names = vec!["id"];
    names.extend(ty.has_framework_name().then_some("name"));
    names.extend(["project_id", "type"]);
    names.extend(if ty.is_instance() {
        ["version", "deletion_protection"]
    } else {
        ["instance_id", "parent_id"]
    });
    names.push("description");
    names.extend(ty.fields.iter().filter(|field| !field.is_secret()).map(|field| field.name));
    names.push("status");
    names.extend(ty.is_instance().then_some("nodes"));
    names.extend(["conditions", "generation", "observed_generation", "revision", "labels"]);
    names.extend(["created_at", "updated_at"]);
    names
}

/// Writes the members that are wanted.
struct Members<'a, M> {
    map: M,
    is_wanted: &'a dyn Fn(&str) -> bool,
}

impl<M: SerializeMap> Members<'_, M> {
    fn add<V: Serialize + ?Sized>(&mut self, name: &str, value: &V) -> Result<(), M::Error> {
        if (self.is_wanted)(name) { self.map.serialize_entry(name, value) } else { Ok(()) }
    }
}

impl Resource {
    /// Writes the members that `is_wanted` names.
    ///
    /// # Errors
    /// What the writer answers.
    pub fn serialize_members<S: Serializer>(
        &self,
        serializer: S,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<S::Ok, S::Error> {
        let meta = &self.meta;
        let mut members = Members { map: serializer.serialize_map(None)?, is_wanted };
        members.add("id", &meta.id)?;
        if let Some(name) = &meta.name {
            members.add("name", name)?;
        }
        members.add("project_id", &meta.project_id)?;
        if self.ty.is_instance() {
            members.add("type", self.ty.slug)?;
            members.add("version", &meta.version)?;
            members.add("deletion_protection", &meta.deletion_protection)?;
        } else {
            members.add("type", &self.type_name())?;
            members.add("instance_id", &meta.instance_id)?;
            members.add("parent_id", &meta.parent_id)?;
        }
        members.add("description", &meta.description)?;
        for (field, datum) in self.ty.fields.iter().zip(&self.fields) {
            if !matches!(datum, Datum::Sealed(_)) {
                members.add(field.name, datum)?;
            }
        }
        members.add("status", &meta.status)?;
        if let Some(nodes) = &meta.nodes {
            members.add("nodes", nodes)?;
        }
        members.add("conditions", &meta.conditions)?;
        members.add("generation", &meta.generation)?;
        members.add("observed_generation", &meta.observed_generation)?;
        members.add("revision", &meta.revision)?;
        members.add("labels", &meta.labels)?;
        members.add("created_at", &rfc3339(meta.created_at))?;
        members.add("updated_at", &rfc3339(meta.updated_at))?;
        members.map.end()
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize_members(serializer, &|_| true)
    }
}
