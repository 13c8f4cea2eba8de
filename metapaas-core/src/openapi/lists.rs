//! Parameters of a list: equality by field, `filter`, `label_selector` and `order_by`.

use serde_json::json;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder};
use utoipa::openapi::{Required, Schema, Type};

use super::build::{WITHOUT_NUL, array, formatted, shared_parameter, string};
use crate::descriptor::TypeDescriptor;
use crate::query::{Fields, Kind};
use crate::resource::member_names;
use crate::status::Status;

/// Adds the parameters of lists of `ty`, but for the page and the project.
pub(super) fn add_of(operation: OperationBuilder, ty: &'static TypeDescriptor) -> OperationBuilder {
    add(operation, &Fields::of(ty), &member_names(ty))
}

/// The same for a list whose rows have those fields and members.
pub(super) fn add(operation: OperationBuilder, fields: &Fields, members: &[&str]) -> OperationBuilder {
    let mut operation =
        operation.description(Some(description(fields, members))).parameter_ref(shared_parameter("Filter"));
    if fields.get("labels").is_some() {
        operation = operation.parameter_ref(shared_parameter("LabelSelector"));
    }
    operation = operation.parameter(order_by(fields));
    // These have, or are, parameters of their own; `filter` takes fields of any name.
    let reserved =
        ["labels", "project_id", "limit", "page_token", "filter", "label_selector", "order_by", "fields"];
    for field in fields.iter().filter(|field| !reserved.contains(&field.name)) {
        let doc = format!("Only rows whose `{}` is one of these.", field.name);
        operation = operation.parameter(several(field.name, array(value(field.kind), ""), &doc, true));
    }
    operation
}

/// What cannot be said in a parameter: an answer with `fields` lacks members that its schema requires.
fn description(fields: &Fields, members: &[&str]) -> String {
    format!(
        "Can be filtered by {}; can be sorted by {}.\n\n`fields=id,status` (not a parameter here, since the answers \
         then lack members that their schema requires) answers these members alone, of {}.",
        fields.filterable(),
        fields.sortable(),
        members.join(", ")
    )
}

fn order_by(fields: &Fields) -> Parameter {
    let names = fields.iter().filter(|field| field.sortable).map(|field| field.name);
    let keys: Vec<String> = names.flat_map(|name| [name.to_owned(), format!("{name} desc")]).collect();
    let keys = array(string("").enum_values(Some(keys)), "").max_items(Some(8));
    let doc = "The order: fields, each perhaps with ` desc`. It ends in `id` by itself. `created_at` is the order of \
               `id`, so that fields after it change nothing. Null is greater than every value.";
    several("order_by", keys, doc, false)
}

fn several(name: &str, values: ArrayBuilder, doc: &str, explode: bool) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(doc))
        .style(Some(ParameterStyle::Form))
        .explode(Some(explode))
        .schema(Some(Schema::from(values)))
        .build()
}

fn value(kind: Kind) -> ObjectBuilder {
    match kind {
        Kind::Bool => ObjectBuilder::new().schema_type(Type::Boolean),
        Kind::Int => super::build::integer("").minimum(Some(i64::MIN)).maximum(Some(i64::MAX)),
        Kind::Float => ObjectBuilder::new().schema_type(Type::Number),
        // A request cannot hold NUL in a value.
        Kind::Text => string("").pattern(Some(WITHOUT_NUL)),
        Kind::Enum(variants) => string("").enum_values(Some(variants.iter().map(|variant| variant.name))),
        Kind::Status => string("").enum_values(Some(Status::ALL.map(Status::as_str))),
        Kind::Uuid => formatted("uuid", ""),
        Kind::Time => formatted("date-time", ""),
        Kind::Duration => string("A duration such as `1h 30m`."),
        Kind::Labels => string(""),
    }
}

/// `filter` and `label_selector`, which are the same for all types.
pub(super) fn shared() -> [(&'static str, Parameter); 2] {
    let text = |name: &str, doc: &str, example: &str| {
        let schema = string("").max_length(Some(crate::query::TEXT_MAX));
        ParameterBuilder::from(super::build::query(name, schema, doc)).example(Some(json!(example))).build()
    };
    [
        (
            "Filter",
            text(
                "filter",
                "Comparisons `FIELD = VALUE` with `=`, `!=`, `<`, `<=`, `>`, `>=` and `:` (text holds, a label is \
                 there), joined by `AND`, `OR`, `NOT` and brackets; `AND` binds closer than `OR`.",
                "status != ACTIVE AND created_at >= 2026-01-31T00:00:00Z",
            ),
        ),
        (
            "LabelSelector",
            text(
                "label_selector",
                "Labels as Kubernetes selects them: `a=b,c!=d,e in (x,y),f notin (z),g,!h`; all have to hold.",
                "tier in (web,api),!old",
            ),
        ),
    ]
}
