//! What a request for a list asks for, read from its parameters with every problem at once.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use metapaas_core::error::{Error, ErrorCode, Problem};
use metapaas_core::iam::{IamList, Listed, PageAt};
use metapaas_core::query::{
    Fields, Filter, Listable, Listing, Mistake, Order, PageToken, Selection, TokenError, filter,
    label_selector,
};
use metapaas_core::registry::RegisteredType;
use metapaas_core::resource::member_names;
use metapaas_core::store::Locator;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::query::Query;
use super::resources::json as answer;

/// Parameters of every list besides those that are named like fields.
const KNOWN: [&str; 5] = ["limit", "page_token", "filter", "order_by", "fields"];

/// What a list is, as far as its parameters go.
#[derive(Debug)]
pub(super) struct ListOf {
    /// What it can be filtered and sorted by.
    pub(super) fields: Fields,
    /// Members of its rows.
    pub(super) members: Vec<&'static str>,
    /// Fields that no answer has, such as secrets: not known by lists, and not unknown either.
    pub(super) hidden: Vec<&'static str>,
    /// Parameters besides those of every list.
    pub(super) more: &'static [&'static str],
    /// Its order when none is asked for.
    pub(super) order: Order,
    /// Stands for the rows, so that page tokens fit no others.
    pub(super) place: String,
}

impl ListOf {
    /// A list of IAM; `path` is where it is.
    pub(super) fn iam(list: &IamList, path: &str) -> Self {
        Self {
            fields: Fields::new(list.fields),
            members: list.members.to_vec(),
            hidden: Vec::new(),
            more: if list.takes_project { &["project_id"] } else { &[] },
            order: Order::default(),
            place: path.trim_end_matches('/').to_owned(),
        }
    }
}

/// A request for a list.
#[derive(Debug)]
pub(super) struct ListRequest {
    /// Which rows in which order, after which one.
    pub(super) listing: Listing,
    /// The project that it is about.
    pub(super) project: Option<Uuid>,
    /// Most rows of the page.
    pub(super) limit: u16,
    /// Which members the rows are to have.
    pub(super) selection: Option<Selection>,
    tokens: PageToken,
}

impl ListRequest {
    /// Reads the part of the URL after `?`; `locator` is where the list is.
    ///
    /// # Errors
    /// `InvalidRequest` with all problems, `Expired`.
    pub(super) fn read(
        query: Option<&str>,
        registered: &RegisteredType,
        locator: &Locator,
    ) -> Result<Self, Error> {
        let ty = registered.ty;
        let list = ListOf {
            fields: Fields::of(ty),
            members: member_names(ty),
            hidden: ty.fields.iter().filter(|field| field.is_secret()).map(|field| field.name).collect(),
            more: &["project_id", "label_selector"],
            order: Order::default(),
            place: format!("{} {}", ty.table(), locator.keys.join("/")),
        };
        Ok(Self::of(&list, query, |_| ())?.0)
    }

    /// The same of any list. `more` takes the parameters that the list has for itself, which page tokens fit as well.
    ///
    /// # Errors
    /// `InvalidRequest` with all problems, `Expired`.
    pub(super) fn of<T: std::fmt::Debug>(
        list: &ListOf,
        query: Option<&str>,
        more: impl FnOnce(&mut Query) -> T,
    ) -> Result<(Self, T), Error> {
        let ListOf { fields, members, hidden, .. } = list;
        let known = [&KNOWN[..], list.more].concat();
        let mut equal: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut query = Query::parse_with(query, &known, |name, value| {
            if let Some(field) = fields.get(name).filter(|field| field.name != "labels") {
                equal.entry(field.name).or_default().push(value);
                return None;
            }
            let pointer = format!("?{name}");
            if members.contains(&name) || hidden.contains(&name) {
                return Some(fields.not_filterable(&pointer, name));
            }
            let detail = format!(
                "unknown parameter; this path takes {}, and the fields {}",
                known.join(", "),
                fields.filterable()
            );
            Some(Problem::new(pointer, "UNKNOWN_PARAMETER", detail))
        });
        let (limit, project) = (query.limit(), query.id("project_id"));
        let own = more(&mut query);
        let mut wanted = Filter::default();
        for (name, values) in equal {
            if let Some(field) = fields.get(name) {
                wanted =
                    wanted.and(query.keep(fields.equals(field, &values).map_err(|problem| vec![problem])));
            }
        }
        let part = |query: &mut Query, name: &str, parse: &dyn Fn(&str) -> Result<Filter, Mistake>| {
            let text = query.text(name).unwrap_or_default();
            query.keep(parse(&text).map_err(|mistake| vec![mistake.problem(name)]))
        };
        wanted = wanted.and(part(&mut query, "filter", &|text| filter(fields, text)));
        wanted = wanted.and(part(&mut query, "label_selector", &label_selector));
        let order = match query.text("order_by").filter(|text| !text.trim().is_empty()) {
            Some(text) => Order::parse(fields, &text).map_err(|mistake| vec![mistake.problem("order_by")]),
            None => Ok(list.order.clone()),
        };
        let order = query.keep(order);
        let selection = query.text("fields").map(|text| Selection::parse(members, &text).map(Some));
        let selection = query.keep(selection.unwrap_or(Ok(None)));
        let mut listing = Listing { filter: wanted, order, after: None };

        let place = format!("{} {project:?} {own:?}", list.place);
        let tokens = PageToken::of(&place, &listing);
        let token = query.text("page_token").filter(|token| !token.is_empty());
        let mut is_old = false;
        if let Some(token) = token {
            let detail = match tokens.read(&listing.order, &token) {
                Ok(after) => {
                    listing.after = Some(after);
                    None
                }
                Err(TokenError::TooOld) => {
                    is_old = true;
                    None
                }
                Err(TokenError::OtherList) => {
                    Some("it belongs to a list with another path, filter or order; begin this one anew")
                }
                Err(TokenError::Unreadable) => {
                    Some("take it unchanged from next_page_token of the page before")
                }
            };
            if let Some(detail) = detail {
                query.problem(Problem::new("?page_token", "INVALID_VALUE", detail));
            }
        }
        query.finish()?;
        if is_old {
            let detail = "the page token is of an earlier version of the server; begin the list anew";
            return Err(Error::new(ErrorCode::Expired, detail));
        }
        Ok((Self { listing, project, limit, selection, tokens }, own))
    }

    /// Which part of the list it is about.
    pub(super) fn page(&self) -> PageAt {
        PageAt { listing: self.listing.clone(), limit: self.limit }
    }

    /// The token of the page that follows the one that ends in `last`.
    pub(super) fn token_after(&self, last: &impl Listable) -> String {
        self.tokens.write(&self.listing.order.position(last))
    }

    /// The answer with rows that are of no type.
    pub(super) fn answer<T: Serialize>(&self, found: &Listed<T>) -> Response {
        let last = found.items.last().filter(|_| found.has_more);
        let next_page_token = last.map(|last| self.token_after(&json!(last)));
        let items: Vec<Value> = found.items.iter().map(|row| select(self.selection.as_ref(), row)).collect();
        answer(StatusCode::OK, &json!({ "items": items, "next_page_token": next_page_token }))
    }
}

/// A row that is of no type, with the members that were asked for.
pub(super) fn select(selection: Option<&Selection>, row: &impl Serialize) -> Value {
    match selection {
        Some(selection) => selection.of(json!(row)),
        None => json!(row),
    }
}
