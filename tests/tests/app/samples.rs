//! Real apps, each small.

/// Flask, told what to say by its environment.
pub(super) const FLASK: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import os
from flask import Flask

app = Flask(__name__)

@app.get("/")
def index():
    return "one " + os.environ.get("GREETING", "hello")

app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
"#,
    ),
    ("requirements.txt", "flask==3.*\n"),
];

/// The standard library alone.
pub(crate) const PLAIN: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"plain")

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#,
    ),
    ("requirements.txt", ""),
];

/// The same, told what to say by its environment.
pub(crate) const GREETER: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ.get("GREETING", "none").encode())

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#,
    ),
    ("requirements.txt", ""),
];

/// Tells what it can do, and tries what it should not.
pub(crate) const PROBE: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import http.server, json, os

def attempt(work):
    try:
        return work()
    except OSError as error:
        return type(error).__name__

def fill():
    size = 0
    with open("/tmp/big", "wb") as file:
        try:
            while size < 4 << 30:
                size += file.write(b"x" * (1 << 20))
        except OSError:
            pass
    os.remove("/tmp/big")
    return size >> 20

def fork():
    children = []
    try:
        while len(children) < 5000:
            pid = os.fork()
            if pid == 0:
                import signal
                signal.pause()
            children.append(pid)
    except OSError:
        pass
    for pid in children:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return len(children)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {}
        if self.path == "/probe":
            told = {
                "user": os.getuid(),
                "groups": os.getgroups(),
                "folders": attempt(lambda: sorted(os.listdir("/"))),
                "write": attempt(lambda: open("file", "w") and "written"),
                "become": attempt(lambda: os.setuid(0) or "root"),
                "environment": sorted(os.environ),
                "filled": fill(),
                "forked": fork(),
            }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#,
    ),
    ("requirements.txt", ""),
];

/// Keeps a file in the bucket that it is bound to.
pub(crate) const KEEPER: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import http.server, json, os
import boto3

def store():
    s3 = boto3.client("s3")
    s3.put_object(Bucket=os.environ["S3_BUCKET"], Key="note", Body=b"kept")
    return s3.get_object(Bucket=os.environ["S3_BUCKET"], Key="note")["Body"].read()

def keys():
    return json.dumps({name: value for name, value in os.environ.items() if name.startswith("AWS_")}).encode()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/store":
            said = store()
        elif self.path == "/keys":
            said = keys()
        else:
            said = os.environ.get("S3_BUCKET", "unbound").encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said)

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#,
    ),
    ("requirements.txt", "boto3\n"),
];

/// FastAPI, run by uvicorn as its Procfile says.
pub(super) const FASTAPI: [(&str, &str); 3] = [
    (
        "main.py",
        r#"from fastapi import FastAPI

app = FastAPI()

@app.get("/")
def index():
    return {"framework": "fastapi"}
"#,
    ),
    ("requirements.txt", "fastapi\nuvicorn\n"),
    ("Procfile", "web: uvicorn main:app --port $PORT\n"),
];

/// Node.js alone: says which version it is, what its environment told it, and when it was started.
pub(crate) const SERVER: [(&str, &str); 2] = [
    (
        "server.js",
        r#"const started = `${process.hrtime.bigint()}`;
require("http").createServer((_, answer) => {
    answer.end(JSON.stringify({ version: "one", greeting: process.env.GREETING ?? "none", started }));
}).listen(process.env.PORT);
"#,
    ),
    ("package.json", r#"{ "name": "server", "private": true, "scripts": { "start": "node server.js" } }"#),
];

/// Express, with a range of versions and no lock file.
pub(crate) const EXPRESS: [(&str, &str); 2] = [
    (
        "server.js",
        r#"const app = require("express")();
app.get("/", (_, answer) => answer.send("express"));
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

/// Sends back what it is sent over a WebSocket, after a greeting; at `/leave` it ends the conversation.
pub(super) const SOCKETS: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import os
from websockets.sync.server import serve

def talk(socket):
    socket.send(os.environ.get("GREETING", "none"))
    if socket.request.path == "/leave":
        socket.close(4001, "as you wish")
    for message in socket:
        socket.send(message)

serve(talk, "127.0.0.1", int(os.environ["PORT"]), max_size=None, ping_interval=None).serve_forever()
"#,
    ),
    ("requirements.txt", "websockets\n"),
];

/// Says what happens: to standard output and to standard error at the start, then what it is asked to say.
pub(super) const TALKER: [(&str, &str); 2] = [
    (
        "app.py",
        r#"import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_GET(self):
        kind, _, text = self.path[1:].partition("/")
        if kind == "say":
            print(text, flush=True)
        if kind == "flood":
            line = "flood " + "x" * 94
            for number in range(int(text)):
                print(line)
            print("the flood is over", flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"done")

print("started with", os.environ.get("GREETING", "nothing"), flush=True)
print("to standard error", file=sys.stderr, flush=True)
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#,
    ),
    ("requirements.txt", ""),
];
