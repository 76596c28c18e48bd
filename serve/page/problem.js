// An error of the service, as people see it: what is wrong, where, and what the log calls it.

import { h, icon } from "./dom.js";

const TITLES = {
  unreachable: "No connection",
  invalid_api_key: "The key is not valid",
  overloaded: "The service is busy",
  stage_unavailable: "A stage does not answer",
  deadline_exceeded: "It took too long",
  payload_too_large: "The file is too large",
  unreadable_document: "The document cannot be read",
  not_found: "Not found",
  conflict: "Not possible now",
  internal_error: "The service failed",
};

export function problem(error, retry) {
  const facts = [error.code, error.param && `field ${error.param}`, error.requestId && `request ${error.requestId}`];
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  return h("div", { class: "problem", role: "alert" },
    icon("alert"),
    h("div", {},
      h("strong", {}, TITLES[error.code] ?? "The request was refused"),
      h("p", {}, `${error.message}${wait}`),
      h("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      retry && h("button", { class: "button small", type: "button", on: { click: retry } }, "Try again")));
}
