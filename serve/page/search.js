// Search alone. Each column is a search of its own, so that one sees which stage brought a passage up.

import { postJson } from "./api.js";
import { byId, h, replace } from "./dom.js";
import { count, duration, score } from "./format.js";
import { problem } from "./problem.js";
import { openSource } from "./source.js";
import { waterfall } from "./waterfall.js";

const DEPTH = 50; // of a stage's own ranking: the most that a search returns
const UNRANKED = { ranker: "none" };
const STAGES = [
  { name: "Meaning", request: { mode: "dense", ranking_options: UNRANKED } },
  { name: "Keywords", request: { mode: "lexical", ranking_options: UNRANKED } },
  { name: "Fused", request: { mode: "hybrid", ranking_options: UNRANKED } },
];
let running = null;

export function startSearch(app) {
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    search(app, byId("search-text").value.trim());
  });
  return { show: () => byId("search-text").focus(), storeChanged: () => byId("search-results").replaceChildren() };
}

async function search(app, query) {
  if (!query) return;
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const store = app.chosenStore();
  const post = (request) => postJson(`v1/vector_stores/${encodeURIComponent(store)}/search`, { query, ...request }, signal);
  const results = byId("search-results");
  results.setAttribute("aria-busy", "true");
  try {
    const final = post({ max_num_results: byId("num-results").valueAsNumber || 10 });
    const stages = STAGES.map((stage) => post({ ...stage.request, max_num_results: DEPTH }));
    const [page, ...rankings] = await Promise.allSettled([final, ...stages]);
    if (page.status === "rejected") throw page.reason;
    replace(results, outcome(page.value, rankings.map(toRanks), store));
  } catch (error) {
    if (error.name !== "AbortError") replace(results, problem(error, () => search(app, query)));
  } finally {
    if (!signal.aborted) results.setAttribute("aria-busy", "false");
  }
}

/** Rank and score by chunk; null for a stage that failed. */
function toRanks({ status, value }) {
  if (status === "rejected") return null;
  return new Map(value.data.map((hit, index) => [hit.content[0].chunk_id, { rank: index + 1, score: hit.score }]));
}

function outcome(page, rankings, store) {
  const places = page.data.map((hit) => ({ ...hit.content[0], file_id: hit.file_id, filename: hit.filename }));
  const summary = `${count(page.data.length, "passage")}${page.has_more ? ", the best of more," : ""} in ${duration(longest(page.timings))}`;
  return [
    h("p", { class: "quiet" }, summary, page.degraded.length > 0 && ` · without ${page.degraded.join(", ")}`),
    page.data.length === 0 && h("p", { class: "empty" }, "Nothing matches in this vector store."),
    h("ol", { class: "hits" }, page.data.map((hit, index) => h("li", {}, hitCard(hit, places, index, rankings, store)))),
    h("details", {},
      h("summary", {}, "Time by stage"),
      waterfall(page.timings, page.models, page.degraded),
      h("p", { class: "facts" }, "The columns of the hits are three further searches: by one stage alone, and without the reranker.")),
  ];
}

function longest(timings) {
  const seconds = (stage) => timings[stage] ?? 0;
  return Math.max(seconds("embed") + seconds("dense"), seconds("lexical")) + seconds("fuse") + seconds("rerank") + seconds("cache");
}

function hitCard(hit, places, index, rankings, store) {
  const place = places[index];
  const final = { rank: index + 1, score: hit.score };
  return h("article", { class: "hit" },
    h("button", { class: "hit-open", type: "button", on: { click: () => openSource(place, store, places) } },
      h("span", { class: "source-file" }, hit.filename, place.location && h("span", { class: "quiet" }, ` ${place.location.label}`)),
      h("span", { class: "snippet" }, place.text)),
    h("dl", { class: "stages" },
      [...STAGES.map((stage, column) => [stage.name, rankings[column] && (rankings[column].get(place.chunk_id) ?? { rank: null })]), ["Final", final]]
        .map(([name, ranked]) => stageScore(name, ranked))));
}

function stageScore(name, ranked) {
  const text = ranked === null ? "failed" : ranked.rank === null ? `> ${DEPTH}` : `#${ranked.rank}`;
  const bar = h("span", { class: "bar" });
  bar.style.width = `${100 * Math.min(1, Math.max(0, ranked?.score ?? 0))}%`;
  return h("div", { class: name === "Final" ? "final" : "" },
    h("dt", {}, name),
    h("dd", {}, h("span", { class: "rank" }, text), h("span", { class: "number" }, score(ranked?.score)), h("span", { class: "track", "aria-hidden": "true" }, bar)));
}
