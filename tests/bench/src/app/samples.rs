//! The apps that are measured.

/// A server that takes less time for a request than any proxy: nginx, on one process, with an answer of a kilobyte.
pub(super) const FAST: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import os

with open("/tmp/nginx.conf", "w") as file:
    file.write("""
worker_processes 1;
daemon off;
pid /tmp/pid;
error_log stderr;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 127.0.0.1:%s;
        default_type text/plain;
        return 200 "%s";
    }
}
""" % (os.environ["PORT"], "x" * 1024))
os.execv("/usr/sbin/nginx", ["nginx", "-e", "stderr", "-c", "/tmp/nginx.conf"])
"#,
    ),
    ("requirements.txt", ""),
];

/// Flask with what it needs.
pub(super) const FLASK: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import os
from flask import Flask

app = Flask(__name__)

@app.get("/")
def index():
    return "one"

app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
"#,
    ),
    ("requirements.txt", "flask==3.*\n"),
];

/// Express, which keeps connections open. It says which code and which environment it is.
pub(super) const EXPRESS: [(&str, &str); 2] = [
    (
        "server.js",
        r#"const app = require("express")();
app.get("/", (_, answer) => answer.send("one " + process.env.GREETING));
app.listen(process.env.PORT);
"#,
    ),
    (
        "package.json",
        r#"{ "name": "express-app", "version": "1.0.0", "private": true,
  "scripts": { "start": "node server.js" }, "dependencies": { "express": "^4" } }
"#,
    ),
];
