// Numbers, times and elements for people to read.

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const WHOLE = new Intl.NumberFormat();
const COMPACT = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

/** The name of the time zone in which times are shown. */
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** `temperature_max` as people write it. */
export const words = (name) => name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());

/** A number with as many decimals as its size deserves. */
export function number(value, unit = "") {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  const digits = Number.isInteger(value) ? 0 : size >= 1000 ? 0 : size >= 100 ? 1 : size >= 0.1 || size === 0 ? 1 : 3;
  const text = value.toLocaleString(undefined, { maximumFractionDigits: digits, minimumFractionDigits: digits > 1 ? 0 : digits });
  return unit ? `${text}${unit === "°" || unit === "%" ? "" : "\u202f"}${unit}` : text;
}

export const count = (value) => (value === null || value === undefined ? "–" : WHOLE.format(value));

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let [size, unit] = [Number(value), 0];
  while (size >= 1024 && unit < 4) [size, unit] = [size / 1024, unit + 1];
  return `${COMPACT.format(Number(size.toPrecision(3)))}\u202f${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  const of = (value, unit) => `${COMPACT.format(Number(value.toPrecision(3)))}\u202f${unit}`;
  if (ms < 1000) return of(ms, "ms");
  if (ms < 60_000) return of(ms / 1000, "s");
  if (ms < 3_600_000) return of(ms / 60_000, "min");
  return ms < 86_400_000 * 2 ? of(ms / 3_600_000, "h") : of(ms / 86_400_000, "days");
}

/** An instant as RFC 3339 text, as ms. */
export const instant = (text) => (text ? Date.parse(text) : NaN);

export const time = (ms) => (Number.isFinite(ms) ? TIME.format(ms) : "–");
export const dateTime = (ms) => (Number.isFinite(ms) ? SHORT.format(ms) : "–");
export const exactly = (ms) => (Number.isFinite(ms) ? FULL.format(ms) : "–");

/** Seconds in the unit that fits. */
function rounded(seconds) {
  if (seconds < 100) return [seconds, "s"];
  if (seconds < 100 * 60) return [Math.round(seconds / 60), "min"];
  return seconds < 48 * 3600 ? [Math.round(seconds / 3600), "h"] : [Math.round(seconds / 86_400), "days"];
}

/** How long ago. */
export function ago(ms, now = Date.now()) {
  if (!Number.isFinite(ms)) return "–";
  const seconds = Math.round((now - ms) / 1000);
  if (Math.abs(seconds) < 5) return "now";
  const [size, unit] = rounded(Math.abs(seconds));
  const text = `${WHOLE.format(size)}\u202f${unit}`;
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

/** An element with properties, attributes (`aria-…`, `role`, `for`), and children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key.includes("-") || ["role", "for", "colspan", "scope", "list"].includes(key)) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A table of rows: each column has a title, a cell, and whether it holds numbers. */
export function table(caption, columns, rows) {
  const head = columns.map((of) => element("th", { scope: "col", className: of.isNumber ? "number" : "" }, of.title));
  const body = rows.map((row) =>
    element("tr", {}, columns.map((of) => element("td", { className: of.isNumber ? "number" : (of.className ?? "") }, of.cell(row) ?? "–"))),
  );
  return element(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
    element("table", {}, element("caption", { className: "hidden" }, caption), element("thead", {}, element("tr", {}, head)), element("tbody", {}, body)),
  );
}
