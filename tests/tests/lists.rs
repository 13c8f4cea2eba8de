//! Lists, as api.md says them: limit, page tokens, order, filters, label selectors, selected fields, on both databases.

use metapaas_tests::harness::{Installation, On};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PROGRAM, on_both};

on_both!(
    limit_is_50_unless_given_and_at_most_1000,
    the_answer_has_items_and_the_token_of_the_next_page,
    pages_hold_every_row_once_whatever_the_order,
    order_by_takes_several_fields_and_directions,
    equality_filters_repeat_for_or_and_differ_for_and,
    filter_takes_comparisons_and_or_not_and_brackets,
    label_selectors_are_those_of_kubernetes,
    fields_selects_members_of_lists_and_of_one,
    a_field_that_cannot_be_filtered_or_sorted_gets_400_with_the_list_of_those_that_can,
    every_problem_of_a_list_is_told_at_once,
    a_page_token_of_another_list_gets_400_and_an_old_one_410,
    lists_hold_what_the_caller_may_see_whatever_the_filter,
    children_have_lists_of_the_same_kind,
    the_command_line_lists_with_filters,
);

const DEMO: &str = "/v1/types/demo/instances";

/// An installation with instances in two projects, none of which ever gets a node.
struct Shop {
    installation: Installation,
    projects: [String; 2],
}

/// Names, labels, index of the project. Made in this order.
const ROWS: [(&str, &str, usize); 7] = [
    ("web-2", "tier=web", 0),
    ("api-1", "tier=api,track=canary", 0),
    ("web-1", "tier=web,track=canary", 1),
    ("db", "", 0),
    ("a", "tier=", 1),
    ("web-10", "tier=web", 0),
    ("ab", "app.example.org/name=ab", 0),
];

async fn shop(on: On) -> Shop {
    let installation = Installation::start(PROGRAM, on).await;
    let other = installation.call(Method::POST, "/v1/iam/projects", json!({ "name": "other" })).await;
    let other = other.expect(201).body["id"].as_str().unwrap().to_owned();
    let projects = [installation.default_project().await, other];
    for (name, labels, project) in ROWS {
        let labels: serde_json::Map<String, Value> = labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        let body =
            json!({ "name": name, "greeting": "hi", "project_id": projects[project], "labels": labels });
        let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    }
    Shop { installation, projects }
}

fn names(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// As the query of a URL.
fn encoded(text: &str) -> String {
    let url = reqwest::Url::parse_with_params("http://x", [("q", text)]).unwrap();
    url.query().unwrap()["q=".len()..].to_owned()
}

impl Shop {
    async fn names(&self, query: &str) -> Vec<String> {
        names(&self.installation.get(&format!("{DEMO}?{query}")).await.expect(200).body)
    }

    async fn check(&self, query: &str, expected: &[&str]) {
        assert_eq!(self.names(query).await, expected, "{query}");
    }

    /// Follows the pages to the end.
    async fn pages(&self, query: &str, limit: usize) -> Vec<String> {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("{DEMO}?{query}&limit={limit}&page_token={token}");
            let page = self.installation.get(&path).await.expect(200).body;
            seen.extend(names(&page));
            match page["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => return seen,
            }
            assert_eq!(names(&page).len(), limit);
            assert!(seen.len() <= ROWS.len(), "{path}");
        }
    }

    /// Detail of each problem by its pointer.
    async fn problems(&self, query: &str) -> Vec<(String, String)> {
        let refused = self.installation.get(&format!("{DEMO}?{query}")).await.expect(400).body;
        let text = |problem: &Value, name: &str| problem[name].as_str().unwrap().to_owned();
        let problems = refused["errors"].as_array().unwrap().iter();
        problems.map(|problem| (text(problem, "pointer"), text(problem, "detail"))).collect()
    }
}

async fn limit_is_50_unless_given_and_at_most_1000(on: On) {
    let installation = Installation::start(PROGRAM, on).await;
    let project = installation.default_project().await;
    for number in 0..51 {
        let body = json!({ "name": format!("n{number}"), "project_id": project, "greeting": "hi" });
        let _ = installation.call(Method::POST, DEMO, body).await.expect(201);
    }
    let page = installation.get(DEMO).await.expect(200).body;
    assert_eq!(page["items"].as_array().unwrap().len(), 50);
    let page = installation.get(&format!("{DEMO}?limit=1000")).await.expect(200).body;
    assert_eq!(page["items"].as_array().unwrap().len(), 51);
    for limit in ["0", "1001", "-1", "x", ""] {
        let _ = installation.get(&format!("{DEMO}?limit={limit}")).await.expect(400);
    }
}

async fn the_answer_has_items_and_the_token_of_the_next_page(on: On) {
    let shop = shop(on).await;
    let page = shop.installation.get(&format!("{DEMO}?limit=4")).await.expect(200).body;
    let members: Vec<&String> = page.as_object().unwrap().keys().collect();
    assert_eq!(members, ["items", "next_page_token"]);
    assert_eq!(names(&page), ["web-2", "api-1", "web-1", "db"]);
    let token = page["next_page_token"].as_str().unwrap();
    let rest = shop.installation.get(&format!("{DEMO}?limit=4&page_token={token}")).await.expect(200).body;
    assert_eq!(names(&rest), ["a", "web-10", "ab"]);
    assert_eq!(rest["next_page_token"], Value::Null);
}

async fn pages_hold_every_row_once_whatever_the_order(on: On) {
    let shop = shop(on).await;
    let created = ["web-2", "api-1", "web-1", "db", "a", "web-10", "ab"];
    let sorted = ["a", "ab", "api-1", "db", "web-1", "web-10", "web-2"];
    let reversed = |names: [&str; 7]| names.iter().rev().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for limit in [1, 2, 3, 6, 7] {
        assert_eq!(shop.pages("", limit).await, created, "limit {limit}");
        assert_eq!(shop.pages("order_by=created_at", limit).await, created);
        assert_eq!(shop.pages("order_by=name", limit).await, sorted);
        assert_eq!(shop.pages("order_by=name+desc", limit).await, reversed(sorted));
        assert_eq!(shop.pages("order_by=created_at+desc", limit).await, reversed(created));
    }
    let tier = shop.pages("order_by=name&label_selector=tier", 2).await;
    assert_eq!(tier, ["a", "api-1", "web-1", "web-10", "web-2"]);
}

async fn order_by_takes_several_fields_and_directions(on: On) {
    let shop = shop(on).await;
    let newest = ["ab", "web-10", "a", "db", "web-1", "api-1", "web-2"];
    shop.check("order_by=created_at%20desc,name", &newest).await;
    shop.check("order_by=created_at+desc%2C+name", &newest).await;
    shop.check("order_by=id+desc", &newest).await;
    shop.check("order_by=name+asc&limit=2", &["a", "ab"]).await;
    shop.check("order_by=", &["web-2", "api-1", "web-1", "db", "a", "web-10", "ab"]).await;
    // Everything is CREATING or so; names decide what the status leaves open.
    let mut by_status = shop.names("order_by=status,name").await;
    by_status.sort();
    assert_eq!(by_status.len(), ROWS.len());
}

async fn equality_filters_repeat_for_or_and_differ_for_and(on: On) {
    let shop = shop(on).await;
    shop.check("name=db", &["db"]).await;
    shop.check("name=db&name=a&name=none", &["db", "a"]).await;
    shop.check("name=db&name=a&order_by=name", &["a", "db"]).await;
    shop.check("status=ACTIVE&name=none", &[]).await;
    let all = "status=PENDING&status=CREATING&status=ACTIVE&status=UPDATING&status=ERROR";
    shop.check(all, &["web-2", "api-1", "web-1", "db", "a", "web-10", "ab"]).await;
    shop.check(&format!("{all}&name=db&name=a"), &["db", "a"]).await;
    shop.check("status=DELETING", &[]).await;
    let other = format!("project_id={}", shop.projects[1]);
    shop.check(&other, &["web-1", "a"]).await;
    shop.check(&format!("{other}&name=a&name=db"), &["a"]).await;
    let id = shop.installation.get(&format!("{DEMO}/db")).await.expect(200).body["id"].clone();
    shop.check(&format!("id={}", id.as_str().unwrap()), &["db"]).await;
    let problems = shop.problems("status=ACTIVE&status=ACTIV").await;
    assert_eq!(problems[0].0, "?status");
    assert!(problems[0].1.contains("one of PENDING, CREATING, ACTIVE"), "{problems:?}");
}

async fn filter_takes_comparisons_and_or_not_and_brackets(on: On) {
    let shop = shop(on).await;
    let third = shop.installation.get(&format!("{DEMO}/web-1")).await.expect(200).body;
    let time = third["created_at"].as_str().unwrap();
    for (filter, expected) in [
        ("name = db", vec!["db"]),
        ("name = \"db\" OR name = a", vec!["db", "a"]),
        ("name:web", vec!["web-2", "web-1", "web-10"]),
        ("name:web AND NOT name = web-1", vec!["web-2", "web-10"]),
        ("name:web AND (name = web-1 OR name = web-10)", vec!["web-1", "web-10"]),
        ("name = db OR name:web AND name != web-2", vec!["web-1", "db", "web-10"]),
        ("name < b", vec!["api-1", "a", "ab"]),
        ("name >= web-10", vec!["web-2", "web-10"]),
        ("name > web-1 AND name <= 'web-2'", vec!["web-2", "web-10"]),
        ("labels:track", vec!["api-1", "web-1"]),
        ("labels.tier = web", vec!["web-2", "web-1", "web-10"]),
        ("labels.tier != web AND name != db", vec!["api-1", "a", "ab"]),
        ("labels.app.example.org/name = ab", vec!["ab"]),
        ("status != DELETING AND name = a", vec!["a"]),
        ("", vec!["web-2", "api-1", "web-1", "db", "a", "web-10", "ab"]),
    ] {
        shop.check(&format!("filter={}", encoded(filter)), &expected).await;
    }
    for (filter, expected) in [
        (format!("created_at < {time}"), vec!["web-2", "api-1"]),
        (format!("created_at <= {time}"), vec!["web-2", "api-1", "web-1"]),
        (format!("created_at = {time}"), vec!["web-1"]),
        (format!("created_at > \"{time}\""), vec!["db", "a", "web-10", "ab"]),
        (format!("project_id = {}", shop.projects[1]), vec!["web-1", "a"]),
    ] {
        shop.check(&format!("filter={}", encoded(&filter)), &expected).await;
    }
    let problems = shop.problems(&format!("filter={}", encoded("name = db AND colour = red"))).await;
    assert_eq!(problems[0].0, "?filter");
    let detail = "at character 15: cannot be filtered by \"colour\"; it can by id, name, status";
    assert!(problems[0].1.starts_with(detail), "{problems:?}");
    for wrong in ["name = ", "(name = a", "name = a b", "name == a", "status = NEW", "name = 'a"] {
        assert_eq!(shop.problems(&format!("filter={}", encoded(wrong))).await[0].0, "?filter", "{wrong}");
    }
    let long = format!("filter={}", encoded(&format!("{}name = a", "NOT ".repeat(300))));
    assert!(shop.problems(&long).await[0].1.contains("nested deeper"));
}

async fn label_selectors_are_those_of_kubernetes(on: On) {
    let shop = shop(on).await;
    for (selector, expected) in [
        ("tier=web", vec!["web-2", "web-1", "web-10"]),
        ("tier==web,track=canary", vec!["web-1"]),
        ("tier!=web", vec!["api-1", "db", "a", "ab"]),
        ("tier in (api, web),!track", vec!["web-2", "web-10"]),
        ("tier notin (web)", vec!["api-1", "db", "a", "ab"]),
        ("tier", vec!["web-2", "api-1", "web-1", "a", "web-10"]),
        ("tier=", vec!["a"]),
        ("!tier", vec!["db", "ab"]),
        ("app.example.org/name=ab", vec!["ab"]),
    ] {
        shop.check(&format!("label_selector={}", encoded(selector)), &expected).await;
    }
    for wrong in ["tier in web", "a b", "=web", "tier=we b", ","] {
        let problems = shop.problems(&format!("label_selector={}", encoded(wrong))).await;
        assert_eq!(problems[0].0, "?label_selector", "{wrong}");
    }
}

async fn fields_selects_members_of_lists_and_of_one(on: On) {
    let shop = shop(on).await;
    let page = shop.installation.get(&format!("{DEMO}?fields=name,greeting&name=db")).await.expect(200).body;
    assert_eq!(page["items"], json!([{ "name": "db", "greeting": "hi" }]));
    let one = shop.installation.get(&format!("{DEMO}/db?fields=name,type")).await.expect(200);
    assert_eq!(one.body, json!({ "name": "db", "type": "demo" }));
    assert!(one.header("etag").is_some());
    // The next page is found without the members that it is sorted by.
    assert_eq!(shop.pages("fields=name&order_by=created_at+desc", 3).await.len(), ROWS.len());
    let problems = shop.problems("fields=name,colour").await;
    assert_eq!(problems[0].0, "?fields");
    assert!(problems[0].1.contains("they have id, name, project_id"), "{problems:?}");
    let _ = shop.installation.get(&format!("{DEMO}/db?fields=colour")).await.expect(400);
}

async fn a_field_that_cannot_be_filtered_or_sorted_gets_400_with_the_list_of_those_that_can(on: On) {
    let shop = shop(on).await;
    for query in ["greeting=hi", "updated_at=x", "version=0.1.0", "filter=greeting%3Dhi", "nodes=x"] {
        let (pointer, detail) = shop.problems(query).await.remove(0);
        assert_eq!(pointer, format!("?{}", query.split('=').next().unwrap()));
        assert!(detail.ends_with("it can by id, name, status, created_at, project_id, labels"), "{detail}");
    }
    for order in ["greeting", "updated_at", "labels", "none", "name,greeting+desc"] {
        let (pointer, detail) = shop.problems(&format!("order_by={order}")).await.remove(0);
        assert_eq!(pointer, "?order_by");
        assert!(detail.ends_with("it can by id, name, status, created_at"), "{detail}");
    }
    let refused = shop.installation.get(&format!("{DEMO}?greeting=hi")).await.expect(400).body;
    assert_eq!(refused["errors"][0]["code"], "NOT_FILTERABLE");
    let refused = shop.installation.get(&format!("{DEMO}?order_by=greeting")).await.expect(400).body;
    assert_eq!(refused["errors"][0]["code"], "NOT_SORTABLE");
}

async fn every_problem_of_a_list_is_told_at_once(on: On) {
    let shop = shop(on).await;
    let query =
        "limit=0&filter=x&label_selector=%3D&order_by=x&fields=x&project_id=x&page_token=%21&x=1&status=x";
    let mut pointers: Vec<String> =
        shop.problems(query).await.into_iter().map(|(pointer, _)| pointer).collect();
    pointers.sort();
    let expected = [
        "?fields",
        "?filter",
        "?label_selector",
        "?limit",
        "?order_by",
        "?page_token",
        "?project_id",
        "?status",
        "?x",
    ];
    assert_eq!(pointers, expected);
    assert_eq!(shop.problems("filter=&filter=").await[0].0, "?filter");
}

async fn a_page_token_of_another_list_gets_400_and_an_old_one_410(on: On) {
    let shop = shop(on).await;
    let page = shop.installation.get(&format!("{DEMO}?limit=2&order_by=name")).await.expect(200).body;
    let token = page["next_page_token"].as_str().unwrap().to_owned();
    shop.check(&format!("order_by=name&page_token={token}"), &["api-1", "db", "web-1", "web-10", "web-2"])
        .await;
    // The size of the page and its members may change on the way.
    shop.check(&format!("order_by=name&limit=1&fields=name&page_token={token}"), &["api-1"]).await;
    let project = format!("order_by=name&project_id={}", shop.projects[0]);
    for other in ["", "order_by=name+desc", "order_by=name&name=db", "order_by=name&filter=name:a", &project]
    {
        let problems = shop.problems(&format!("{other}&page_token={token}")).await;
        assert_eq!(problems[0].0, "?page_token", "{other}");
        assert!(problems[0].1.contains("another path, filter or order"), "{problems:?}");
    }
    for wrong in ["x", "!!", &token[1..], &token[..token.len() - 2]] {
        assert_eq!(shop.problems(&format!("order_by=name&page_token={wrong}")).await[0].0, "?page_token");
    }
    // As the first release wrote it.
    let old = shop.installation.get(&format!("{DEMO}?page_token=MQGfL8zacnKJqxFVqO3tTQA")).await.expect(410);
    assert_eq!(old.body["code"], "EXPIRED");
}

async fn lists_hold_what_the_caller_may_see_whatever_the_filter(on: On) {
    let shop = shop(on).await;
    let viewer = shop.installation.user("viewer", &shop.projects[1], "viewer").await;
    let listed = |query: &'static str| {
        let path = format!("{DEMO}?{query}");
        let (installation, viewer) = (&shop.installation, &viewer);
        async move { names(&installation.call_as(viewer, Method::GET, &path, Value::Null).await.expect(200).body) }
    };
    assert_eq!(listed("").await, ["web-1", "a"]);
    assert_eq!(listed("order_by=name").await, ["a", "web-1"]);
    assert_eq!(listed("filter=name:web+OR+name:a").await, ["web-1", "a"]);
    assert_eq!(listed("filter=NOT+name=none").await, ["web-1", "a"]);
    assert_eq!(listed("label_selector=!none&order_by=created_at+desc").await, ["a", "web-1"]);
    // A member of two projects has one list of both.
    let users = shop.installation.get("/v1/iam/users?limit=1000").await.expect(200).body;
    let users = users["items"].as_array().unwrap();
    let id = &users.iter().find(|user| user["name"] == "viewer").unwrap()["id"];
    let principal = json!({ "kind": "user", "id": id });
    let binding = json!({ "project_id": shop.projects[0], "principal": principal, "role": "viewer" });
    let _ = shop.installation.call(Method::POST, "/v1/iam/bindings", binding).await.expect(201);
    assert_eq!(listed("order_by=name").await, ["a", "ab", "api-1", "db", "web-1", "web-10", "web-2"]);
    assert_eq!(listed("order_by=created_at+desc&limit=3").await, ["ab", "web-10", "a"]);
    let both = "status=PENDING&status=CREATING&status=ACTIVE&status=UPDATING&status=ERROR&limit=4";
    assert_eq!(listed(both).await, ["web-2", "api-1", "web-1", "db"]);
}

async fn children_have_lists_of_the_same_kind(on: On) {
    let shop = shop(on).await;
    let pages = format!("{DEMO}/db/pages");
    for path in ["b", "a/x", "a"] {
        let body = json!({ "path": path, "text": "hi" });
        let _ = shop.installation.call(Method::POST, &pages, body).await.expect(201);
    }
    let other = json!({ "path": "z", "text": "hi" });
    let _ = shop.installation.call(Method::POST, &format!("{DEMO}/web-2/pages"), other).await.expect(201);
    let paths = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect()
    };
    for (query, expected) in [
        ("order_by=path", vec!["a", "a/x", "b"]),
        ("order_by=path+desc&fields=path", vec!["b", "a/x", "a"]),
        ("filter=path:a", vec!["a/x", "a"]),
        ("path=a&path=b", vec!["b", "a"]),
        ("status=DELETING", vec![]),
    ] {
        let found = shop.installation.get(&format!("{pages}?{query}")).await.expect(200).body;
        assert_eq!(paths(&found), expected, "{query}");
    }
    let page = shop.installation.get(&format!("{pages}?limit=1&order_by=path")).await.expect(200).body;
    let token = page["next_page_token"].as_str().unwrap();
    let next = shop.installation.get(&format!("{pages}?order_by=path&page_token={token}")).await.expect(200);
    assert_eq!(paths(&next.body), ["a/x", "b"]);
    let elsewhere = format!("{DEMO}/web-2/pages?order_by=path&page_token={token}");
    let _ = shop.installation.get(&elsewhere).await.expect(400);
    let refused = shop.installation.get(&format!("{pages}?text=hi")).await.expect(400).body;
    let detail = refused["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.ends_with("it can by id, status, created_at, labels, path"), "{detail}");
}

async fn the_command_line_lists_with_filters(on: On) {
    let shop = shop(on).await;
    let run = |arguments: &[&str]| {
        let output = shop.installation.cli(&[&["list", "demo"], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let filter = ["--filter", "name:web", "--filter", "name != web-2", "--fields", "name,type"];
    assert_eq!(run(&filter).1, "NAME    TYPE\nweb-1   demo\nweb-10  demo\n");
    let labels = ["--label", "tier in (web,api),!track", "--order-by", "name desc", "--fields", "name"];
    assert_eq!(run(&labels).1, "NAME\nweb-2\nweb-10\n");
    let statuses = ["--status", "deleting", "-o", "json"];
    assert_eq!(serde_json::from_str::<Value>(&run(&statuses).1).unwrap()["items"], json!([]));
    let (code, out, error) = run(&["--filter", "greeting = hi"]);
    assert_eq!((code, out.as_str()), (Some(6), ""));
    let detail = "at character 1: cannot be filtered by \"greeting\"; it can by id, name";
    assert!(error.contains(detail), "{error}");
}
