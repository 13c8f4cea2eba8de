//! Request bodies and answers of a hosted type.

use utoipa::openapi::Type;
use utoipa::openapi::schema::ObjectBuilder;

use super::Parts;
use super::build::{
    ObjectExt, array, boolean, closed, id, integer, nullable, open, page_of, schema, string, time,
};
use super::field::{Place, field};
use super::shared::{NAME_PATTERN, labels, labels_patch};
use super::types::Names;
use crate::descriptor::{FieldDescriptor, Scope};
use crate::registry::RegisteredType;
use crate::resource::type_name;
use crate::validate::{DESCRIPTION_MAX, IGNORED};

const INSTANCE_LABELS: &str = "Labels by name. `metapaas/provider` names what makes the instance's nodes, such as \
    `docker`; it is chosen at create, for good, and the platform's default when left out.";

/// Adds all schemas of the type.
pub(super) fn add(parts: &mut Parts, registered: &RegisteredType, names: &Names) {
    let schemas = [
        (&names.answer, answer(registered)),
        (&names.create, request(registered, Place::Create)),
        (&names.merge, request(registered, Place::Merge)),
        (&names.replace, request(registered, Place::Replace)),
        (&names.list, page_of(&names.answer)),
    ];
    let requests = [&names.create, &names.merge, &names.replace];
    for (name, schema) in schemas {
        if registered.is_managed && requests.contains(&name) {
            continue;
        }
        parts.components.schemas.insert(name.clone(), schema.into());
    }
}

const PROTECTION: &str = "Whether deleting it is refused. False unless given.";

/// What requests may say: the type's fields, the framework's, and what answers have beside.
fn request(registered: &RegisteredType, place: Place) -> ObjectBuilder {
    let ty = registered.ty;
    let mut object = closed(ty.doc);
    if ty.has_framework_name() {
        object = if place == Place::Create {
            object.must("name", name("Unique among its siblings. It may not look like a UUID."))
        } else {
            object.property("name", name("Cannot change after create; may be repeated."))
        };
    }
    let takes_project = ty.is_instance() && ty.scope == Scope::Project;
    object = match place {
        Place::Create if takes_project => object.property(
            "project_id",
            id("The project it goes to. A caller with a role in one project only need not say."),
        ),
        Place::Create => object.property("project_id", schema("Ignored")),
        _ => object.property("project_id", id("Cannot change after create; may be repeated.")),
    };
    if ty.is_instance() {
        object = object
            .property("version", version(registered, place))
            .property("deletion_protection", boolean(PROTECTION).schema_type(nullable(Type::Boolean)));
    }
    let text = string("Free text.").schema_type(nullable(Type::String)).max_length(Some(DESCRIPTION_MAX));
    object = object.property("description", text);
    for described in ty.fields {
        object = if described.output {
            object.property(described.name, schema("Ignored"))
        } else if is_required(described, place) {
            object.must(described.name, field(ty, described, place))
        } else {
            object.property(described.name, field(ty, described, place))
        };
    }
    let described = if registered.ty.is_instance() { INSTANCE_LABELS } else { "Labels by name." };
    let labels = if place == Place::Merge { labels_patch() } else { labels() };
    object =
        object.property("labels", labels.schema_type(nullable(Type::Object)).description(Some(described)));
    let ignored = IGNORED.iter().filter(|member| **member != "project_id");
    ignored.fold(object, |object, member| object.property(*member, schema("Ignored")))
}

/// Whether a body without the field is refused.
const fn is_required(field: &FieldDescriptor, place: Place) -> bool {
    match place {
        Place::Create => field.is_required(),
        // A secret is never shown, so that one who sends back what they got does not have it.
        Place::Replace => field.is_required() && field.is_mutable() && !field.is_secret(),
        Place::Merge | Place::Answer => false,
    }
}

fn name(doc: &str) -> ObjectBuilder {
    string(doc).pattern(Some(NAME_PATTERN)).max_length(Some(63))
}

fn version(registered: &RegisteredType, place: Place) -> ObjectBuilder {
    let schema = ObjectBuilder::new().schema_type(nullable(Type::String));
    let choice = registered.versions.join("`, `");
    if place == Place::Create {
        let versions = registered.versions.iter().map(|version| Some(*version)).chain([None]);
        return schema.enum_values(Some(versions)).description(Some("The newest when not given."));
    }
    let text = format!("One of `{choice}`, or the one it has. It stays when not given.");
    schema.description(Some(text))
}

/// A row as answers show it.
fn answer(registered: &RegisteredType) -> ObjectBuilder {
    let ty = registered.ty;
    let mut object = open(ty.doc).must("id", id("Given by the platform.").read_only(true));
    if ty.has_framework_name() {
        object = object.must("name", name("Unique among its siblings."));
    }
    object = object.must("project_id", id("The project it belongs to."));
    object = object.must("type", string("").enum_values(Some([type_name(ty)])).read_only(true));
    object = if ty.is_instance() {
        object
            .must("version", string("The version it runs."))
            .must("deletion_protection", boolean(PROTECTION))
    } else {
        object
            .must("instance_id", id("The instance it belongs to.").read_only(true))
            .must("parent_id", id("The row above.").read_only(true))
    };
    object = object.must("description", string("Free text."));
    for described in ty.fields {
        object = match (described.is_secret(), described.default.is_some()) {
            (false, _) => object.must(described.name, field(ty, described, Place::Answer)),
            // Only a generated secret is ever shown.
            (true, true) => object.property(described.name, field(ty, described, Place::Answer)),
            (true, false) => object,
        };
    }
    object = object.must("status", schema("Status"));
    if ty.is_instance() {
        object = object.must("nodes", array(schema("Node"), "Its nodes."));
    }
    object
        .must("conditions", array(schema("Condition"), "The aspects that the status is computed from."))
        .must("generation", integer("Raised by every change of the spec.").read_only(true))
        .must("observed_generation", integer("The last generation that is in force.").read_only(true))
        .must("revision", integer("Raised by every change; the entity tag.").read_only(true))
        .must("labels", schema("Labels"))
        .must("created_at", time("When it was made.").read_only(true))
        .must("updated_at", time("When it last changed, its status included.").read_only(true))
        .property(
            "plan",
            array(schema("PlanStep"), "In answers to dry runs: the steps that the change would lead to."),
        )
}
