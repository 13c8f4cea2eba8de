"""What schemathesis has to know of MetaPaaS that an OpenAPI document cannot say."""

import json
import os
import re
import urllib.parse
import urllib.request

import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi import checks as builtin

URL = os.environ["METAPAAS_URL"]
TOKEN = os.environ["METAPAAS_TOKEN"]

# Formats of texts that JSON Schema does not define, or defines more widely; descriptions in the document say so in words.
LABEL = "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?"
FORMATS = {
    "hostname": st.from_regex(rf"\A({LABEL}\.){{1,3}}[a-z][a-z0-9]{{1,9}}\Z", fullmatch=True),
    "bucket-name": st.from_regex(r"\A[a-z][a-z0-9-]{1,20}[a-z0-9]\Z", fullmatch=True),
    "cidr": st.builds(lambda a, b: f"10.{a}.{b}.0/24", st.integers(0, 255), st.integers(0, 255)),
}
FORMATS["instance-path"] = st.sampled_from(["s3/data", "demo/data", "cache/data"])
for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)

# Refusals of requests that are right as far as a schema can say: by the code of the problem, where it points to, why.
BY_DATA = [
    ("MISSING_REFERENCE", ".*", "a row that the body names is not there"),
    ("INVALID_REFERENCE", ".*", "the principal that the body names is not there"),
    ("IMMUTABLE", ".*", "the stored value is another one"),
    ("UNKNOWN_PERMISSION", r"/permission(s/\d+)?", "which permissions there are depends on the hosted types"),
    ("INVALID_VALUE", r"\?page_token", "a page token is taken from an answer and cannot be made up"),
    ("INVALID_VALUE|INVALID_SYNTAX|NOT_FILTERABLE|NOT_SORTABLE|TOO_DEEP", r"\?(label_selector|filter)", "they are languages"),
    ("INVALID_VALUE", r"\?(since|until)", "nothing was made before 1970"),
    ("REQUIRED", "/role", "an empty name is no role"),
    ("INVALID_VALUE", r"\?type", "which types there are depends on the distribution"),
    ("INVALID_VALUE", "/repo", "a URL or what ssh takes for one: no pattern that people can read says which"),
    ("INVALID_VALUE", "/command/0", "the first word alone is a program: generators of clients know no prefixItems"),
    ("OUT_OF_RANGE", "/timeout_seconds", "the operator says with `run_timeout` how long a command may take"),
    ("INVALID_VALUE", "/to", "which types offer something depends on the distribution"),
    ("INVALID_VALUE", "/parameters(/.*)?", "what there is to ask for depends on the instance that a binding leads to"),
    ("INVALID_VALUE", "/mfa_secret", "it is for `mfa_delete`, which for a patch the stored row may have switched on"),
    ("INVALID_VALUE", "/expires_at", "the time is over"),
    ("DIGEST_MISMATCH", "", "a path has the SHA-256 of the body, which no schema can say"),
    ("REQUIRED", "/project_id", "a caller who sees several projects has to say which"),
    ("REQUIRED", "/principal/id", "one of two members: a schema that says so makes clients unwieldy"),
]

CHECKS.unregister("positive_data_acceptance")


@schemathesis.check
def positive_data_acceptance(ctx, response, case):
    """The check of that name, but a refusal counts only if the schema could have foreseen it."""
    try:
        return builtin.positive_data_acceptance(ctx, response, case)
    except Exception:
        problems = json.loads(response.content).get("errors", []) if response.status_code == 400 else []
        if problems and all(is_by_data(problem) for problem in problems):
            return None
        raise


def is_by_data(problem):
    return any(
        re.fullmatch(code, problem["code"]) and re.fullmatch(pointer, problem["pointer"]) for code, pointer, _ in BY_DATA
    )


def get(path):
    request = urllib.request.Request(URL + path, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def own():
    """What the run stands on: its service account, that one's tokens and roles."""
    me = get("/v1/iam/whoami")
    yield from (me["id"], me["name"])
    for binding in get("/v1/iam/bindings?limit=1000")["items"]:
        if binding["principal"]["id"] == me["id"]:
            yield binding["id"]
    for token in get(f"/v1/iam/service-accounts/{me['id']}/tokens")["items"]:
        yield token["id"]


OWN = {name.lower() for name in own()}


@schemathesis.hook
def filter_case(context, case):
    """Nothing changes what the run stands on: without it every further call would be refused."""
    # Only streams read it, which this client does not ask for; lists as pages pass over it.
    if any(name.lower() == "last-event-id" for name in case.headers or {}):
        return False
    # Whoever follows a log waits for its next line, which need not come.
    if any(str(value).lower() == "true" for name, value in (case.query or {}).items() if name == "follow"):
        return False
    # Longer URIs never reach the API: the server cuts them off, which tests/tests/limits.rs provokes.
    if len(urllib.parse.urlencode(case.query or {}, doseq=True)) > 7000:
        return False
    changes = case.method.upper() not in ("GET", "HEAD")
    return not (changes and any(str(value).lower() in OWN for value in (case.path_parameters or {}).values()))
