// Each stage's time as a bar. The service measures lengths; the order of the stages says where a bar begins.

import { h } from "./dom.js";
import { duration } from "./format.js";

const NAMES = {
  cache: "cache",
  embed: "embed the question",
  dense: "search by meaning",
  lexical: "search by keyword",
  fuse: "fuse and look up",
  rerank: "rerank",
  sentences: "score sentences",
  generate: "write the answer",
};
const POINTS = ["first_text", "total"]; // counted from the question, and no stages

/** `[{ stage, start, seconds }]` in the order of the request path: docs/architecture.md, a question in eight steps. */
export function placed(timings) {
  const seconds = (stage) => timings[stage] ?? 0;
  const searched = Math.max(seconds("embed") + seconds("dense"), seconds("lexical"));
  const starts = {
    dense: seconds("embed"),
    fuse: searched,
    rerank: searched + seconds("fuse"),
    sentences: searched + seconds("fuse") + seconds("rerank"),
    generate: Math.max(0, seconds("total") - seconds("generate")),
  };
  const order = Object.keys(NAMES);
  const rank = (stage) => (order.includes(stage) ? order.indexOf(stage) : order.length);
  return Object.keys(timings)
    .filter((stage) => !POINTS.includes(stage))
    .sort((a, b) => rank(a) - rank(b))
    .map((stage) => ({ stage, start: starts[stage] ?? 0, seconds: timings[stage] }));
}

export function waterfall(timings, models = {}, degraded = []) {
  const bars = placed(timings);
  const end = Math.max(timings.total ?? 0, ...bars.map((bar) => bar.start + bar.seconds)) || 1;
  return h("div", { class: "waterfall" },
    h("ol", {}, bars.map((bar) => row(bar, end, models[bar.stage], degraded))),
    h("p", { class: "facts" }, total(timings)));
}

function row({ stage, start, seconds }, end, model, degraded) {
  const failed = degraded.includes(stage) || degraded.includes(`${stage}_partial`);
  const bar = h("span", { class: "bar" });
  bar.style.left = `${(100 * start) / end}%`;
  bar.style.width = `${Math.max(0.6, (100 * seconds) / end)}%`;
  return h("li", { class: failed ? "failed" : "", dataset: { stage } },
    h("span", { class: "stage" }, NAMES[stage] ?? stage, model && h("span", { class: "model" }, model)),
    h("span", { class: "track", "aria-hidden": "true" }, bar),
    h("span", { class: "seconds" }, duration(seconds)));
}

function total(timings) {
  const facts = [];
  if (timings.first_text !== undefined) facts.push(`first text after ${duration(timings.first_text)}`);
  if (timings.total !== undefined) facts.push(`complete after ${duration(timings.total)}`);
  return facts.join(" · ");
}
