// The stages with the model that each one serves and its state, and the names that requests may use.

import { getJson, readiness } from "./api.js";
import { byId, h, replace } from "./dom.js";
import { count } from "./format.js";
import { problem } from "./problem.js";

const EVERY_MS = 5000;
const LISTED = ["embed", "rerank"];
let timer = null;

export function startModels() {
  return { show: load, hide: () => clearTimeout(timer) };
}

async function load() {
  clearTimeout(timer);
  try {
    const [state, chat, ...others] = await Promise.all([readiness(), getJson("v1/models"), ...LISTED.map((stage) => getJson(`v1/models?stage=${stage}`))]);
    replace(byId("models"), stages(state.stages), names([...chat.data, ...others.flatMap((page) => page.data)]));
  } catch (error) {
    replace(byId("models"), problem(error, load));
  }
  if (!byId("view-models").hidden) timer = setTimeout(load, EVERY_MS);
}

function stages(byName) {
  return h("ul", { class: "rows" }, Object.entries(byName).map(([stage, status]) => h("li", {}, row(stage, status))));
}

function row(stage, status) {
  const [state, text] = stateOf(status);
  const facts = [status.runs_on && runsOn(status.runs_on), status.unfinished !== null && `${count(status.unfinished, "request")} under way`, status.canary && `canary ${status.canary.model}, ${Math.round(100 * status.canary.share)} % of requests`];
  return h("article", { class: "file" },
    h("div", { class: "file-main" },
      h("span", { class: "file-name" }, stage, status.model && h("span", { class: "model" }, status.model)),
      h("p", { class: "quiet" }, facts.filter(Boolean).join(" · ")),
      status.error && h("p", { class: "failure" }, status.error)),
    h("span", { class: "state", dataset: { state } }, h("span", { class: "dot" }), text));
}

const runsOn = (place) => (typeof place === "string" ? place : Object.values(place).join(", "));

function stateOf(status) {
  if (status.loading) return ["partial", `loading ${status.loading}`];
  if (!status.ready) return ["down", "no answer"];
  return status.error ? ["partial", "ready, with an error"] : ["ready", "ready"];
}

function names(models) {
  return [
    h("h2", {}, "Names for requests"),
    h("ul", { class: "names" }, models.map((model) => h("li", {}, h("code", {}, model.id), h("span", { class: "quiet" }, model.stage)))),
  ];
}
