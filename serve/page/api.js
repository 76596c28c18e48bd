// The public HTTP API: requests, typed errors, server-sent events, uploads with progress.

const KEY = "ragserve.key";

export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** An error of the service: OpenAI's error object, with the status and the request's id. */
export class ApiError extends Error {
  constructor(status, error, headers) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.param = error.param;
    this.requestId = headers?.get("x-request-id") ?? "";
    this.retryAfter = Number(headers?.get("retry-after") ?? 0);
  }
}

/** Relative to the page, so that it also works behind a proxy with a path. */
export const address = (path) => new URL(path, document.baseURI);

const authorization = () => (apiKey.get() ? { authorization: `Bearer ${apiKey.get()}` } : {});

async function request(path, { method = "GET", json, signal } = {}) {
  const key = apiKey.get();
  const headers = { ...authorization(), ...(json === undefined ? {} : { "content-type": "application/json" }) };
  const body = json === undefined ? undefined : JSON.stringify(json);
  let response;
  try {
    response = await fetch(address(path), { method, headers, body, signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (!response.ok) throw await refusal(response.status, await response.text(), response.headers, key);
  return response;
}

function unreachable() {
  return new ApiError(0, { message: "The service cannot be reached. Check that it runs.", code: "unreachable" });
}

/** A late refusal of a `key` that was replaced meanwhile says nothing about the present one. */
function refusal(status, text, headers, key = apiKey.get()) {
  if (status === 401 && key === apiKey.get()) document.dispatchEvent(new CustomEvent("key-needed"));
  try {
    return new ApiError(status, JSON.parse(text).error, headers);
  } catch {
    return new ApiError(status, { message: `The answer has status ${status} and is no JSON.`, code: "not_json" }, headers);
  }
}

export const getJson = async (path, signal) => (await request(path, { signal })).json();
export const getText = async (path, signal) => (await request(path, { signal })).text();
export const postJson = async (path, json, signal) => (await request(path, { method: "POST", json, signal })).json();
export const remove = async (path) => (await request(path, { method: "DELETE" })).json();

/** The readiness of each stage. A 503 has it too. */
export async function readiness() {
  try {
    return await (await fetch(address("readyz"), { cache: "no-store", credentials: "omit" })).json();
  } catch {
    throw unreachable();
  }
}

/** The JSON events of a stream of OpenAI's chunks, without [DONE]. An error inside the stream is thrown. */
export async function* streamJson(path, json, signal) {
  const response = await request(path, { method: "POST", json, signal });
  for await (const payload of dataLines(response.body)) {
    if (payload === "[DONE]") continue;
    const event = JSON.parse(payload);
    if (event.error) throw new ApiError(response.status, event.error, response.headers);
    yield event;
  }
}

async function* dataLines(body) {
  const [reader, decoder] = [body.getReader(), new TextDecoder()];
  let [pending, isComplete] = ["", false];
  try {
    while (!isComplete) {
      const { value, done } = await reader.read();
      isComplete = done;
      const lines = (pending + decoder.decode(value, { stream: !done })).split(/\r?\n/);
      pending = lines.pop();
      for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  } finally {
    if (!isComplete) reader.cancel().catch(() => {});
  }
}

/** Uploads a file. `onProgress` gets 0 to 1; fetch does not report that of a request, so this is an XMLHttpRequest. */
export function upload(file, onProgress) {
  const form = new FormData();
  form.append("purpose", "assistants");
  form.append("file", file, file.name);
  const call = new XMLHttpRequest();
  call.open("POST", address("v1/files"));
  for (const [name, value] of Object.entries(authorization())) call.setRequestHeader(name, value);
  call.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
  return new Promise((resolve, reject) => {
    const headers = { get: (name) => call.getResponseHeader(name) };
    call.addEventListener("error", () => reject(unreachable()));
    call.addEventListener("load", () => {
      if (call.status < 300) resolve(JSON.parse(call.responseText));
      else reject(refusal(call.status, call.responseText, headers));
    });
    call.send(form);
  });
}
