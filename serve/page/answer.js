// The text of an answer as elements: paragraphs, lists, code, and a button for each citation marker.

import { h } from "./dom.js";

// Private characters around a marker's number, while the text is split into blocks. The text itself loses them.
const [OPEN, CLOSE] = ["\uE000", "\uE001"];
const INLINE = /(`[^`\n]+`|\*\*[^*\n]+\*\*|\uE000\d+\uE001)/;

/** `annotations` name the places of the markers in the text, in code points. Before they are known, there are none. */
export function answerBlocks(text, annotations, marker) {
  const lines = withMarkers(text, annotations).split("\n");
  const blocks = [];
  while (lines.length) blocks.push(nextBlock(lines, marker));
  return blocks.filter(Boolean);
}

/** As answerBlocks, for a text that only quotes: its line breaks and signs are those of the documents, not Markdown. */
export function quotedBlocks(text, annotations, marker) {
  const blocks = withMarkers(text, annotations).split(/\n{2,}/);
  return blocks.filter((block) => block.trim()).map((block) => h("p", {}, markers(block, marker)));
}

/** Whether the text is its quotes and their markers, and nothing else. */
export function isQuoted(text, citations) {
  const bare = (each) => each.replace(/[\s\u2060]/g, "").replace(/\[\d+\]/g, "");
  return bare(text) === bare(citations.map((citation) => citation.quote).join(""));
}

const markers = (text, marker) =>
  text.split(/(\uE000\d+\uE001)/).map((piece) => (piece.startsWith(OPEN) ? marker(Number(piece.slice(1, -1))) : piece));

function withMarkers(text, annotations) {
  const codePoints = Array.from(text, (each) => (each === OPEN || each === CLOSE ? " " : each));
  for (const { url_citation: place } of [...annotations].reverse()) {
    const length = place.end_index - place.start_index;
    const id = codePoints.slice(place.start_index, place.end_index).join("").replace(/\D/g, "");
    if (id) codePoints.splice(place.start_index, length, `${OPEN}${id}${CLOSE}`);
  }
  return codePoints.join("");
}

/** Takes the lines of one block from the front. */
function nextBlock(lines, marker) {
  const line = lines.shift();
  if (!line.trim()) return null;
  if (line.startsWith("```")) return codeBlock(lines);
  const heading = /^#{1,6}\s+(.*)$/.exec(line);
  if (heading) return h("h3", {}, inline(heading[1], marker));
  const item = /^\s*([-*•]|\d+[.)])\s+/.exec(line);
  if (item) return list(line, lines, /\d/.test(item[1]), marker);
  const paragraph = [line];
  while (lines.length && lines[0].trim() && !/^(```|#{1,6}\s|\s*[-*•]\s|\s*\d+[.)]\s)/.test(lines[0])) paragraph.push(lines.shift());
  return h("p", {}, inline(paragraph.join("\n"), marker));
}

function codeBlock(lines) {
  const end = lines.findIndex((line) => line.startsWith("```"));
  const code = lines.splice(0, end < 0 ? lines.length : end + 1);
  return h("pre", {}, h("code", {}, (end < 0 ? code : code.slice(0, -1)).join("\n").replace(/\uE000(\d+)\uE001/g, "[$1]")));
}

function list(first, lines, isOrdered, marker) {
  const pattern = isOrdered ? /^\s*(\d+)[.)]\s+/ : /^\s*[-*•]\s+/;
  const items = [first];
  while (lines.length && pattern.test(lines[0])) items.push(lines.shift());
  const start = isOrdered ? pattern.exec(first)[1] : undefined;
  return h(isOrdered ? "ol" : "ul", { start }, items.map((item) => h("li", {}, inline(item.replace(pattern, ""), marker))));
}

function inline(text, marker) {
  return text.split(INLINE).filter(Boolean).map((piece) => {
    if (piece.startsWith(OPEN)) return marker(Number(piece.slice(1, -1)));
    if (piece.length > 2 && piece.startsWith("`") && piece.endsWith("`")) return h("code", {}, piece.slice(1, -1));
    if (piece.length > 4 && piece.startsWith("**") && piece.endsWith("**")) return h("strong", {}, inline(piece.slice(2, -2), marker));
    return piece;
  });
}
