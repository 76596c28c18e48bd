// A cited place in its file: the file's text with the sentence marked.

import { getText } from "./api.js";
import { announce, byId, h, icon, replace } from "./dom.js";
import { slice } from "./format.js";
import { problem } from "./problem.js";

const COVERS = "(max-width: 69.99rem)"; // as in layout.css: the panel lies above the view
const AROUND = 20_000; // characters on each side of the mark; a whole book would be slow to lay out

let opener = null;
let running = null;

/** `place`: file_id, filename, start, end, location, and quote if it was cited. `places` are those to step through. */
export async function openSource(place, storeId, places = [place]) {
  running?.abort();
  running = new AbortController();
  const panel = byId("source");
  if (panel.hidden) opener = document.activeElement;
  panel.hidden = false;
  document.body.dataset.source = "open";
  setBehind(matchMedia(COVERS).matches);
  const body = h("div", { class: "source-body" }, h("p", { class: "quiet" }, "Reading the file …"));
  replace(panel, head(place, storeId, places), body);
  panel.focus({ preventScroll: true });
  try {
    const path = `v1/files/${encodeURIComponent(place.file_id)}/text?vector_store_id=${encodeURIComponent(storeId)}`;
    showText(body, Array.from(await getText(path, running.signal)), place);
    announce(`${place.filename}: the cited place is marked.`);
  } catch (error) {
    if (error.name !== "AbortError") replace(body, problem(error));
  }
}

export function closeSource() {
  const panel = byId("source");
  if (panel.hidden) return;
  running?.abort();
  panel.hidden = true;
  panel.replaceChildren();
  delete document.body.dataset.source;
  setBehind(false);
  opener?.focus({ preventScroll: true });
  opener = null;
}

/** Takes what the panel covers out of the order of focus, and gives it back. */
function setBehind(isCovered) {
  for (const element of [byId("main"), document.querySelector(".side")]) element.inert = isCovered;
}

function head(place, storeId, places) {
  const index = places.indexOf(place);
  const step = (offset, name, label) =>
    h("button", {
      class: "icon-button", type: "button", "aria-label": label, disabled: !places[index + offset],
      on: { click: () => openSource(places[index + offset], storeId, places) },
    }, icon(name));
  return h("header", { class: "source-head" },
    h("div", { class: "source-name" },
      h("h2", { id: "source-title" }, place.filename),
      place.location && h("p", { class: "quiet" }, place.location.label)),
    places.length > 1 && [step(-1, "left", "Previous source"), h("span", { class: "quiet" }, `${index + 1} / ${places.length}`), step(1, "right", "Next source")],
    h("button", { class: "icon-button", type: "button", "aria-label": "Close the source", on: { click: closeSource } }, icon("close")));
}

function showText(body, text, place) {
  if (place.start === undefined) {
    replace(body, h("div", { class: "document" }, slice(text, 0, 2 * AROUND)), more(body, text, place, 2 * AROUND < text.length));
    return;
  }
  const from = Math.max(0, place.start - AROUND);
  const to = Math.min(text.length, place.end + AROUND);
  const cited = slice(text, place.start, place.end);
  const mark = h("mark", { tabindex: "-1" }, cited);
  const isChanged = place.quote !== undefined && place.quote !== cited;
  replace(body,
    isChanged && h("p", { class: "note" }, "The file has changed since this answer: the mark may be at another sentence."),
    h("div", { class: "document" }, slice(text, from, place.start), mark, slice(text, place.end, to)),
    more(body, text, place, from > 0 || to < text.length));
  mark.scrollIntoView({ block: "center" });
}

function more(body, text, place, isCut) {
  if (!isCut) return null;
  const whole = () => {
    const mark = place.start === undefined ? [] : [h("mark", {}, slice(text, place.start, place.end))];
    const [start, end] = [place.start ?? text.length, place.end ?? text.length];
    replace(body, h("div", { class: "document" }, slice(text, 0, start), mark, slice(text, end, text.length)));
    body.querySelector("mark")?.scrollIntoView({ block: "center" });
  };
  return h("p", {}, h("button", { class: "button small", type: "button", on: { click: whole } }, "Show the whole text"));
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) closeSource();
});
