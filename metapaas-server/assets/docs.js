// Shows an OpenAPI document. All text goes in as text, never as markup; nothing comes from another host.
"use strict";

const METHODS = ["get", "post", "patch", "put", "delete"];
let spec = null;
let groups = [];

/** An element with attributes and children; text children become text nodes. */
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Paragraphs, lists with "- " and `code`: what descriptions use of Markdown. */
function prose(text) {
  return (text ?? "").split(/\n\s*\n/).filter(Boolean).map((paragraph) => {
    const lines = paragraph.split("\n");
    if (lines.every((line) => line.startsWith("- "))) {
      return el("ul", null, lines.map((line) => el("li", null, inline(line.slice(2)))));
    }
    return el("p", null, inline(lines.join(" ")));
  });
}

function inline(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", null, part) : part));
}

/** Follows `$ref`, within the document only. */
function resolve(value) {
  let seen = 0;
  while (value && value.$ref && seen++ < 16) {
    const parts = value.$ref.replace(/^#\//, "").split("/");
    value = parts.reduce((at, part) => at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], spec);
  }
  return value ?? {};
}

const nameOf = (schema) => schema?.$ref?.split("/").pop();

/** One line on what values a schema takes. */
function typeOf(schema) {
  const name = nameOf(schema);
  const to = resolve(schema);
  if (to.oneOf || to.anyOf || to.allOf) return name ?? (to.oneOf || to.anyOf || to.allOf).map(typeOf).join(" or ");
  const types = [to.type ?? []].flat();
  const text = types.filter((type) => type !== "null").map((type) => {
    if (type === "array") return `array of ${typeOf(to.items ?? {})}`;
    if (type === "object" && to.additionalProperties && typeof to.additionalProperties === "object") {
      return `map of ${typeOf(to.additionalProperties)}`;
    }
    if (type === "object" && name) return name;
    return to.format ? `${type} (${to.format})` : type;
  }).join(" or ") || "any";
  return types.includes("null") ? `${text} or null` : text;
}

/** Bounds, enum, pattern and default of a schema. */
function rulesOf(schema) {
  const rules = [];
  const span = (least, most, unit) => {
    if (least !== undefined && most !== undefined) rules.push(`${least} to ${most}${unit}`);
    else if (least !== undefined) rules.push(`at least ${least}${unit}`);
    else if (most !== undefined) rules.push(`at most ${most}${unit}`);
  };
  span(schema.minimum, schema.maximum, "");
  span(schema.minLength, schema.maxLength, " characters");
  span(schema.minItems, schema.maxItems, " items");
  span(schema.minProperties, schema.maxProperties, " members");
  const line = rules.length ? [el("span", { class: "faint" }, rules.join(", "))] : [];
  const codes = (label, values) => {
    const codes = values.flatMap((value, index) => [index ? ", " : " ", el("code", null, JSON.stringify(value))]);
    line.push(el("span", null, el("span", { class: "faint" }, label), codes));
  };
  if (schema.enum) codes("one of", schema.enum);
  if (schema.pattern) line.push(el("span", null, el("span", { class: "faint" }, "matches "), el("code", null, schema.pattern)));
  if (schema.default !== undefined) codes("default", [schema.default]);
  return line.length ? el("div", { class: "head" }, line) : null;
}

/** The object schema that a schema leads to, through arrays and maps. */
function within(schema) {
  const to = resolve(schema);
  if (to.properties || to.oneOf || to.anyOf) return to;
  if (to.items) return within(to.items);
  if (to.additionalProperties && typeof to.additionalProperties === "object") return within(to.additionalProperties);
  return null;
}

/** Builds its inside when it is first opened: schemas may refer to each other without end. */
function lazy(attributes, summary, fill) {
  const details = el("details", attributes, el("summary", null, summary));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...[fill()].flat());
  });
  return details;
}

/** `isRequest`: answers do not say which members are required, all the usual ones are there. */
function members(schema, isRequest) {
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) {
    return choices.flatMap((choice, index) => [
      el("p", { class: "faint" }, index ? "or: " : "", resolve(choice).description ?? ""), ...members(resolve(choice), isRequest),
    ]);
  }
  const required = new Set(schema.required ?? []);
  const properties = Object.entries(schema.properties ?? {});
  const ignored = properties.filter(([, property]) => nameOf(property) === "Ignored");
  const rows = properties.filter(([, property]) => nameOf(property) !== "Ignored").map(([name, property]) => {
    const to = resolve(property);
    const flags = [
      isRequest && required.has(name) && el("span", { class: "flag required" }, "required"),
      to.readOnly && el("span", { class: "flag" }, "read only"),
      to.writeOnly && el("span", { class: "flag" }, "write only"),
      to["x-required-permission"] && el("span", { class: "flag guarded" }, "needs ", el("code", null, to["x-required-permission"])),
    ].filter(Boolean);
    const inner = within(property);
    return el("li", null,
      el("div", { class: "head" }, el("span", { class: "name" }, name), el("span", { class: "type" }, typeOf(property)), flags),
      prose(to.description), rulesOf(to),
      inner && Object.keys(inner.properties ?? inner.oneOf ?? inner.anyOf ?? {}).length
        ? lazy({ class: "more" }, "members", () => members(inner, isRequest)) : null);
  });
  const list = [el("ul", { class: "members" }, rows)];
  if (ignored.length) {
    const names = ignored.flatMap(([name], index) => [index ? ", " : "", el("code", null, name)]);
    list.push(el("p", { class: "faint" }, "Members of answers may be repeated and change nothing: ", names, "."));
  }
  return list;
}

function schemaBox(schema, isRequest) {
  const inner = within(schema);
  const to = resolve(schema);
  const content = inner ? members(inner, isRequest) : [el("p", null, el("span", { class: "type" }, typeOf(schema))), rulesOf(to)];
  return el("div", { class: "schema" }, content.filter(Boolean));
}

function parametersTable(parameters) {
  const rows = parameters.map((parameter) => {
    const schema = resolve(parameter.schema);
    return el("tr", null,
      el("td", null, el("span", { class: "name" }, parameter.name), " ",
        parameter.required && parameter.in !== "path" ? el("span", { class: "flag required" }, "required") : null),
      el("td", { class: "faint" }, parameter.in),
      el("td", null, el("span", { class: "type" }, typeOf(parameter.schema)), rulesOf(schema)),
      el("td", null, prose(parameter.description)));
  });
  const head = ["Name", "In", "Type", "Description"].map((title) => el("th", { scope: "col" }, title));
  return el("table", null, el("thead", null, el("tr", null, head)), el("tbody", null, rows));
}

function answers(responses) {
  const order = (status) => (status === "default" ? 1000 : Number(status));
  return Object.keys(responses).sort((a, b) => order(a) - order(b)).map((status) => {
    const response = resolve(responses[status]);
    const headers = Object.keys(response.headers ?? {});
    return el("div", { class: "answer" },
      el("div", { class: "line" },
        el("span", { class: `status ${/^[23]/.test(status) ? "good" : "bad"}` }, status), prose(response.description)),
      headers.length > 1 || /^[23]/.test(status)
        ? el("div", { class: "headers faint" }, "Headers: ", headers.flatMap((name, index) => [index ? ", " : "", el("code", null, name)]))
        : null,
      Object.entries(response.content ?? {}).map(([type, content]) =>
        lazy({ class: "more" }, `${type}${nameOf(content.schema) ? ` · ${nameOf(content.schema)}` : ""}`, () => schemaBox(content.schema ?? {}, false))));
  });
}

/** A value that a schema takes, of the members that must be there. */
function sample(schema, name, depth = 0) {
  const to = resolve(schema);
  if (to.default !== undefined) return to.default;
  if (to.enum) return to.enum[0];
  if (to.oneOf) return sample(to.oneOf[0], name, depth);
  switch ([to.type ?? []].flat()[0]) {
    case "object": {
      const must = depth < 4 ? (to.required ?? []) : [];
      return Object.fromEntries(must.map((member) => [member, sample(to.properties[member], member, depth + 1)]));
    }
    case "array": return [];
    case "integer": case "number": return to.minimum ?? 0;
    case "boolean": return false;
    case "string": {
      if (to.format === "uuid") return "00000000-0000-0000-0000-000000000000";
      if (to.format === "date-time") return "2030-01-31T12:00:00Z";
      return name ? `my-${name.replaceAll("_", "-")}` : "text";
    }
    default: return null;
  }
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl(entry) {
  const lines = [`curl${entry.method === "get" ? "" : ` -X ${entry.method.toUpperCase()}`}`];
  if (entry.operation.security?.length) lines[0] += ' -H "Authorization: Bearer $TOKEN"';
  const content = resolve(entry.operation.requestBody).content ?? {};
  const type = Object.keys(content)[0];
  if (type) {
    lines.push(`-H ${quote(`Content-Type: ${type}`)}`, `-d ${quote(JSON.stringify(sample(content[type].schema)))}`);
  }
  lines.push(quote(location.origin + entry.path.replace(/\{(\w+)\}/g, (_, name) => name.toUpperCase())));
  return lines.join(" \\\n  ");
}

function inside(entry) {
  const { operation, item } = entry;
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(resolve);
  const body = resolve(operation.requestBody);
  const types = Object.keys(body.content ?? {});
  const permission = operation["x-required-permission"];
  const fact = (label, ...value) => el("span", null, el("span", { class: "faint" }, label), value);
  const schemes = (operation.security ?? []).flatMap((option) => Object.keys(option));
  const facts = [
    permission ? fact("Permission", el("code", null, permission)) : null,
    fact("Authentication", schemes.length ? schemes.join(" or ") : "none"),
    fact("Operation", el("a", { href: `#${entry.id}` }, el("code", null, entry.id))),
  ];
  const parts = [el("div", { class: "facts" }, facts), ...prose(operation.description)];
  if (parameters.length) parts.push(el("h3", null, "Parameters"), parametersTable(parameters));
  if (types.length) {
    const first = body.content[types[0]].schema;
    parts.push(
      el("h3", null, "Request body"),
      el("p", { class: "faint" }, types.flatMap((type, index) => [index ? " or " : "", el("code", null, type)]), nameOf(first) ? ` · ${nameOf(first)}` : ""),
      schemaBox(first ?? {}, true));
  }
  parts.push(el("h3", null, "Answers"), el("div", null, answers(operation.responses)));
  parts.push(el("h3", null, "Example"), el("pre", { tabindex: "0" }, el("code", null, curl(entry))));
  return el("div", { class: "inside" }, parts);
}

function operationRow(entry) {
  const path = entry.path.split(/(\{\w+\})/).map((part) => (part.startsWith("{") ? el("i", null, part) : part));
  const summary = [
    el("span", { class: `method ${entry.method}` }, entry.method.toUpperCase()),
    el("span", { class: "path" }, path),
    el("span", { class: "summary" }, entry.operation.summary ?? ""),
  ];
  const details = lazy({ class: "operation", id: entry.id }, summary, () => inside(entry));
  details.addEventListener("toggle", () => {
    if (details.open && location.hash !== `#${entry.id}`) history.replaceState(null, "", `#${entry.id}`);
  });
  return details;
}

/** Operations by tag, in the order of the document. */
function group() {
  const byTag = new Map((spec.tags ?? []).map((tag) => [tag.name, { tag, entries: [] }]));
  for (const [path, item] of Object.entries(spec.paths ?? {})) {
    for (const method of METHODS.filter((method) => item[method])) {
      const operation = item[method];
      const name = operation.tags?.[0] ?? "other";
      if (!byTag.has(name)) byTag.set(name, { tag: { name }, entries: [] });
      const id = operation.operationId ?? `${method}-${path}`;
      const words = [name, method, path, operation.summary, operation.description, id, operation["x-required-permission"]];
      byTag.get(name).entries.push({ id, path, method, item, operation, text: words.join(" ").toLowerCase() });
    }
  }
  return [...byTag.values()].filter((found) => found.entries.length);
}

function show() {
  document.title = `${spec.info.title} API`;
  document.getElementById("title").textContent = spec.info.title;
  document.getElementById("version").textContent = spec.info.version;
  document.getElementById("about").replaceChildren(...prose(spec.info.description));
  groups = group();
  const nav = document.getElementById("groups");
  const content = document.getElementById("content");
  content.replaceChildren();
  for (const found of groups) {
    const { tag } = found;
    const id = `tag-${tag.name}`;
    found.count = el("span", { class: "faint" });
    found.link = el("a", { href: `#${encodeURIComponent(id)}` }, tag.name.split("/").pop(), found.count);
    found.row = el("li", { class: tag.name.includes("/") ? "child" : undefined }, found.link);
    nav.append(found.row);
    const own = `/v1/types/${tag.name}/openapi.json`;
    const isType = spec.paths[`/v1/types/${tag.name}/instances`];
    const heading = el("h2", null, tag.name, isType ? el("a", { class: "raw", href: own }, "openapi.json") : null);
    for (const entry of found.entries) entry.row = operationRow(entry);
    found.section = el("section", { id, "aria-label": tag.name }, heading, prose(tag.description), found.entries.map((entry) => entry.row));
    content.append(found.section);
  }
  filter();
  watchScroll();
  follow();
}

/** Leaves what has every word of the search. */
function filter() {
  const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  let all = 0;
  for (const found of groups) {
    const fitting = found.entries.filter((entry) => {
      const fits = words.every((word) => entry.text.includes(word));
      entry.row.hidden = !fits;
      return fits;
    });
    found.count.textContent = String(fitting.length);
    found.section.hidden = !fitting.length;
    found.row.classList.toggle("empty", !fitting.length);
    shown += fitting.length;
    all += found.entries.length;
  }
  const count = document.getElementById("count");
  count.textContent = words.length ? `${shown} of ${all} operations` : `${all} operations`;
}

/** Opens and shows what the address names. */
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.closest("[hidden]")) {
    document.getElementById("search").value = "";
    filter();
  }
  if (target.matches("details.operation")) {
    target.open = true;
    target.querySelector("summary").focus({ preventScroll: true });
  }
  target.scrollIntoView({ block: "start" });
}

function watchScroll() {
  const mark = (section) => {
    for (const found of groups) {
      if (found.section === section) found.link.setAttribute("aria-current", "true");
      else found.link.removeAttribute("aria-current");
    }
  };
  const watcher = new IntersectionObserver((changes) => {
    const top = changes.find((change) => change.isIntersecting);
    if (top) mark(top.target);
  }, { rootMargin: "-80px 0px -75% 0px" });
  for (const found of groups) watcher.observe(found.section);
}

document.getElementById("search").addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  const search = document.getElementById("search");
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && event.target !== search) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape" && event.target === search) {
    search.value = "";
    filter();
  }
});
addEventListener("hashchange", follow);

/** All types, or with `?type=demo` one of them. */
async function load() {
  const type = new URLSearchParams(location.search).get("type");
  const url = type ? `/v1/types/${encodeURIComponent(type)}/openapi.json` : "/v1/openapi.json";
  document.getElementById("raw").setAttribute("href", url);
  try {
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    spec = await response.json();
    show();
  } catch (problem) {
    const text = `The document ${url} could not be read: ${problem.message}.`;
    document.getElementById("content").replaceChildren(el("p", { class: "alert", role: "alert" }, text));
  }
}
load();
