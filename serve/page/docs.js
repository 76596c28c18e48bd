// The API reference, from the service's own OpenAPI document.

import { address } from "./api.js";
import { byId, h, replace } from "./dom.js";

const MAX_DEPTH = 3; // of fields inside fields; deeper ones are named by their type
let spec = null;

const resolve = (schema) => (schema?.$ref ? spec.components.schemas[schema.$ref.split("/").at(-1)] : schema) ?? {};
const nameOf = (schema) => schema?.$ref?.split("/").at(-1);

function typeOf(schema = {}) {
  if (schema.$ref) return nameOf(schema);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches) return [...new Set(branches.map(typeOf))].join(" | ");
  if (schema.type === "array") return `${schema.items ? typeOf(schema.items).split(" ")[0] : "any"}[]${limits(schema)}`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return `object of ${typeOf(schema.additionalProperties)}`;
  return (schema.type ?? "any") + limits(schema);
}

function limits(schema) {
  const low = schema.minimum ?? schema.exclusiveMinimum ?? schema.minLength ?? schema.minItems;
  const high = schema.maximum ?? schema.exclusiveMaximum ?? schema.maxLength ?? schema.maxItems;
  if (low === undefined && high === undefined) return "";
  if (high === undefined) return ` ≥ ${low}`;
  return low === undefined ? ` ≤ ${high}` : ` ${low}…${high}`;
}

/** The schema itself, or the only one of its branches that has fields. */
function objectOf(schema) {
  const whole = resolve(schema);
  if (whole.properties) return [whole];
  if (whole.type === "array") return objectOf(whole.items);
  return (whole.anyOf ?? whole.oneOf ?? whole.allOf ?? []).flatMap((branch) => objectOf(branch));
}

function fields(schema, depth = 0) {
  return objectOf(schema).map((object) =>
    h("div", { class: "fieldset" },
      Object.entries(object.properties).map(([name, value]) => field(name, value, object.required?.includes(name), depth))));
}

function field(name, schema, isNeeded, depth) {
  const inner = depth < MAX_DEPTH ? objectOf(schema) : [];
  return h("div", {},
    h("span", { class: "field-name" }, name),
    h("span", { class: "field-type" }, typeOf(schema), schema.default !== undefined && ` = ${JSON.stringify(schema.default)}`),
    isNeeded && h("span", { class: "needed" }, "required"),
    schema.description && h("p", { class: "quiet" }, schema.description),
    inner.length > 0 && h("details", { on: { toggle: (event) => fill(event.target, schema, depth + 1) } }, h("summary", {}, "fields")));
}

/** Recursive shapes, such as filters, are drawn only as deep as a reader opens them. */
function fill(details, schema, depth) {
  if (details.childElementCount === 1) details.append(...fields(schema, depth));
}

function parameters(operation) {
  if (!operation.parameters?.length) return null;
  return [h("h3", {}, "Parameters"), h("div", { class: "fieldset" },
    operation.parameters.map((each) => field(`${each.name} (${each.in})`, { description: each.description, ...each.schema }, each.required, MAX_DEPTH)))];
}

function body(operation) {
  return Object.entries(operation.requestBody?.content ?? {}).map(([type, media]) => [
    h("h3", {}, `Body, ${type}`),
    media.example && h("pre", {}, h("code", {}, JSON.stringify(media.example, null, 2))),
    fields(media.schema),
  ]);
}

function responses(operation) {
  return [h("h3", {}, "Responses"), h("ol", { class: "response-list" }, Object.entries(operation.responses).map(([status, response]) => {
    const media = Object.entries(response.content ?? {});
    return h("li", {},
      h("span", { class: "status-code" }, status),
      h("span", {}, response.description, h("span", { class: "field-type" }, media.map(([type, each]) => `${type}${each.schema?.$ref ? ` ${nameOf(each.schema)}` : ""}`).join(", "))),
      status === "200" && media.flatMap(([, each]) => objectOf(each.schema)).length > 0 &&
        h("details", { on: { toggle: (event) => media.forEach(([, each]) => fill(event.target, each.schema, 0)) } }, h("summary", {}, "fields")));
  }))];
}

function operationView(method, path, operation) {
  const [first, ...rest] = operation.description.split("\n\n");
  const details = h("details", { class: "operation", id: operation.operationId },
    h("summary", {}, h("span", { class: `method ${method}` }, method), h("span", { class: "path" }, path), h("span", { class: "quiet" }, first)));
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    details.append(h("div", { class: "operation-body" }, rest.length > 0 && h("p", { class: "text" }, rest.join("\n\n")), parameters(operation), body(operation), responses(operation)));
  });
  return details;
}

function draw() {
  const words = byId("filter").value.toLowerCase();
  const operations = Object.entries(spec.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ method, path, operation })));
  const matching = operations.filter(({ method, path, operation }) => `${method} ${path} ${operation.description}`.toLowerCase().includes(words));
  const byTag = spec.tags.map((tag) => [tag, matching.filter(({ operation }) => operation.tags.includes(tag.name))]).filter(([, each]) => each.length);
  replace(byId("contents"), byTag.map(([tag, each]) => [
    h("h2", {}, tag.name.replace("_", " ")),
    h("ul", {}, each.map(({ method, path, operation }) => h("li", {}, h("a", { href: `#${operation.operationId}` }, h("b", { class: `method ${method}` }, method), ` ${path.replaceAll("/", "/\u200b")}`)))),
  ]));
  replace(byId("operations"), byTag.map(([tag, each]) => h("section", { class: "tag" },
    h("h2", {}, tag.name.replace("_", " ")), h("p", { class: "quiet" }, tag.description),
    each.map(({ method, path, operation }) => operationView(method, path, operation)))));
}

function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target?.tagName !== "DETAILS") return;
  target.open = true;
  target.scrollIntoView();
}

async function start() {
  spec = await (await fetch(address("openapi.json"), { credentials: "omit" })).json();
  byId("summary").textContent = `OpenAPI ${spec.openapi}. Keys are sent as Authorization: Bearer.`;
  draw();
  open();
  addEventListener("hashchange", open);
  byId("filter").addEventListener("input", draw);
}

start();
