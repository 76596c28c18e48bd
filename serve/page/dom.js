// Elements and text. Every string becomes a text node: nothing here can create markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `options`: class, on (listeners), dataset, any other attribute; true is an empty attribute. */
export function h(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

const present = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

export const byId = (id) => document.getElementById(id);

export function replace(element, ...children) {
  element.replaceChildren(...present(children));
}

/** A symbol of the sprite in index.html. It is decoration: a button with it needs a name of its own. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Says a short sentence to screen readers. */
export function announce(text) {
  byId("announcer").textContent = text;
}

export function debounce(call, delayMs) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), delayMs);
  };
}

/** Asks with a dialog. Resolves to the value of the chosen button, or "" if it was closed. */
export function choose(title, text, choices) {
  const dialog = byId("confirm");
  const buttons = choices.map(({ value, label, kind }) => h("button", { value, class: `button ${kind ?? ""}` }, label));
  replace(
    dialog,
    h("form", { method: "dialog" },
      h("h2", { id: "confirm-title" }, title),
      h("p", {}, text),
      h("div", { class: "row end" }, h("button", { value: "", class: "button plain" }, "Cancel"), buttons)),
  );
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}
