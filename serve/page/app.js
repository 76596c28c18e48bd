// Starts the page: views by the address' fragment, the chosen vector store, the key, and the service's state.

import { apiKey, getJson, readiness } from "./api.js";
import { startAsk } from "./ask.js";
import { byId, h, replace } from "./dom.js";
import { startFiles } from "./files.js";
import { count } from "./format.js";
import { startModels } from "./models.js";
import { startSearch } from "./search.js";
import { closeSource } from "./source.js";
import { startStores } from "./stores.js";

const STORE = "ragserve.store";
const MAX_STORES = 1000; // in the choice; more would be no choice
const STATE_EVERY_MS = 15_000;

const chosenStore = () => byId("store").value || "default";

let fileCounts = new Map(); // searchable files by store
const app = { chosenStore, chooseStore, loadStores };
const views = {
  ask: startAsk(app),
  search: startSearch(app),
  files: startFiles(app),
  stores: startStores(app),
  models: startModels(app),
};

function showView() {
  const name = location.hash.replace("#/", "");
  const current = name in views ? name : "ask";
  for (const [id, view] of Object.entries(views)) {
    byId(`view-${id}`).hidden = id !== current;
    if (id !== current) view.hide?.();
  }
  for (const link of document.querySelectorAll(".views a")) {
    if (link.getAttribute("href") === `#/${current}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${byId(`${current}-title`).textContent} · ragserve`;
  closeSource();
  views[current].show?.();
}

async function allStores() {
  const stores = [];
  let page = { has_more: true };
  while (page.has_more && stores.length < MAX_STORES) {
    page = await getJson(`v1/vector_stores?limit=100${stores.length ? `&after=${encodeURIComponent(page.last_id)}` : ""}`);
    stores.push(...page.data);
  }
  return stores;
}

async function loadStores() {
  const stores = (await allStores()).sort((a, b) => (b.id === "default") - (a.id === "default"));
  const before = sessionStorage.getItem(STORE) ?? "default";
  const ids = stores.length ? stores : [{ id: "default", name: "" }];
  replace(byId("store"), ids.map((store) => h("option", { value: store.id }, store.name || store.id)));
  byId("store").value = ids.some((store) => store.id === before) ? before : ids[0].id;
  fileCounts = new Map(stores.map((store) => [store.id, store.file_counts.completed]));
  showStoreFiles();
  return stores;
}

function showStoreFiles() {
  const number = fileCounts.get(chosenStore()) ?? 0;
  const invitation = ["This vector store is empty. ", h("a", { href: "#/files" }, "Add the first file"), "."];
  replace(byId("store-files"), number ? `${count(number, "file")} can be searched.` : invitation);
}

function chooseStore(id) {
  sessionStorage.setItem(STORE, id);
  byId("store").value = id;
  showStoreFiles();
  for (const view of Object.values(views)) view.storeChanged?.();
}

async function showState() {
  if (document.hidden) return;
  const [state, text] = await currentState();
  byId("state").dataset.state = state;
  byId("state-text").textContent = text;
}

async function currentState() {
  try {
    const { ready, stages } = await readiness();
    const missing = Object.keys(stages).filter((stage) => !stages[stage].ready);
    if (!missing.length) return ["ready", "Ready"];
    return [ready ? "partial" : "down", `${missing.join(", ")} not ready`];
  } catch {
    return ["down", "Not reachable"];
  }
}

const KEY_NEEDED = "This service needs a key. It stays in this tab, and is gone when you close it.";
const KEY_UNKNOWN = "The service does not know this key. Check it, or ask the operator for another.";

function askForKey(why) {
  const dialog = byId("key-dialog");
  if (dialog.open) return;
  if (why) byId("key-why").textContent = why;
  byId("key-input").value = apiKey.get();
  dialog.returnValue = "";
  dialog.showModal();
}

function start() {
  addEventListener("hashchange", showView);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  byId("store").addEventListener("change", () => chooseStore(byId("store").value));
  byId("open-key").addEventListener("click", () => askForKey());
  document.addEventListener("key-needed", () => askForKey(apiKey.get() ? KEY_UNKNOWN : KEY_NEEDED));
  for (const button of document.querySelectorAll("#key-form [data-choice]"))
    button.addEventListener("click", () => byId("key-dialog").close(button.dataset.choice)); // Enter uses the key
  byId("key-dialog").addEventListener("close", () => {
    const choice = byId("key-dialog").returnValue;
    if (choice !== "use" && choice !== "forget") return;
    apiKey.set(choice === "use" ? byId("key-input").value.trim() : "");
    refresh();
  });
  document.addEventListener("visibilitychange", showState);
  setInterval(showState, STATE_EVERY_MS);
  showState();
  refresh();
}

async function refresh() {
  await loadStores().catch(() => {}); // each view shows its own error
  views.ask.loadModels();
  showView();
}

start();
