//! What a request for a list asks for, read from its parameters with every problem at once.

use std::collections::BTreeMap;

use metapaas_core::error::{Error, ErrorCode, Problem};
use metapaas_core::query::{
    Fields, Filter, Listing, Mistake, Order, PageToken, Selection, TokenError, filter, label_selector,
};
use metapaas_core::registry::RegisteredType;
use metapaas_core::resource::{Resource, member_names};
use metapaas_core::store::{Locator, Page};
use uuid::Uuid;

use super::query::Query;

/// Parameters of lists besides those that are named like fields.
const KNOWN: [&str; 7] =
    ["limit", "page_token", "project_id", "filter", "label_selector", "order_by", "fields"];

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
        let fields = Fields::of(ty);
        let mut equal: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut query = Query::parse_with(query, &KNOWN, |name, value| {
            if let Some(field) = fields.get(name).filter(|field| field.name != "labels") {
                equal.entry(field.name).or_default().push(value);
                return None;
            }
            let pointer = format!("?{name}");
            if ty.field(name).is_some() || member_names(ty).contains(&name) {
                return Some(fields.not_filterable(&pointer, name));
            }
            let detail = format!(
                "unknown parameter; this path takes {}, and the fields {}",
                KNOWN.join(", "),
                fields.filterable()
            );
            Some(Problem::new(pointer, "UNKNOWN_PARAMETER", detail))
        });
        let (limit, project) = (query.limit(), query.id("project_id"));
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
        wanted = wanted.and(part(&mut query, "filter", &|text| filter(&fields, text)));
        wanted = wanted.and(part(&mut query, "label_selector", &label_selector));
        let order = query.text("order_by").unwrap_or_default();
        let order = Order::parse(&fields, &order).map_err(|mistake| vec![mistake.problem("order_by")]);
        let order = query.keep(order);
        let selection = query.text("fields").map(|text| Selection::parse(ty, &text).map(Some));
        let selection = query.keep(selection.unwrap_or(Ok(None)));
        let mut listing = Listing { filter: wanted, order, after: None };

        let place = format!("{} {} {project:?}", ty.table(), locator.keys.join("/"));
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
        Ok(Self { listing, project, limit, selection, tokens })
    }

    /// The token of the page that follows.
    pub(super) fn next_page_token(&self, page: &Page) -> Option<String> {
        let last: Option<&Resource> = page.items.last().filter(|_| page.has_more);
        last.map(|last| self.tokens.write(&self.listing.order.position(last)))
    }
}
