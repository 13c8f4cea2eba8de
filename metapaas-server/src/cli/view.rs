//! Resources as people read them: one in full, many in a table.

use chrono::Utc;
use serde_json::Value;

use super::output::{pairs, table};
use super::text::{age, cell, clean, plain};
use super::types::TypeInfo;

/// Fields of a type that a list shows; `get` and `-o json` show the rest.
const LISTED_FIELDS: usize = 4;

/// One resource, line by line.
pub(crate) fn details(resource: &Value, ty: &TypeInfo) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: &Value| {
        if !value.is_null() {
            rows.push((clean(name), plain(value)));
        }
    };
    if ty.fields.iter().all(|field| field.name != "name") {
        row("name", &resource["name"]);
    }
    row("type", &resource["type"]);
    row("id", &resource["id"]);
    row("status", &Value::String(state(resource)));
    row("version", &resource["version"]);
    row("project", &resource["project_id"]);
    if resource["description"] != "" {
        row("description", &resource["description"]);
    }
    for field in &ty.fields {
        row(&field.name, &resource[&field.name]);
    }
    if resource["labels"].as_object().is_some_and(|labels| !labels.is_empty()) {
        row("labels", &resource["labels"]);
    }
    for node in resource["nodes"].as_array().into_iter().flatten() {
        row("node", &Value::String(node_line(node)));
    }
    for step in plan(resource) {
        row("would", &Value::String(step));
    }
    for condition in resource["conditions"].as_array().into_iter().flatten() {
        if condition["type"] != "Ready" {
            let parts = ["status", "reason", "message"].map(|part| plain(&condition[part]));
            row(&format!("condition {}", plain(&condition["type"])), &Value::String(join_words(&parts)));
        }
    }
    row("generation", &generation(resource));
    row("created", &resource["created_at"]);
    row("updated", &resource["updated_at"]);
    pairs(rows)
}

/// The steps of a dry run, a line each.
pub(crate) fn plan(resource: &Value) -> Vec<String> {
    let Some(steps) = resource["plan"].as_array() else { return Vec::new() };
    if steps.is_empty() {
        return vec!["no node has to act".into()];
    }
    let line = |step: &Value| {
        let [node, action, reason, disruption] =
            ["node", "action", "reason", "disruption"].map(|part| plain(&step[part]));
        let notice = if disruption == "none" { String::new() } else { format!(", {disruption}") };
        format!("{} ({reason}{notice})", join_words(&[action, node]))
    };
    steps.iter().map(line).collect()
}

/// Status, and in brackets what it waits for.
pub(crate) fn state(resource: &Value) -> String {
    let status = plain(&resource["status"]);
    match not_ready(resource) {
        Some(why) => format!("{status} ({why})"),
        None => status,
    }
}

/// Reason and message of the Ready condition, while it is not true.
pub(crate) fn not_ready(resource: &Value) -> Option<String> {
    let ready = resource["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")?;
    if ready["status"] == "True" {
        return None;
    }
    let (reason, message) = (plain(&ready["reason"]), plain(&ready["message"]));
    match (reason.is_empty(), message.is_empty()) {
        (true, true) => None,
        (false, false) => Some(format!("{reason}: {message}")),
        _ => Some(reason + &message),
    }
}

/// Resources of one type, a line each.
pub(crate) fn list(resources: &[Value], ty: &TypeInfo) -> String {
    let key = ty.key().unwrap_or("id");
    let fields: Vec<&str> = ty
        .fields
        .iter()
        .filter(|field| field.name != key && !field.is_secret())
        .filter(|field| !matches!(field.kind.as_str(), "list" | "map" | "json"))
        .map(|field| field.name.as_str())
        .take(LISTED_FIELDS)
        .collect();
    let has_nodes = ty.parent.is_none();
    let mut headings = vec![key.to_uppercase(), "STATUS".into()];
    if has_nodes {
        headings.push("NODES".into());
    }
    headings.extend(fields.iter().map(|field| clean(field).to_uppercase()));
    headings.push("AGE".into());
    let rows = resources.iter().map(|resource| {
        let mut row = vec![cell(&resource[key]), cell(&resource["status"])];
        if has_nodes {
            row.push(active_nodes(resource));
        }
        row.extend(fields.iter().map(|field| cell(&resource[*field])));
        row.push(age(&resource["created_at"], Utc::now()));
        row
    });
    table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), rows.collect())
}

/// Instances of all types, a line each, with the name as the other commands take it.
pub(crate) fn list_of_all(resources: &[Value]) -> String {
    let rows = resources.iter().map(|resource| {
        vec![
            format!("{}/{}", plain(&resource["type"]), plain(&resource["name"])),
            cell(&resource["status"]),
            active_nodes(resource),
            cell(&resource["version"]),
            age(&resource["created_at"], Utc::now()),
        ]
    });
    table(&["NAME", "STATUS", "NODES", "VERSION", "AGE"], rows.collect())
}

/// Resources of any type with the fields that were asked for, a column each.
pub(crate) fn chosen(resources: &[Value], fields: &[&str]) -> String {
    let headings: Vec<String> = fields.iter().map(|field| clean(field).to_uppercase()).collect();
    let rows = resources.iter().map(|resource| fields.iter().map(|field| cell(&resource[*field])).collect());
    table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), rows.collect())
}

/// Any other objects: the columns that at least one of them has.
pub(crate) fn columns(items: &[Value], columns: &[(&str, &str)]) -> String {
    let present: Vec<&(&str, &str)> = columns
        .iter()
        .enumerate()
        .filter(|(index, (_, pointer))| {
            *index == 0
                || items
                    .iter()
                    .any(|item| item.pointer(pointer).is_some_and(|value| !plain(value).is_empty()))
        })
        .map(|(_, column)| column)
        .collect();
    let headings: Vec<&str> = present.iter().map(|(heading, _)| *heading).collect();
    let rows = items.iter().map(|item| {
        let value = |(heading, pointer): &&(&str, &str)| {
            let value = item.pointer(pointer).unwrap_or(&Value::Null);
            if *heading == "AGE" { age(value, Utc::now()) } else { cell(value) }
        };
        present.iter().map(value).collect()
    });
    table(&headings, rows.collect())
}

/// Any other object: all that it has, line by line.
pub(crate) fn members(object: &Value) -> String {
    let members = object.as_object().into_iter().flatten();
    let mut rows: Vec<(String, String)> =
        members.map(|(name, value)| (clean(name).replace('_', " "), plain(value))).collect();
    rows.retain(|(_, value)| !value.is_empty());
    // What people look for comes first; the rest keeps its order.
    rows.sort_by_key(|(name, _)| match name.as_str() {
        "name" => 0,
        "id" => 1,
        _ => 2,
    });
    pairs(rows)
}

fn active_nodes(resource: &Value) -> String {
    resource["nodes"].as_array().map_or_else(String::new, |nodes| {
        let active = nodes.iter().filter(|node| node["status"] == "ACTIVE").count();
        format!("{active}/{}", nodes.len())
    })
}

fn node_line(node: &Value) -> String {
    let ip = plain(&node["ip"]);
    let address = match node["port"].as_u64() {
        Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
        Some(port) => format!("{ip}:{port}"),
        None => ip,
    };
    join_words(&[address, plain(&node["status"])])
}

fn generation(resource: &Value) -> Value {
    match (resource["generation"].as_i64(), resource["observed_generation"].as_i64()) {
        (Some(wanted), Some(there)) if wanted != there => {
            Value::String(format!("{wanted} ({there} in force)"))
        }
        (Some(wanted), _) => Value::from(wanted),
        (None, _) => Value::Null,
    }
}

fn join_words(words: &[String]) -> String {
    words.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::stub::demo_types;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resource_is_shown_in_full() {
        let types = demo_types();
        let resource = json!({
            "id": "0199", "name": "a", "type": "demo", "project_id": "p", "version": "0.1.0", "description": "",
            "greeting": "hi\u{1b}[0m", "replicas": 2, "theme": "light", "tags": ["x", "y"], "limits": {}, "extra": null,
            "endpoint": "http://x", "status": "CREATING", "generation": 2, "observed_generation": 1, "labels": {"t": "w"},
            "nodes": [{"ip": "127.20.0.21", "port": 8080, "status": "ACTIVE"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "NodesStarting", "message": "1 of 2 nodes"}],
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:01Z"});
        let expected = "\
name        a
type        demo
id          0199
status      CREATING (NodesStarting: 1 of 2 nodes)
version     0.1.0
project     p
greeting    hi\\u{1b}[0m
replicas    2
theme       light
tags        x, y
limits
endpoint    http://x
labels      t=w
node        127.20.0.21:8080 ACTIVE
generation  2 (1 in force)
created     2026-01-01T00:00:00Z
updated     2026-01-01T00:00:01Z
";
        assert_eq!(details(&resource, &types.items[0].types[0]), expected);
    }

    #[test]
    fn a_list_shows_key_status_and_some_fields() {
        let types = demo_types();
        let created = (Utc::now() - chrono::Duration::hours(5)).to_rfc3339();
        let resource = json!({"name": "a", "status": "ACTIVE", "greeting": "hi", "replicas": 1, "theme": "dark",
            "password": "never", "nodes": [{"status": "ACTIVE"}, {"status": "ERROR"}], "created_at": created});
        assert_eq!(
            list(&[resource], &types.items[0].types[0]),
            "NAME  STATUS  NODES  GREETING  REPLICAS  THEME  ENDPOINT  AGE\na     ACTIVE  1/2    hi        1         dark             5h\n"
        );
    }

    #[test]
    fn columns_that_nobody_has_are_left_out() {
        let items = [json!({"name": "a", "deep": {"x": 1}}), json!({"name": "b", "email": ""})];
        let text = columns(&items, &[("NAME", "/name"), ("EMAIL", "/email"), ("X", "/deep/x")]);
        assert_eq!(text, "NAME  X\na     1\nb\n");
    }
}
