//! Git repositories that tests make, and a server that gives them by HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper that cannot do its work fails the test"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A repository with one branch, `main`.
pub struct Repository {
    outer: TempDir,
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

impl Repository {
    /// One without a commit.
    pub fn new() -> Self {
        let repository = Self { outer: tempfile::tempdir().unwrap() };
        std::fs::create_dir(repository.folder()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository
    }

    /// The working folder.
    pub fn folder(&self) -> PathBuf {
        self.outer.path().join("app")
    }

    /// Its `file:` URL.
    pub fn url(&self) -> String {
        format!("file://{}", self.folder().display())
    }

    /// Writes files and commits all there is.
    pub fn commit(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.folder().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "change"]);
    }

    /// Removes a file and commits that.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder().join(name)).unwrap();
        self.commit(&[]);
    }

    /// Runs git in it.
    pub fn git(&self, arguments: &[&str]) {
        let plain =
            ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "protocol.file.allow=always"];
        let ended =
            Command::new("git").current_dir(self.folder()).args(plain).args(arguments).status().unwrap();
        assert!(ended.success(), "git {arguments:?}");
    }
}

/// Gives a folder by HTTP: of repositories, as git's own CGI program does, or of files.
pub struct Server {
    process: Child,
    url: String,
}

const SERVER: &str = r#"
import http.server, os, subprocess, sys, urllib.parse

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        environment = dict(os.environ, GIT_PROJECT_ROOT=sys.argv[1], GIT_HTTP_EXPORT_ALL="1", PATH_INFO=url.path,
            QUERY_STRING=url.query, REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("content-type", ""),
            HTTP_CONTENT_ENCODING=self.headers.get("content-encoding", ""),
            GIT_PROTOCOL=self.headers.get("git-protocol", ""))
        answer = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True).stdout
        head, _, rest = answer.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n") if line]
        status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
        self.send_response(status)
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    do_GET = do_POST = serve

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer((sys.argv[2], 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

const FILES: &str = r#"
import functools, http.server, sys

handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer((sys.argv[2], 0), handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

impl Server {
    /// Starts it for one repository's working folder.
    pub fn start(folder: impl AsRef<Path>) -> Self {
        Self::start_on(folder, "127.0.0.1", "127.0.0.1")
    }

    /// Listens on an address and is called by another host.
    pub fn start_on(folder: impl AsRef<Path>, address: &str, host: &str) -> Self {
        let folder = folder.as_ref();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Self::run(SERVER, folder.parent().unwrap(), address, host, &format!("{name}/.git"))
    }

    /// Gives the files of a folder, and a list of them.
    pub fn of_files(folder: &Path, address: &str, host: &str) -> Self {
        Self::run(FILES, folder, address, host, "")
    }

    fn run(program: &str, folder: &Path, address: &str, host: &str, path: &str) -> Self {
        let mut process = Command::new("python3")
            .args(["-c", program])
            .arg(folder)
            .arg(address)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start python3, which the tests need");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, url: format!("http://{host}:{}/{path}", line.trim()) }
    }

    /// The repository's URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
