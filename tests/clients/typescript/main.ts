// What a user of the generated TypeScript client does: create, wait, page, update safely, read an error, delete.
// tests/tests/clients.rs generates metapaas.d.ts, has tsc check this file against it, and runs it.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import createClient from "openapi-fetch";

import type { components, paths } from "./metapaas.js";

type Demo = components["schemas"]["Demo"];

const name = "typescript";
const project_id = process.env.METAPAAS_PROJECT;
const one = { params: { path: { instance: name } } };
const client = createClient<paths, `application/${string}`>({
  baseUrl: process.env.METAPAAS_URL,
  headers: { Authorization: `Bearer ${process.env.METAPAAS_TOKEN}` },
});

async function waitUntilActive(): Promise<{ demo: Demo; tag: string }> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const { data, error, response } = await client.GET("/v1/types/demo/instances/{instance}", one);
    assert(data, error?.detail);
    if (data.status === "ACTIVE" && data.generation === data.observed_generation) {
      return { demo: data, tag: response.headers.get("etag") ?? "" };
    }
    await sleep(100);
  }
  throw new Error(`${name} did not become ACTIVE`);
}

// Create, and wait until it works.
const created = await client.POST("/v1/types/demo/instances", { body: { name, project_id, greeting: "Hello from TypeScript" } });
assert(created.data, created.error?.detail);
assert.equal(created.data.replicas, 1);

// A name that is taken: the problem says so to programs, and who has it.
const again = await client.POST("/v1/types/demo/instances", { body: { name, project_id, greeting: "Hello" } });
assert.equal(again.response.status, 409);
assert.equal(again.error?.code, "NAME_TAKEN");
assert.equal(again.error?.id, created.data.id);

// A mistake: the problem points to it.
const wrong = await client.POST("/v1/types/demo/instances", { body: { name: "Not A Name", project_id, greeting: "Hello" } });
assert.deepEqual(wrong.error?.errors.map((problem) => problem.pointer), ["/name"]);

// Page by page.
const expected = [0, 1, 2, 3, 4].map((index) => `page-${index}`);
for (const path of expected) {
  const page = await client.POST("/v1/types/demo/instances/{instance}/pages", { ...one, body: { path, text: "text" } });
  assert.equal(page.data?.path, path, page.error?.detail);
}
const found: string[] = [];
let token: string | undefined;
do {
  const params = { path: { instance: name }, query: { limit: 2, page_token: token } };
  const { data, error } = await client.GET("/v1/types/demo/instances/{instance}/pages", { params });
  assert(data && data.items.length <= 2, error?.detail);
  found.push(...data.items.map((page) => page.path));
  token = data.next_page_token ?? undefined;
} while (token !== undefined);
assert.deepEqual(found, expected);

// Change it unless somebody else did meanwhile.
const { tag } = await waitUntilActive();
const conditional = { params: { path: { instance: name }, header: { "If-Match": tag } } };
const update = (greeting: string) =>
  client.PATCH("/v1/types/demo/instances/{instance}", { ...conditional, body: { greeting } });
const changed = await update("Changed");
assert.equal(changed.data?.greeting, "Changed", changed.error?.detail);
const lost = await update("Lost");
assert.equal(lost.response.status, 412);
assert.equal(lost.error?.code, "PRECONDITION_FAILED");
assert.equal((await waitUntilActive()).demo.greeting, "Changed");

// Delete, and wait until nothing is left.
const deleted = await client.DELETE("/v1/types/demo/instances/{instance}", one);
assert(deleted.response.ok, deleted.error?.detail);
for (let attempt = 0; ; attempt++) {
  const { response } = await client.GET("/v1/types/demo/instances/{instance}", one);
  if (response.status === 404) break;
  assert(attempt < 600, `${name} did not go`);
  await sleep(100);
}
console.log("done");
