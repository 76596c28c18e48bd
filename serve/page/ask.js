// Ask: a conversation, streamed, with its citations and how each answer was made.

import { getJson, streamJson } from "./api.js";
import { answerBlocks, isQuoted, quotedBlocks } from "./answer.js";
import { announce, byId, h, icon, replace } from "./dom.js";
import { count } from "./format.js";
import { made, sources, verdict } from "./evidence.js";
import { problem } from "./problem.js";
import { openSource } from "./source.js";

const turns = []; // { question, answer }: what was answered, and is sent with the next question
let running = null;

export function startAsk(app) {
  const question = byId("question");
  byId("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else if (question.value.trim()) ask(app, question.value.trim());
  });
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!running) byId("ask-form").requestSubmit(); // only the button stops an answer
  });
  byId("new-conversation").addEventListener("click", startOver);
  return { show: () => matchMedia("(pointer: fine)").matches && question.focus(), storeChanged: startOver, loadModels };
}

function startOver() {
  running?.abort();
  turns.length = 0;
  byId("turns").replaceChildren();
  byId("welcome").hidden = false;
  byId("new-conversation").hidden = true;
  byId("question").focus();
}

async function loadModels() {
  const chosen = byId("model").value;
  const page = await getJson("v1/models").catch(() => ({ data: [{ id: "ragserve" }] }));
  replace(byId("model"), page.data.map((model) => h("option", { value: model.id }, model.id)));
  if (page.data.some((model) => model.id === chosen)) byId("model").value = chosen;
}

async function ask(app, text) {
  const store = app.chosenStore();
  const view = new Turn(text, store);
  byId("welcome").hidden = true;
  byId("new-conversation").hidden = false;
  byId("turns").append(view.element);
  byId("question").value = "";
  view.element.scrollIntoView({ block: "start", behavior: "smooth" });
  setRunning(new AbortController());
  announce("Answering.");
  const controller = running;
  try {
    for await (const chunk of streamJson("v1/chat/completions", requestOf(text, store), controller.signal)) view.read(chunk);
    view.finish();
    turns.push({ question: text, answer: view.text });
    announce(`The answer is complete, with ${count(view.last?.citations.length ?? 0, "citation")}.`);
  } catch (error) {
    if (error.name === "AbortError") view.stop();
    else view.fail(error, () => (view.element.remove(), ask(app, text)));
  } finally {
    if (running === controller) setRunning(null);
  }
}

function setRunning(controller) {
  running = controller;
  byId("send").setAttribute("aria-label", controller ? "Stop" : "Ask");
  replace(byId("send"), icon(controller ? "stop" : "send"));
  byId("question").required = !controller;
}

function requestOf(text, store) {
  const history = turns.flatMap((turn) => [
    { role: "user", content: turn.question },
    { role: "assistant", content: turn.answer },
  ]);
  return {
    model: byId("model").value,
    messages: [...history, { role: "user", content: text }],
    stream: true,
    vector_store_ids: [store],
    top_k: byId("top-k").valueAsNumber || 5,
    mode: byId("mode").value,
    grounded: byId("grounded").value,
    ...(byId("length").value && { length: byId("length").value }),
  };
}

/** One question and its answer on the page. */
class Turn {
  constructor(question, store) {
    this.store = store;
    this.question = question;
    this.text = "";
    this.last = null;
    this.answer = h("div", { class: "answer", "aria-live": "polite", "aria-busy": "true" }, h("p", { class: "waiting" }, "Searching the documents …"));
    this.details = h("div", { class: "details" });
    this.element = h("article", { class: "turn" }, h("h2", { class: "question" }, question), this.answer, this.details);
  }

  read(chunk) {
    const choice = chunk.choices[0];
    if (choice?.delta.content) {
      this.text += choice.delta.content;
      this.draw();
    }
    if (chunk.timings) this.last = { ...chunk, annotations: choice.delta.annotations ?? [] };
  }

  /** At most once a frame: a fast model sends more chunks than a screen can show. */
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (!this.last) replace(this.answer, answerBlocks(this.text, [], () => null));
    });
  }

  finish() {
    cancelAnimationFrame(this.frame);
    const { citations = [], annotations = [] } = this.last ?? {};
    const marker = (id) => this.marker(citations.find((citation) => citation.id === id), id, citations);
    const blocks = isQuoted(this.text, citations) ? quotedBlocks : answerBlocks;
    replace(this.answer, blocks(this.text, annotations, marker));
    this.answer.setAttribute("aria-busy", "false");
    if (this.last) this.explain(citations);
  }

  explain(citations) {
    const open = (place, places) => openSource(place, this.store, places);
    replace(this.details, verdict(this.last, this.question), sources(citations, this.last.passages, open), made(this.last));
  }

  marker(citation, id, citations) {
    if (!citation) return `[${id}]`;
    const label = `Source ${id}: ${citation.filename}${citation.location ? `, ${citation.location.label}` : ""}`;
    return h("button", {
      class: "cite", type: "button", "aria-label": label, title: label,
      on: { click: () => openSource(citation, this.store, citations) },
    }, String(id));
  }

  stop() {
    this.answer.setAttribute("aria-busy", "false");
    replace(this.details, h("p", { class: "note" }, "Stopped. This answer is not part of the conversation."));
    if (!this.text) this.answer.replaceChildren();
    announce("Stopped.");
  }

  fail(error, retry) {
    this.answer.setAttribute("aria-busy", "false");
    if (!this.text) this.answer.replaceChildren();
    replace(this.details, problem(error, retry));
  }
}
