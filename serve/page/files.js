// The files of a vector store: their state, upload with progress, errors, deletion.

import { getJson, postJson, remove, upload } from "./api.js";
import { announce, byId, choose, h, icon, replace } from "./dom.js";
import { bytes, count, date } from "./format.js";
import { problem } from "./problem.js";
import { openSource } from "./source.js";

const PAGE = 50;
const MAX_NAME_PAGES = 3; // of all files, newest first; names that are not among these are read one by one
const POLL_MS = 1000;
const UPLOADS_AT_ONCE = 2;

const names = new Map(); // file id -> file, to show its name and size
const queue = [];
let active = 0;
let timer = null;
let app = null;
let shown = []; // the files of the store that are on the page
let hasMore = false;

export function startFiles(application) {
  app = application;
  byId("file-status").addEventListener("change", load);
  byId("file-input").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  const drop = byId("drop");
  drop.addEventListener("dragover", (event) => (event.preventDefault(), drop.classList.add("over")));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add([...event.dataTransfer.files]);
  });
  return { show: load, hide: () => clearTimeout(timer), storeChanged: () => byId("view-files").hidden || load() };
}

function add(files) {
  queue.push(...files.map((file) => ({ file, store: app.chosenStore() })));
  while (active < UPLOADS_AT_ONCE && queue.length) next();
}

async function next() {
  const { file, store } = queue.shift();
  active += 1;
  try {
    await uploadInto(store, file);
  } finally {
    active -= 1;
    if (queue.length) next();
  }
}

async function uploadInto(store, file) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
  const state = h("span", { class: "quiet" }, bytes(file.size));
  const row = h("li", { class: "upload" }, h("span", { class: "name" }, file.name), bar, state);
  byId("uploads").prepend(row);
  try {
    const stored = await upload(file, (share) => (bar.value = share));
    names.set(stored.id, stored);
    state.textContent = "uploaded, waiting";
    bar.removeAttribute("value");
    await postJson(`v1/vector_stores/${encodeURIComponent(store)}/files`, { file_id: stored.id });
    row.remove();
    announce(`${file.name} is uploaded.`);
    if (store === app.chosenStore()) load();
  } catch (error) {
    const close = h("button", { class: "icon-button", type: "button", "aria-label": `Dismiss ${file.name}`, on: { click: () => row.remove() } }, icon("close"));
    replace(row, h("span", { class: "name" }, file.name), close, problem(error));
    announce(`${file.name} was refused: ${error.message}`);
  }
}

const pathOf = (id = "") => `v1/vector_stores/${encodeURIComponent(app.chosenStore())}/files${id && `/${encodeURIComponent(id)}`}`;

async function load() {
  clearTimeout(timer);
  try {
    ({ shown, hasMore } = await pages(Math.max(1, Math.ceil(shown.length / PAGE))));
    await readNames(shown.map((file) => file.id));
    draw();
  } catch (error) {
    replace(byId("files"), problem(error, load));
    return;
  }
  if (shown.some((file) => file.status === "in_progress")) timer = setTimeout(load, POLL_MS);
}

async function pages(number) {
  const status = byId("file-status").value;
  const files = [];
  let page = { has_more: true };
  for (let each = 0; each < number && page.has_more; each += 1) {
    const after = files.length ? `&after=${encodeURIComponent(files.at(-1).id)}` : "";
    page = await getJson(`${pathOf()}?limit=${PAGE}${status && `&filter=${status}`}${after}`);
    files.push(...page.data);
  }
  return { shown: files, hasMore: page.has_more };
}

async function readNames(ids) {
  const missing = () => ids.filter((id) => !names.has(id));
  let after = "";
  for (let each = 0; each < MAX_NAME_PAGES && missing().length; each += 1) {
    const page = await getJson(`v1/files?limit=100${after && `&after=${encodeURIComponent(after)}`}`);
    for (const file of page.data) names.set(file.id, file);
    if (!page.has_more) break;
    after = page.last_id;
  }
  await Promise.all(missing().map(async (id) => names.set(id, await getJson(`v1/files/${encodeURIComponent(id)}`).catch(() => ({ id, filename: id, bytes: 0 })))));
}

function draw() {
  if (!shown.length) {
    replace(byId("files"), h("p", { class: "empty" }, byId("file-status").value ? "No file has this state." : "This vector store has no files yet."));
    return;
  }
  replace(byId("files"),
    shown.some((file) => file.status === "failed") &&
      h("p", { class: "row end" }, h("button", { class: "button small", type: "button", on: { click: replay } }, "Ingest failed files again")),
    h("ul", { class: "rows" }, shown.map((file) => h("li", {}, row(file)))),
    hasMore && h("button", { class: "button", type: "button", on: { click: showMore } }, "Show more"));
}

async function replay() {
  try {
    const { replayed } = await postJson("v1/dead_letters/replay", { vector_store_id: app.chosenStore() });
    announce(`To be ingested again: ${count(replayed, "file")}.`);
    await load();
  } catch (error) {
    byId("files").prepend(problem(error));
  }
}

async function showMore() {
  shown = [...shown, {}]; // one more page than before
  await load();
}

function row(file) {
  const { filename, bytes: size } = names.get(file.id);
  const open = () => openSource({ file_id: file.id, filename }, app.chosenStore());
  return h("article", { class: "file", dataset: { status: file.status } },
    h("div", { class: "file-main" },
      file.status === "completed"
        ? h("button", { class: "file-name", type: "button", on: { click: open } }, filename)
        : h("span", { class: "file-name" }, filename),
      h("p", { class: "quiet" }, [bytes(size), file.version > 1 && `version ${file.version}`, date(file.created_at)].filter(Boolean).join(" · ")),
      failure(file),
      report(file.parse_report)),
    state(file),
    h("button", { class: "icon-button", type: "button", "aria-label": `Delete ${filename}`, on: { click: () => deleteFile(file, filename) } }, icon("trash")));
}

function state(file) {
  if (file.status !== "in_progress") return h("span", { class: "status" }, file.status === "completed" ? "searchable" : file.status);
  const progress = file.progress;
  const total = progress?.chunks_total;
  return h("span", { class: "status" }, progress?.state ?? "queued",
    h("progress", { max: total || 1, value: total ? progress.chunks_done : undefined, "aria-label": "Ingestion" }));
}

function failure(file) {
  if (!file.last_error) return null;
  const { code, reason, message, attempts } = file.last_error;
  return h("p", { class: "failure" }, icon("alert"),
    h("span", {}, message, h("span", { class: "facts" }, [` ${reason ?? code}`, attempts && count(attempts, "attempt")].filter(Boolean).join(" · "))));
}

function report(parsed) {
  if (!parsed?.warnings.length) return null;
  return h("details", {}, h("summary", {}, count(parsed.warnings.length, "warning")), h("ul", {}, parsed.warnings.map((text) => h("li", {}, text))));
}

async function deleteFile(file, filename) {
  const choice = await choose(`Delete ${filename}?`, "No search returns a deleted file from now on. This cannot be undone.", [
    { value: "detach", label: "Remove from this store" },
    { value: "delete", label: "Delete everywhere", kind: "danger" },
  ]);
  if (!choice) return;
  try {
    await remove(choice === "detach" ? pathOf(file.id) : `v1/files/${encodeURIComponent(file.id)}`);
    announce(`${filename} is deleted.`);
    await load();
  } catch (error) {
    byId("files").prepend(problem(error));
  }
}
