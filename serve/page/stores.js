// Vector stores: their files by state, size and index; create, choose, delete.

import { postJson, remove } from "./api.js";
import { announce, byId, choose, h, icon, replace } from "./dom.js";
import { bytes, count, date } from "./format.js";
import { problem } from "./problem.js";

const POLL_MS = 2000;
let app = null;
let timer = null;

export function startStores(application) {
  app = application;
  byId("store-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await attempt(async () => {
      const store = await postJson("v1/vector_stores", { name: byId("store-name").value.trim() });
      byId("store-name").value = "";
      await load();
      app.chooseStore(store.id);
      announce(`${store.name} is created and chosen.`);
    });
  });
  return { show: load, hide: () => clearTimeout(timer), storeChanged: () => byId("view-stores").hidden || load() };
}

async function attempt(action) {
  byId("store-problem").replaceChildren();
  try {
    await action();
  } catch (error) {
    replace(byId("store-problem"), problem(error));
  }
}

async function load() {
  clearTimeout(timer);
  await attempt(async () => {
    const stores = await app.loadStores();
    replace(byId("stores"), stores.length ? h("ul", { class: "rows" }, stores.map((store) => h("li", {}, row(store)))) : h("p", { class: "empty" }, "There is no vector store yet. The first upload makes one."));
    if (stores.some((store) => store.file_counts.in_progress || store.index.building)) timer = setTimeout(load, POLL_MS);
  });
}

function row(store) {
  const name = store.name || store.id;
  const isChosen = store.id === app.chosenStore();
  return h("article", { class: "file", dataset: { chosen: String(isChosen) } },
    h("div", { class: "file-main" },
      h("span", { class: "file-name" }, name, isChosen && h("span", { class: "chip" }, "chosen")),
      h("p", { class: "quiet" }, facts(store).join(" · ")),
      h("p", { class: "facts" }, [store.id, store.index.generation && `index ${store.index.generation}`, store.index.building && "a new index is being built"].filter(Boolean).join(" · "))),
    !isChosen && h("button", { class: "button small", type: "button", on: { click: () => app.chooseStore(store.id) } }, "Choose"),
    h("button", { class: "icon-button", type: "button", "aria-label": `Delete ${name}`, on: { click: () => deleteStore(store, name) } }, icon("trash")));
}

function facts(store) {
  const { completed, in_progress: pending, failed } = store.file_counts;
  return [
    count(completed, "file"),
    pending && `${pending} in progress`,
    failed && `${failed} failed`,
    bytes(store.usage_bytes),
    store.expires_at && `expires ${date(store.expires_at)}`,
    store.status !== "completed" && store.status !== "in_progress" && store.status,
  ].filter(Boolean);
}

async function deleteStore(store, name) {
  const choice = await choose(`Delete ${name}?`, "Its index is deleted. The files themselves stay.", [{ value: "delete", label: "Delete", kind: "danger" }]);
  if (!choice) return;
  await attempt(async () => {
    await remove(`v1/vector_stores/${encodeURIComponent(store.id)}`);
    announce(`${name} is deleted.`);
    await load();
  });
}
