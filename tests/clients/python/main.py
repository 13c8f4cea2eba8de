"""What a user of the generated Python client does: create, wait, page, update safely, read an error, delete.

tests/tests/clients.rs generates the package `metapaas_client`, has mypy check this file against it, and runs it.
"""

import os
import time
from uuid import UUID

from metapaas_client import AuthenticatedClient
from metapaas_client.api.demo import (
    demo_instances_create,
    demo_instances_delete,
    demo_instances_read,
    demo_instances_update,
)
from metapaas_client.api.demopages import demo_pages_create, demo_pages_list
from metapaas_client.models import (
    Demo,
    DemoCreate,
    DemoPage,
    DemoPageCreate,
    DemoPageList,
    DemoPatch,
    Problem,
    ProblemCode,
    Status,
)
from metapaas_client.types import UNSET

NAME = "python"
PROJECT = UUID(os.environ["METAPAAS_PROJECT"])
client = AuthenticatedClient(base_url=os.environ["METAPAAS_URL"], token=os.environ["METAPAAS_TOKEN"])


def new(name: str, greeting: str) -> DemoCreate:
    return DemoCreate(name=name, project_id=PROJECT, greeting=greeting)


def wait_until_active() -> Demo:
    for _ in range(600):
        found = demo_instances_read.sync(NAME, client=client)
        assert isinstance(found, Demo), found
        if found.status == Status.ACTIVE and found.generation == found.observed_generation:
            return found
        time.sleep(0.1)
    raise SystemExit(f"{NAME} did not become ACTIVE: {found}")


# Create, and wait until it works.
made = demo_instances_create.sync(client=client, body=new(NAME, "Hello from Python"))
assert isinstance(made, Demo), made
assert made.replicas == 1

# A name that is taken: the problem says so to programs, and who has it.
again = demo_instances_create.sync(client=client, body=new(NAME, "Hello"))
assert isinstance(again, Problem), again
assert again.code == ProblemCode.NAME_TAKEN and again.id == made.id, again

# A mistake: the problem points to it.
wrong = demo_instances_create.sync(client=client, body=new("Not A Name", "Hello"))
assert isinstance(wrong, Problem) and [problem.pointer for problem in wrong.errors] == ["/name"], wrong

# Page by page.
for index in range(5):
    page = demo_pages_create.sync(NAME, client=client, body=DemoPageCreate(path=f"page-{index}", text="text"))
    assert isinstance(page, DemoPage), page
paths: list[str] = []
token: str | None = None
while True:
    some = demo_pages_list.sync(NAME, client=client, limit=2, page_token=token if token else UNSET)
    assert isinstance(some, DemoPageList) and len(some.items) <= 2, some
    paths += [page.path for page in some.items]
    token = some.next_page_token
    if token is None:
        break
assert paths == [f"page-{index}" for index in range(5)], paths

# Change it unless somebody else did meanwhile.
wait_until_active()
read = demo_instances_read.sync_detailed(NAME, client=client)
tag = read.headers["etag"]
changed = demo_instances_update.sync(NAME, client=client, if_match=tag, body=DemoPatch(greeting="Changed"))
assert isinstance(changed, Demo) and changed.greeting == "Changed", changed
lost = demo_instances_update.sync(NAME, client=client, if_match=tag, body=DemoPatch(greeting="Lost"))
assert isinstance(lost, Problem) and lost.code == ProblemCode.PRECONDITION_FAILED, lost
assert wait_until_active().greeting == "Changed"

# Delete, and wait until nothing is left.
gone = demo_instances_delete.sync_detailed(NAME, client=client)
assert gone.status_code in (202, 204), gone
for _ in range(600):
    if demo_instances_read.sync_detailed(NAME, client=client).status_code == 404:
        print("done")
        break
    time.sleep(0.1)
else:
    raise SystemExit(f"{NAME} did not go")
