//! `create`, `get`, `list`, `set`, `delete` and `wait`, for every type that the server hosts.

use metapaas_core::placement::PROVIDER_LABEL;
use serde_json::{Map, Value, json};

use super::arguments::{Create, Delete, List, Set, Wait, WaitFor};
use super::assign::{Given, body};
use super::client::{Client, Listed};
use super::error::{CliError, Mistake};
use super::path::{self, Collection};
use super::text::clean;
use super::types::TypeInfo;
use super::view;
use super::wait::{Goal, Waited, wait};

/// As many items as a list has when nothing else is said; the server's own default.
const LIST_DEFAULT: usize = 50;

/// `metapaas create`.
pub(super) async fn create(client: &mut Client<'_>, arguments: &Create) -> Result<(), CliError> {
    let types = client.types().await?;
    let collection = path::collection(&types, &arguments.collection)?;
    let ty = collection.ty;
    let mut request = new_body(ty, arguments)?;
    if ty.parent.is_none()
        && let Some(project) = client.project_for_new().await?
    {
        request.insert("project_id".into(), Value::String(project));
    }
    // Below an instance the project only tells which instance of that name is meant.
    let mut query = if ty.parent.is_some() { client.project_query().await? } else { Vec::new() };
    if arguments.dry_run {
        query.push(("dry_run", "true".into()));
    }
    let made = client.api.post(&collection.url, &query, &Value::Object(request)).await?.body;
    let key = made[ty.key().unwrap_or("id")].as_str().or(made["id"].as_str()).unwrap_or_default();
    let label = collection.row_label(key);
    if arguments.dry_run {
        client.output.say(&format!("{} would be created", clean(&label)))?;
        return client.output.show(&made, || view::details(&made, ty));
    }
    client.output.say(&format!("{} created", clean(&label)))?;
    if !arguments.wait {
        return client.output.show(&made, || view::details(&made, ty));
    }
    wait_and_show(client, &collection, &label, made).await
}

fn new_body(ty: &TypeInfo, arguments: &Create) -> Result<Map<String, Value>, CliError> {
    // The first word is the name, unless it is an assignment and the name comes as one, too.
    let name = arguments.rest.first().filter(|first| ty.key().is_some() && !first.contains('='));
    let mut given = Given { assignments: &arguments.rest[usize::from(name.is_some())..], ..Given::default() };
    if let (Some(key), Some(name)) = (ty.key(), name) {
        given.literals.push((key, name));
    }
    if let Some(text) = &arguments.description {
        given.literals.push(("description", text));
    }
    for label in &arguments.label {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        given.labels.push((key, value));
    }
    given.labels.extend(arguments.provider.as_ref().map(|provider| (PROVIDER_LABEL, provider.as_str())));
    let request = body(ty, &given)?;
    let is_made = |key: &str| ty.fields.iter().any(|field| field.name == key && !field.required);
    if let Some(key) = ty.key().filter(|key| !request.contains_key(*key) && !is_made(key)) {
        let collection = &arguments.collection;
        return Err(CliError::Usage(format!(
            "the {key} is missing; write `metapaas create {collection} {} field=value ...`",
            key.to_uppercase()
        )));
    }
    let missing = ty
        .fields
        .iter()
        .filter(|field| field.required && !field.output && !request.contains_key(&field.name));
    let missing: Vec<Mistake> =
        missing.map(|field| Mistake { field: field.name.clone(), detail: "is required".into() }).collect();
    if missing.is_empty() { Ok(request) } else { Err(CliError::Invalid(missing)) }
}

/// `metapaas get`.
pub(super) async fn get(client: &mut Client<'_>, path: &str) -> Result<(), CliError> {
    let types = client.types().await?;
    let item = path::item(&types, path)?;
    let query = client.project_query().await?;
    let resource = client.api.get(&item.url, &query).await?.body;
    client.output.show(&resource, || view::details(&resource, item.collection.ty))
}

/// `metapaas list`.
pub(super) async fn list(client: &mut Client<'_>, arguments: &List) -> Result<(), CliError> {
    let types = client.types().await?;
    let mut query = client.project_query().await?;
    query.extend(arguments.status.iter().map(|status| ("status", status.trim().to_uppercase())));
    match arguments.filter.as_slice() {
        [] => {}
        [only] => query.push(("filter", only.clone())),
        several => query.push(("filter", format!("({})", several.join(") AND (")))),
    }
    query.extend(arguments.label.iter().map(|selector| ("label_selector", selector.clone())));
    let fields: Vec<&str> =
        arguments.fields.iter().map(|field| field.trim()).filter(|field| !field.is_empty()).collect();
    if !fields.is_empty() {
        query.push(("fields", fields.join(",")));
    }
    query.extend(arguments.order_by.iter().map(|order| ("order_by", order.clone())));
    let most = if arguments.all { usize::MAX } else { arguments.limit.unwrap_or(LIST_DEFAULT) };

    let (listed, ty) = match &arguments.path {
        Some(path) => {
            let collection = path::collection(&types, path)?;
            (client.all(&collection.url, &query, most).await?, Some(collection.ty))
        }
        None => {
            let mut listed = Listed::default();
            for hosted in &types.items {
                let room = most - listed.items.len();
                let page = client.all(&hosted.root()?.path, &query, room.max(1)).await?;
                // One item is read even without room, to know whether there are more.
                let fits = page.items.len() <= room;
                listed.items.extend(page.items.into_iter().take(room));
                if !fits || page.next_page_token.is_some() {
                    listed.next_page_token = Some(String::new());
                    break;
                }
            }
            (listed, None)
        }
    };
    if listed.next_page_token.is_some() {
        client.output.note(&format!(
            "only the first {} are shown; see more with --limit N or --all",
            listed.items.len()
        ));
    }
    let token = listed.next_page_token.filter(|token| !token.is_empty());
    let answer = json!({"items": listed.items, "next_page_token": token});
    client.output.show(&answer, || {
        let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
        if !fields.is_empty() {
            return view::chosen(items, &fields);
        }
        ty.map_or_else(|| view::list_of_all(items), |ty| view::list(items, ty))
    })
}

/// `metapaas set`.
pub(super) async fn set(client: &mut Client<'_>, arguments: &Set) -> Result<(), CliError> {
    let types = client.types().await?;
    let item = path::item(&types, &arguments.path)?;
    let change = Value::Object(body(
        item.collection.ty,
        &Given { assignments: &arguments.assignments, ..Given::default() },
    )?);
    let mut query = client.project_query().await?;
    if arguments.dry_run {
        query.push(("dry_run", "true".into()));
    }
    let changed = client.api.patch_if(&item.url, &query, &change, arguments.if_match.as_deref()).await?.body;
    let verb = if arguments.dry_run { "would be changed" } else { "changed" };
    client.output.say(&format!("{} {verb}", clean(&item.label)))?;
    if !arguments.wait || arguments.dry_run {
        return client.output.show(&changed, || view::details(&changed, item.collection.ty));
    }
    wait_and_show(client, &item.collection, &item.label, changed).await
}

/// `metapaas delete`.
pub(super) async fn delete(client: &mut Client<'_>, arguments: &Delete) -> Result<(), CliError> {
    let types = client.types().await?;
    let item = path::item(&types, &path::of_instance(&types, &arguments.path))?;
    let label = clean(&item.label);
    let mut query = client.project_query().await?;
    if arguments.dry_run {
        query.push(("dry_run", "true".into()));
    }
    if arguments.force {
        query.push(("force", "true".into()));
    }
    let answer = client.api.delete_if(&item.url, &query, arguments.if_match.as_deref()).await?;
    if arguments.dry_run {
        client.output.say(&format!("{label} would be deleted"))?;
        return client.output.show(&answer.body, || view::details(&answer.body, item.collection.ty));
    }
    let goes_on = answer.status == 202;
    if goes_on && arguments.wait {
        let url = by_id(&item.collection, &answer.body).unwrap_or_else(|| item.url.clone());
        let waited = wait(client, &item.label, &url, Goal::Deleted).await;
        waited.result?;
        return client.output.say(&format!("{label} deleted"));
    }
    client.output.say(&format!("{label} {}", if goes_on { "is being deleted" } else { "deleted" }))?;
    if answer.body.is_null() { Ok(()) } else { client.output.show(&answer.body, String::new) }
}

/// `metapaas wait`.
pub(super) async fn wait_for(client: &mut Client<'_>, arguments: &Wait) -> Result<(), CliError> {
    let types = client.types().await?;
    let item = path::item(&types, &arguments.path)?;
    let query = client.project_query().await?;
    let seen = match (client.api.get(&item.url, &query).await, arguments.state) {
        (Err(error), WaitFor::Deleted) if error.is_not_found() => {
            return client.output.say(&format!("{} is not there", clean(&item.label)));
        }
        (seen, _) => seen?.body,
    };
    match arguments.state {
        WaitFor::Active => wait_and_show(client, &item.collection, &item.label, seen).await,
        WaitFor::Deleted => {
            let url = by_id(&item.collection, &seen).unwrap_or_else(|| item.url.clone());
            wait(client, &item.label, &url, Goal::Deleted).await.result?;
            client.output.say(&format!("{} deleted", clean(&item.label)))
        }
    }
}

/// Waits until it is active and shows it as it is then, or as it was when the wait ended otherwise.
async fn wait_and_show(
    client: &mut Client<'_>,
    collection: &Collection<'_>,
    label: &str,
    before: Value,
) -> Result<(), CliError> {
    let ty = collection.ty;
    let Some(url) = by_id(collection, &before) else {
        return Err(CliError::Unexpected {
            what: format!("the server answered {label} without an id"),
            source: None,
        });
    };
    let Waited { last, result } = wait(client, label, &url, Goal::Active).await;
    let mut shown = last.unwrap_or_else(|| before.clone());
    // The server shows a generated secret this once, in the answer that the wait has replaced.
    for field in ty.fields.iter().filter(|field| field.is_secret()) {
        if let (Some(secret), true) =
            (before.get(&field.name).filter(|secret| !secret.is_null()), shown.is_object())
        {
            shown[&field.name] = secret.clone();
        }
    }
    client.output.show(&shown, || view::details(&shown, ty))?;
    result
}

fn by_id(collection: &Collection<'_>, resource: &Value) -> Option<String> {
    resource["id"].as_str().map(|id| collection.row(id))
}
