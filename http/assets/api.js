// Requests to the server's HTTP API: with the token of who signed in, with errors as the server words them, and with
// word of whether it answers at all. All addresses are relative, so that the page works behind a prefix.

const TOKEN = "barograph.token";
const AGAIN_MS = [1000, 2000, 4000, 8000];

/** Sends `reachable`, `unreachable`, `refused` (sign in) and `signed` (in or out). */
export const events = new EventTarget();

let reachable = true;
let attempts = 0;

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const isReachable = () => reachable;
export const token = () => sessionStorage.getItem(TOKEN) ?? "";

export function signIn(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
  events.dispatchEvent(new Event("signed"));
}

function found() {
  attempts = 0;
  if (reachable) return;
  reachable = true;
  events.dispatchEvent(new Event("reachable"));
}

function lost() {
  if (!reachable) return;
  reachable = false;
  events.dispatchEvent(new Event("unreachable"));
  look();
}

/** Asks until the server answers again. */
function look() {
  const after = AGAIN_MS[Math.min(attempts, AGAIN_MS.length - 1)];
  attempts += 1;
  setTimeout(async () => {
    try {
      await fetch("ping", { cache: "no-store" });
      found();
    } catch {
      look();
    }
  }, after);
}

/** A URL of the API: a path and parameters, of which those that are undefined are left out. */
export function url(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null) query.append(name, String(value));
  }
  return query.size ? `${path}?${query}` : path;
}

/** The answer to a request; throws an ApiError if there is none or it is a failure. */
export async function request(address, options = {}) {
  const headers = new Headers(options.headers);
  if (token()) headers.set("authorization", `Bearer ${token()}`);
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new ApiError(0, "The server does not answer.");
  }
  found();
  if (response.ok) return response;
  let detail = `${response.status} ${response.statusText}`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch {
    // A failure without a body that says more.
  }
  if (response.status === 401) events.dispatchEvent(new Event("refused"));
  throw new ApiError(response.status, detail);
}

/** Reads a body; one that is cut off is a failure, too. */
async function whole(reading, signal) {
  try {
    return await reading;
  } catch (error) {
    if (signal?.aborted || error.name === "AbortError") throw error;
    throw new ApiError(0, "The answer was cut off: ask again.");
  }
}

export async function json(path, parameters, options) {
  const response = await request(url(path, parameters), options);
  return whole(response.json(), options?.signal);
}

/** Rows as columns of text, by name, with the headers of the answer. */
export async function csv(path, parameters, options) {
  const response = await request(url(path, { ...parameters, format: "csv" }), options);
  const lines = parse(await whole(response.text(), options?.signal));
  const names = lines.shift() ?? [];
  return { names, lines, headers: response.headers };
}

/** Rows of a statement as objects. */
export function sql(query, parameters = [], options = {}) {
  return statement(query, parameters, "json", options).then((response) => whole(response.json(), options.signal));
}

/** The answer to a statement in a format. */
export function statement(query, parameters, format, options = {}) {
  return request(url("api/v1/sql", { format }), {
    ...options,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, parameters }),
  });
}

/** The first rows of a statement as they come; `isCut` says that there are more. */
export async function firstRows(query, rowsMax, options, onRows) {
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const response = await statement(query, [], "ndjson", { ...options, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const rows = [];
  let rest = "";
  for (;;) {
    const { value, done } = await whole(reader.read(), options.signal);
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line) continue;
      if (rows.length === rowsMax) {
        stop.abort();
        return { rows, isCut: true };
      }
      const row = JSON.parse(line);
      if (isFailure(row)) throw new ApiError(row.error.status ?? 0, row.error.detail);
      rows.push(row);
    }
    if (done) return { rows, isCut: false };
    onRows?.(rows.length);
  }
}

/** Whether a line of NDJSON tells that the answer failed on the way. */
const isFailure = (row) => row.error?.type?.startsWith?.("urn:barograph:problem:") && Object.keys(row).length === 1;

/** Follows server-sent events until `signal` ends it, through failures of the connection. */
export async function follow(path, parameters, signal, onRows) {
  let last;
  for (let failed = 0; !signal.aborted; ) {
    try {
      const headers = { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) };
      const response = await request(url(path, parameters), { headers, signal, cache: "no-store" });
      failed = 0;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = (text + value).split("\n\n");
        text = parts.pop();
        for (const part of parts) last = event(part, onRows) ?? last;
      }
    } catch (error) {
      if (signal.aborted) return;
      // What is refused stays refused.
      if ([400, 401, 403, 404].includes(error.status)) return;
      failed += 1;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS[Math.min(failed, AGAIN_MS.length - 1)]));
  }
}

function event(text, onRows) {
  let id;
  const data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("id:")) id = line.slice(3).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trim());
  }
  if (data.length) onRows(JSON.parse(data.join("\n")));
  return id;
}

/** Lines of CSV as lists of text. */
export function parse(text) {
  const lines = [];
  if (!text.includes('"')) {
    for (const line of text.split("\n")) if (line) lines.push(line.split(","));
    return lines;
  }
  let line = [];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (quoted) {
      if (sign !== '"') cell += sign;
      else if (text[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else quoted = false;
    } else if (sign === '"') quoted = true;
    else if (sign === ",") {
      line.push(cell);
      cell = "";
    } else if (sign === "\n") {
      line.push(cell);
      lines.push(line);
      line = [];
      cell = "";
    } else if (sign !== "\r") cell += sign;
  }
  if (cell || line.length) {
    line.push(cell);
    lines.push(line);
  }
  return lines;
}
