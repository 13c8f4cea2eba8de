//! What the engine answers.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{fetch, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the front page greets, is themed and lists the pages", async || {
            let site =
                Served::new(&json!({ "greeting": "hello", "theme": "dark", "pages": { "a/b": "" } })).await;
            let (status, kind, front) = site.get("/").await;
            assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
            for part in ["<h1>hello</h1>", "style=\"color-scheme: dark\"", "<a href=\"/a/b\">a/b</a>"] {
                assert!(front.contains(part), "{part} is not in {front}");
            }
        }),
        trial("nothing of the tenant's is taken for HTML", async || {
            let evil = "<script>\"'&";
            let site =
                Served::new(&json!({ "greeting": evil, "theme": evil, "pages": { evil: evil } })).await;
            let (_, _, front) = site.get("/").await;
            assert!(front.contains("<h1>&lt;script&gt;&quot;'&amp;</h1>"), "{front}");
            assert!(!front.contains("<script") && !front.contains(evil), "{front}");
            let page = site.get("/%3Cscript%3E%22%27%26").await;
            assert_eq!(page, (200, "text/plain; charset=utf-8".to_owned(), evil.to_owned()));
        }),
        trial("a page that there is not", async || {
            let site = Served::new(&json!({ "greeting": "", "theme": "light", "pages": {} })).await;
            assert_eq!(site.get("/no/such").await.0, 404);
        }),
        trial("another content is served at once", async || {
            let site =
                Served::new(&json!({ "greeting": "", "theme": "light", "pages": {}, "digest": "1" })).await;
            assert_eq!(site.get("/health").await.2, "1");
            site.put(&json!({ "greeting": "", "theme": "light", "pages": { "a": "new" }, "digest": "2" }));
            assert_eq!(
                (site.get("/health").await.2, site.get("/a").await.2),
                ("2".to_owned(), "new".to_owned())
            );
        }),
        trial("a site that cannot be read is not healthy", async || {
            let site = Served::new(&json!(7)).await;
            assert_eq!(site.get("/health").await.0, 500);
            std::fs::remove_file(site.file.path()).unwrap();
            assert_eq!(site.get("/health").await.0, 503);
            site.put(&json!({}));
        }),
    ]
}

/// An engine of its own process that serves a file.
struct Served {
    engine: Child,
    address: String,
    file: NamedTempFile,
}

impl Served {
    async fn new(site: &Value) -> Self {
        // Each engine has an address of its own, as nodes have.
        let [a, b, c, ..] = uuid::Uuid::new_v4().into_bytes();
        let address = format!("127.{}.{b}.{}:8080", 128 + a % 64, 1 + c % 254);
        let file = NamedTempFile::new().unwrap();
        let engine = Command::new(std::env::current_exe().unwrap())
            .args(["engine", "demo-web", &address])
            .arg(file.path())
            .spawn()
            .unwrap();
        let served = Self { engine, address, file };
        served.put(site);
        let began = Instant::now();
        while fetch(&format!("http://{}/health", served.address)).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the engine never answers");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        served
    }

    fn put(&self, site: &Value) {
        std::fs::write(self.file.path(), site.to_string()).unwrap();
    }

    /// Status, content type and body.
    async fn get(&self, path: &str) -> (u16, String, String) {
        let answer = fetch(&format!("http://{}{path}", self.address)).await.unwrap();
        let kind = answer.headers().get("content-type");
        let kind = kind.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.engine.kill().unwrap();
        self.engine.wait().unwrap();
    }
}
