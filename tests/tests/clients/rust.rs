//! What a user of the generated Rust client does: create, wait, page, update safely, read an error, delete.

use std::num::NonZeroU64;
use std::time::Duration;

use metapaas_generated_client::{Client, Error, types};
use metapaas_tests::harness::{Installation, On};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::PROGRAM;

const NAME: &str = "rust";

async fn active(client: &Client) -> types::Demo {
    for _ in 0..600 {
        let found = client.demo_instances_read().instance(NAME).send().await.unwrap();
        if found.status == types::Status::Active && found.generation == found.observed_generation {
            return found.into_inner();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{NAME} did not become ACTIVE");
}

/// The problem that a call was refused with.
fn problem<T: std::fmt::Debug>(answer: Result<T, Error<types::Problem>>) -> types::Problem {
    match answer {
        Err(Error::ErrorResponse(problem)) => problem.into_inner(),
        other => panic!("expected a problem, found {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_client_is_typed_and_works() {
    let installation = Installation::start(PROGRAM, On::Sqlite).await;
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", installation.token);
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&bearer).unwrap());
    // The workspace's reqwest brings no cryptography of its own.
    metapaas_agent::http::provider();
    let http = reqwest::Client::builder().no_proxy().default_headers(headers).build().unwrap();
    let client = Client::new_with_client(&installation.url, http);

    // Create, and wait until it works.
    let project: uuid::Uuid = installation.default_project().await.parse().unwrap();
    let create = || {
        let create = client.demo_instances_create();
        create.body_map(|body| body.name(NAME).project_id(project).greeting("Hello from Rust"))
    };
    let made = create().send().await.unwrap();
    assert_eq!(made.replicas, 1);

    // A name that is taken: the problem says so to programs, and who has it.
    let taken = problem(create().send().await);
    assert_eq!((taken.code, taken.id), (types::ProblemCode::NameTaken, Some(made.id)));

    // A mistake is found before anything is sent.
    let wrong = client.demo_instances_create().body_map(|body| body.name("Not A Name").greeting("Hello"));
    assert!(matches!(wrong.send().await, Err(Error::InvalidRequest(_))));

    // Page by page.
    let expected: Vec<String> = (0..5).map(|index| format!("page-{index}")).collect();
    for path in &expected {
        let page = client.demo_pages_create().instance(NAME);
        let _ = page.body_map(|body| body.path(path.as_str()).text("text")).send().await.unwrap();
    }
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let list = client.demo_pages_list().instance(NAME).limit(NonZeroU64::new(2).unwrap());
        let list = match token {
            Some(token) => list.page_token::<String>(token),
            None => list,
        };
        let list = list.send().await.unwrap().into_inner();
        assert!(list.items.len() <= 2);
        found.extend(list.items.iter().map(|page| page.path.to_string()));
        token = list.next_page_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);

    // Change it unless somebody else did meanwhile.
    let _ = active(&client).await;
    let read = client.demo_instances_read().instance(NAME).send().await.unwrap();
    let tag = read.headers()["etag"].to_str().unwrap().to_owned();
    let update = |greeting: &str| {
        let update = client.demo_instances_update().instance(NAME).if_match(tag.clone());
        update.body_map(|body| body.greeting(Some(greeting.parse().unwrap())))
    };
    assert_eq!(update("Changed").send().await.unwrap().greeting.as_str(), "Changed");
    assert_eq!(problem(update("Lost").send().await).code, types::ProblemCode::PreconditionFailed);
    assert_eq!(active(&client).await.greeting.as_str(), "Changed");

    // Delete, and wait until nothing is left.
    let _ = client.demo_instances_delete().instance(NAME).send().await.unwrap();
    for _ in 0..600 {
        if client
            .demo_instances_read()
            .instance(NAME)
            .send()
            .await
            .is_err_and(|error| error.status() == Some(reqwest::StatusCode::NOT_FOUND))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{NAME} did not go");
}
