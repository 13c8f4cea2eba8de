#!/usr/bin/python3
"""What the engine `rustfs` says to RustFS 1.0, taken down: a server of its S3 and admin paths that keeps no objects.

It is started as RustFS is, holds every request to its signature, and writes all that it was told to `state.json` in its data
folder. A bucket called `full` holds something.
"""

import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

ADMIN = "/rustfs/admin/v3/"
ROOT = (os.environ["RUSTFS_ACCESS_KEY"], os.environ["RUSTFS_SECRET_KEY"])
FILE = os.path.join(sys.argv[2], "state.json")
STATE = {"policies": {"readonly": {}}, "users": {}, "accounts": {}, "buckets": {}}
if os.path.exists(FILE):
    with open(FILE) as file:
        STATE = json.load(file)


def signature(method, path, query, headers, names, stamp, secret):
    lines = "".join(f"{name}:{headers[name]}\n" for name in names.split(";"))
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{headers['x-amz-content-sha256']}"
    scope = [stamp[:8], os.environ["RUSTFS_REGION"], "s3", "aws4_request"]
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{'/'.join(scope)}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + secret.encode()
    for part in scope + [text]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def policy_problem(policy):
    """As RustFS: single names of actions, and keys in its letters."""
    for statement in policy["Statement"]:
        names = statement.get("Action", statement.get("NotAction"))
        if not isinstance(names, list) or any("*" in name[3:] and name != "s3:*" for name in names):
            return "invalid action"
    return None


def admin(method, name, query, body):
    users, accounts, policies = STATE["users"], STATE["accounts"], STATE["policies"]
    key = query.get("accessKey")
    if (method, name) == ("GET", "list-canned-policies"):
        return 200, policies
    if (method, name) == ("PUT", "add-canned-policy"):
        problem = policy_problem(body)
        if problem:
            return 400, f"<Error><Code>InvalidRequest</Code><Message>{problem}</Message></Error>"
        policies[query["name"]] = body
    elif (method, name) == ("DELETE", "remove-canned-policy"):
        if any(query["name"] in user["policyName"].split(",") for user in users.values()):
            return 500, "<Error><Code>InternalError</Code><Message>policy in use</Message></Error>"
        del policies[query["name"]]
    elif (method, name) == ("GET", "list-users"):
        return 200, {name: {"status": user["status"], "policyName": user["policyName"]} for name, user in users.items()}
    elif (method, name) == ("PUT", "add-user"):
        assert len(body["secretKey"]) == 40 and key != ROOT[0]
        users.setdefault(key, {"policyName": ""})["status"] = body["status"]
    elif (method, name) == ("DELETE", "remove-user"):
        del users[key]
        STATE["accounts"] = {id: one for id, one in accounts.items() if one["user"] != key}
    elif (method, name) == ("PUT", "set-user-or-group-policy"):
        assert query["isGroup"] == "false" and all(one in policies for one in query["policyName"].split(","))
        users[query["userOrGroup"]]["policyName"] = query["policyName"]
    elif (method, name) == ("GET", "list-service-accounts"):
        found = [{"accessKey": id} for id, one in accounts.items() if one["user"] == query["user"]]
        return 200, {"accounts": found}
    elif (method, name) == ("PUT", "add-service-accounts"):
        assert body["targetUser"] in users
        accounts[body["accessKey"]] = {"user": body["targetUser"], "secret": body["secretKey"], "status": "on"}
    elif (method, name) == ("POST", "update-service-account"):
        accounts[key].update(secret=body["newSecretKey"], status=body["newStatus"])
    elif (method, name) == ("DELETE", "delete-service-accounts"):
        del accounts[key]
    elif (method, name.split("/")[0]) == ("GET", "quota-stats"):
        return 200, {"quota_limit": STATE["buckets"][name.removeprefix("quota-stats/")]["quota"], "current_usage": 0}
    elif name.startswith("quota/"):
        STATE["buckets"][name.removeprefix("quota/")]["quota"] = body["quota"] if method == "PUT" else None
    elif (method, name) == ("GET", "datausageinfo"):
        usage = {"size": 7, "objects_count": 1, "versions_count": 1, "delete_markers_count": 1}
        return 200, {"objects_total_count": 1, "buckets_usage": {"data-bucket": usage}}
    else:
        return 404, f"{method} {name}"
    return 200, ""


def s3(method, bucket, query, headers, body):
    buckets = STATE["buckets"]
    if (method, bucket) == ("GET", ""):
        names = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in buckets)
        return 200, f"<Result><Owner><Name>rustfs</Name></Owner><Buckets>{names}</Buckets></Result>"
    if query and method in ("PUT", "DELETE"):
        buckets[bucket][next(iter(query))] = body if method == "PUT" else None
    elif method == "PUT":
        buckets[bucket] = {"lock": headers.get("x-amz-bucket-object-lock-enabled") == "true"}
    elif method == "DELETE":
        if bucket == "full" and headers.get("x-rustfs-force-delete") != "true":
            return 409, "<Error><Code>BucketNotEmpty</Code><Message>The bucket is not empty</Message></Error>"
        del buckets[bucket]
    return (200 if bucket in buckets or method == "DELETE" or query else 404), ""


class Handler(BaseHTTPRequestHandler):
    def handle_any(self):
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        status, answer = (200, "") if path == "/health/ready" else self.answer(path, query, headers, body)
        text = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def answer(self, path, query, headers, body):
        said = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(", "))
        id = said["Credential"].split("/")[0]
        keys = {id: one["secret"] for id, one in STATE["accounts"].items() if one["status"] == "on"} | dict([ROOT])
        made = signature(
            self.command, path, query, headers, said["SignedHeaders"], headers["x-amz-date"], keys.get(id, "")
        )
        if id not in keys or made != said["Signature"] or hashlib.sha256(body).hexdigest() != headers["x-amz-content-sha256"]:
            return 403, "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>"
        pairs = dict(parse_qsl(query, keep_blank_values=True))
        if path.startswith(ADMIN):
            assert id == ROOT[0]
            found = admin(self.command, path.removeprefix(ADMIN), pairs, json.loads(body or "null"))
        else:
            found = s3(self.command, path[1:], pairs, headers, body.decode())
        if self.command != "GET":
            with open(FILE + ".new", "w") as file:
                json.dump(STATE, file)
            os.replace(FILE + ".new", FILE)
        return found

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def log_message(self, format, *arguments):
        pass


host, port = os.environ["RUSTFS_ADDRESS"].rsplit(":", 1)
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
