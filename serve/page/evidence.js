// What an answer is worth and how it was made: evidence, degraded stages, sources, unsupported sentences, times.

import { h, icon } from "./dom.js";
import { count, duration, score } from "./format.js";
import { waterfall } from "./waterfall.js";

const DEGRADED = {
  dense: "Searched by keyword alone: the search by meaning did not answer.",
  lexical: "Searched by meaning alone: the keyword search did not answer.",
  rerank: "The passages are in the order of the search: the reranker did not answer.",
  rerank_partial: "Some passages keep the order of the search: the reranker had too little time.",
  embed_fallback: "Another embedding model with equal vectors read the question.",
  rerank_fallback: "Another model of the reranker's list ordered the passages.",
  generate_fallback: "Another model of the generator's list wrote the answer.",
  sentences: "The sentences were chosen by their words alone.",
  generate: "The language model did not answer, so the best sentences are quoted.",
  generate_partial: "The language model had too little time for the whole answer.",
};

/** The line under an answer, then what was degraded and what no passage supports. */
export function verdict(answer, question) {
  const notes = answer.degraded.map((stage) => note("degraded", DEGRADED[stage] ?? `${stage} did not answer.`));
  if (!answer.answerable && answer.search_query) notes.unshift(note("absent", "Not in the documents: the passages found do not answer the question."));
  if (answer.unsupported.length) notes.push(unsupported(answer.unsupported));
  return h("div", { class: "verdict" },
    h("p", { class: "chips" },
      answer.evidence !== null && evidence(answer.evidence),
      answer.citations.length > 0 && h("span", { class: "chip" }, count(answer.citations.length, "citation")),
      answer.timings.total !== undefined && h("span", { class: "chip" }, duration(answer.timings.total)),
      answer.cached.map((name) => h("span", { class: "chip" }, `cached: ${name}`)),
      answer.models.generate && h("span", { class: "chip" }, answer.models.generate)),
    answer.search_query && answer.search_query !== question && h("p", { class: "quiet" }, "Searched for: ", h("q", {}, answer.search_query)),
    notes);
}

function evidence(value) {
  const meter = h("meter", { min: 0, max: 1, low: 0.3, optimum: 1, value, "aria-hidden": "true" });
  return h("span", { class: "chip", title: "How likely the passages answer the question, 0 to 1" }, "evidence ", score(value), meter);
}

const note = (kind, text) => h("p", { class: `note ${kind}` }, icon("alert"), h("span", {}, text));

function unsupported(sentences) {
  return h("details", { class: "note" },
    h("summary", {}, `${count(sentences.length, "sentence")} without support in the passages`),
    h("ul", {}, sentences.map((sentence) => h("li", {}, sentence.text))));
}

/** The cited sentences, then the passages that were read. `open` gets a place and the places to step through. */
export function sources(citations, passages, open) {
  if (!passages.length) return null;
  return [
    citations.length > 0 &&
      h("ol", { class: "sources", "aria-label": "Citations" },
        citations.map((citation) => h("li", {}, source(citation, citation.quote, citation.id, () => open(citation, citations))))),
    h("details", {},
      h("summary", {}, `${count(passages.length, "passage")} read`),
      h("ol", { class: "sources" },
        passages.map((passage) => h("li", {}, source(passage, passage.text, score(passage.score), () => open(passage, passages)))))),
  ];
}

function source(place, text, label, open) {
  return h("button", { class: "source-card", type: "button", on: { click: open } },
    h("span", { class: "source-label" }, String(label)),
    h("span", { class: "source-text" },
      h("span", { class: "source-file" }, place.filename, place.location && h("span", { class: "quiet" }, ` ${place.location.label}`)),
      h("span", { class: "snippet" }, text)));
}

export function made(answer) {
  return h("details", { on: { toggle: (event) => event.target.scrollIntoView({ block: "nearest", behavior: "smooth" }) } },
    h("summary", {}, "How it was made"),
    waterfall(answer.timings, answer.models, answer.degraded),
    answer.searches.length > 0 && h("ul", { class: "searches" }, answer.searches.map((search) => h("li", {}, `${search.kind}: ${search.query}`))),
    answer.prompt && h("p", { class: "facts" }, `prompt ${answer.prompt}`),
    h("p", { class: "facts" }, `request ${answer.id}`));
}
