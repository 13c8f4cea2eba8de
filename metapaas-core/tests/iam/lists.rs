//! Lists of IAM: both databases answer what the filter and the order say in memory, page after page.

use std::future::Future;

use metapaas_core::descriptor::Action;
use metapaas_core::error::Error;
use metapaas_core::iam::{
    AUDIT, AUDIT_LIST, AuditFilter, BINDING_LIST, BINDINGS, IamList, Listed, PROJECT_LIST, PROJECTS, PageAt,
    ROLE_LIST, ROLES, SERVICE_ACCOUNT_LIST, SERVICE_ACCOUNTS, TOKEN_LIST, TOKENS, USER_LIST, USERS,
};
use metapaas_core::query::{Fields, Filter, Listing, Order, PageToken, filter};
use serde::Serialize;
use serde_json::{Value, json};

use super::{PASSWORD, World, worlds};

/// Some of everything.
async fn filled(world: &World) -> uuid::Uuid {
    let shop = world.project("shop").await;
    let admin = world.admin().await;
    // A collation of a language would have them in another order than their bytes.
    for (name, disabled) in [("a-b", false), ("ab", true), ("olga", true), ("a.c", false), ("vera", false)] {
        let body = json!({
            "name": name, "password": PASSWORD, "disabled": disabled, "email": format!("{name}@example.org"),
        });
        world.iam.create_user(&admin.may(&USERS, Action::Create), &body).await.unwrap();
    }
    for name in ["zoom", "publisher", "nobody"] {
        world.role(shop, name, &["site.instances.read"]).await;
    }
    for (user, role) in [("vera", "viewer"), ("olga", "owner"), ("olga", "viewer"), ("vera", "publisher")] {
        world.bind(user, role, shop).await;
    }
    for name in ["deploy", "backup"] {
        let body = json!({ "name": name, "project_id": shop });
        let allowed = admin.may(&SERVICE_ACCOUNTS, Action::Create);
        world.iam.create_service_account(&allowed, &body).await.unwrap();
    }
    for _ in 0..3 {
        let allowed = admin.may(&TOKENS, Action::Create);
        world.create_token(&allowed, "deploy", Some(shop), &json!({})).await.unwrap();
    }
    shop
}

/// Reads a list by every filter and order that fits it, and compares with what they say of all rows in memory.
async fn check<T, F>(list: &IamList, page: impl Fn(PageAt) -> F)
where
    T: Serialize,
    F: Future<Output = Result<Listed<T>, Error>>,
{
    let rows: Vec<Value> =
        page(PageAt::first(1000)).await.unwrap().items.iter().map(|row| json!(row)).collect();
    assert!(rows.len() > 2, "{}", list.ty.plural);
    for row in &rows {
        let members: Vec<&String> = row.as_object().unwrap().keys().collect();
        let mut described = list.members.to_vec();
        described.sort_unstable();
        assert_eq!(members, described, "{}", list.ty.plural);
    }
    let fields = Fields::new(list.fields);
    let mut filters = vec![String::new()];
    for field in list.fields {
        let values = rows.iter().filter_map(|row| metapaas_core::query::Listable::value(row, field));
        let values: Vec<String> = values.map(|value| value.to_string()).collect();
        let middle = &values[values.len() / 2];
        filters.push(format!("{} = {middle}", field.name));
        filters.push(format!("{} != {middle} OR {} = {}", field.name, field.name, values[0]));
        if field.kind.is_ordered() {
            filters.push(format!("{} <= {middle} AND NOT {} < {}", field.name, field.name, values[0]));
        }
        if field.nullable {
            filters.push(format!("{} = null", field.name));
        }
    }
    let mut orders = vec![String::new(), "id desc".into()];
    for field in list.fields.iter().filter(|field| field.sortable) {
        orders.extend([field.name.to_owned(), format!("{} desc", field.name)]);
    }
    for text in &filters {
        for order in &orders {
            let what = format!("{}: {text:?} by {order:?}", list.ty.plural);
            let wanted = if text.is_empty() { Filter::default() } else { filter(&fields, text).unwrap() };
            let order = Order::parse(&fields, order).unwrap();
            let mut expected: Vec<&Value> = rows.iter().filter(|row| wanted.accepts(*row)).collect();
            expected.sort_by(|one, other| order.compare(&order.position(*one), &order.position(*other)));
            let mut listing = Listing { filter: wanted, order, after: None };
            let tokens = PageToken::of("", &listing);
            let mut found: Vec<Value> = Vec::new();
            loop {
                let part = page(PageAt { listing: listing.clone(), limit: 2 }).await.unwrap();
                found.extend(part.items.iter().map(|row| json!(row)));
                let Some(last) = found.last().filter(|_| part.has_more) else { break };
                let token = tokens.write(&listing.order.position(last));
                listing.after = Some(tokens.read(&listing.order, &token).unwrap());
                assert!(found.len() <= rows.len(), "pages go round: {what}");
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{what}");
        }
    }
}

#[tokio::test]
async fn both_databases_answer_what_filter_and_order_say_in_memory() {
    for world in worlds().await {
        let shop = filled(&world).await;
        let admin = world.admin().await;
        let iam = &world.iam;
        let of = |ty| admin.may(ty, Action::List);
        check(&USER_LIST, |page| async { iam.list_users(&of(&USERS), page).await }).await;
        check(&PROJECT_LIST, |page| async { iam.list_projects(&of(&PROJECTS), page).await }).await;
        check(&ROLE_LIST, |page| async { iam.list_roles(&world.registry, &of(&ROLES), None, page).await })
            .await;
        check(&BINDING_LIST, |page| async { iam.list_bindings(&of(&BINDINGS), None, page).await }).await;
        check(&SERVICE_ACCOUNT_LIST, |page| async {
            iam.list_service_accounts(&of(&SERVICE_ACCOUNTS), None, page).await
        })
        .await;
        check(&TOKEN_LIST, |page| async { iam.list_tokens(&of(&TOKENS), "deploy", Some(shop), page).await })
            .await;
        check(&AUDIT_LIST, |page| async { iam.list_audit(&of(&AUDIT), &AuditFilter::default(), page).await })
            .await;
    }
}
