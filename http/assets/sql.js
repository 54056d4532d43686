// Statements of SQL: typed with completion, answered as a table and a chart, and downloaded as CSV or Parquet.

import { firstRows, statement } from "./api.js";
import { Chart } from "./chart.js";
import { Completion } from "./completion.js";
import { count, duration, element, instant, number, table } from "./format.js";

const by = (id) => document.getElementById(id);
const KEPT = "barograph.statement";
/** Rows that are read into the page, and rows of them that are shown at first. */
const [ROWS_MAX, SHOWN] = [10_000, 200];
const SERIES_MAX = 8;
const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/;

const EXAMPLES = {
  "The warmest places now": "SELECT name, country, temperature, reading_at\nFROM latest('readings') JOIN cities USING (city_id)\nORDER BY temperature DESC NULLS LAST\nLIMIT 20",
  "Hourly means of a city": "SELECT date_bin(INTERVAL '1 hour', reading_at) AS hour,\n  avg(temperature) AS mean, min(temperature) AS least, max(temperature) AS most\nFROM readings\nWHERE city_id = 2988507 AND reading_at >= now() - INTERVAL '1 day'\nGROUP BY 1\nORDER BY 1",
  "Mean temperature by country": "SELECT country, count(*) AS places, avg(temperature) AS temperature\nFROM latest('readings') JOIN cities USING (city_id)\nGROUP BY country\nORDER BY places DESC\nLIMIT 20",
  "Hours and their readings": "SELECT hour, sum(received) AS received, sum(expected) AS expected\nFROM system.completeness\nWHERE table_name = 'readings' AND hour > now() - INTERVAL '1 day'\nGROUP BY hour\nORDER BY hour",
  "Files of the lake": "SELECT table_name, tier, count(*) AS files, sum(rows) AS rows, sum(bytes) AS bytes\nFROM system.files\nGROUP BY 1, 2\nORDER BY 1, 2",
};

export class SqlView {
  constructor() {
    this.input = by("statement");
    this.input.value = sessionStorage.getItem(KEPT) ?? EXAMPLES["The warmest places now"];
    this.completion = new Completion(this.input, by("words"));
    by("examples").append(...Object.keys(EXAMPLES).map((name) => element("option", { value: name }, name)));
    by("examples").addEventListener("change", () => this.take(by("examples").value));
    by("ask").addEventListener("submit", (event) => (event.preventDefault(), this.run()));
    by("stop").addEventListener("click", () => this.asking?.abort());
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.run();
      }
    });
    for (const button of document.querySelectorAll("[data-format]")) button.addEventListener("click", () => this.download(button.dataset.format));
  }

  show() {
    if (!this.completion.known) this.completion.load();
  }

  renew() {
    this.completion.load();
  }

  take(name) {
    by("examples").value = "";
    if (!EXAMPLES[name]) return;
    this.input.value = EXAMPLES[name];
    this.run();
  }

  text() {
    const text = this.input.value.trim().replace(/;\s*$/, "");
    sessionStorage.setItem(KEPT, text);
    return text;
  }

  fail(error) {
    by("failed").hidden = !error;
    by("failed").textContent = error?.message ?? "";
  }

  async run() {
    const text = this.text();
    if (!text) return;
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    this.fail();
    by("stop").hidden = false;
    by("asked").textContent = "Running …";
    const begun = performance.now();
    try {
      const told = (rows) => (by("asked").textContent = `${count(rows)} rows so far …`);
      const { rows, isCut } = await firstRows(text, ROWS_MAX, { signal: asking.signal }, told);
      const took = duration(performance.now() - begun);
      by("asked").textContent = isCut ? `The first ${count(rows.length)} rows in ${took}; a download has all.` : `${count(rows.length)} ${rows.length === 1 ? "row" : "rows"} in ${took}.`;
      this.answer(rows);
    } catch (error) {
      // Another statement has taken its place.
      if (this.asking !== asking) return;
      by("asked").textContent = asking.signal.aborted ? "Stopped." : "";
      if (!asking.signal.aborted) this.fail(error);
    } finally {
      if (this.asking === asking) by("stop").hidden = true;
    }
  }

  /** Shows rows: as a chart, if they can be one, and as a table. */
  answer(rows) {
    this.chart?.end();
    this.chart = undefined;
    by("answer").replaceChildren();
    if (!rows.length) return;
    // Columns that are null in the first rows may be left out there.
    const names = [...new Set(rows.slice(0, 100).flatMap((row) => Object.keys(row)))];
    const columns = names.map((name) => ({ name, kind: kindOf(rows, name) }));
    const chart = this.plotted(rows, columns);
    if (chart) by("answer").append(chart.element);
    chart?.draw();
    by("answer").append(listed(rows, columns));
  }

  /** A figure with choices of what is drawn. */
  plotted(rows, columns) {
    const numbers = columns.filter((of) => of.kind === "number");
    const across = columns.filter((of) => of.kind !== "other");
    if (!numbers.length || rows.length < 2) return undefined;
    // Times that are nearly all the same are no axis.
    const isSpread = (of) => new Set(rows.map((row) => row[of.name])).size > rows.length / 2;
    const x = columns.find((of) => of.kind === "time" && isSpread(of)) ?? columns.find((of) => of.kind === "text") ?? numbers[0];
    const of = element("select", {}, across.map((one) => element("option", { value: one.name, selected: one === x }, one.name)));
    const boxes = element("div", { className: "boxes", role: "group", "aria-label": "Columns drawn" });
    const host = element("div");
    const offered = () => numbers.filter((one) => one.name !== of.value);
    const choose = () => {
      const drawn = offered();
      const keys = drawn.filter((one) => !/(^|_)id$|^key$/.test(one.name));
      const first = keys.length ? keys : drawn;
      boxes.replaceChildren(...drawn.map((one) => element("label", {}, element("input", { type: "checkbox", value: one.name, checked: first.indexOf(one) >= 0 && first.indexOf(one) < SERIES_MAX && alike(rows, first[0], one), onchange: draw }), one.name)));
      draw();
    };
    const draw = () => {
      this.chart?.end();
      this.chart = undefined;
      const names = [...boxes.querySelectorAll("input:checked")].map((box) => box.value).slice(0, SERIES_MAX);
      const across = columns.find((one) => one.name === of.value);
      if (!names.length) host.replaceChildren(element("p", { className: "note" }, "Choose a column to draw."));
      else if (across.kind === "text") host.replaceChildren(bars(rows, across.name, names[0]));
      else this.chart = new Chart(host, lines(rows, across, names));
    };
    of.addEventListener("change", choose);
    return { element: element("figure", { className: "card" }, element("figcaption", { className: "bar" }, element("label", { className: "field inline" }, element("span", {}, "Along"), of), boxes), host), draw: choose };
  }

  async download(format) {
    const text = this.text();
    if (!text) return;
    this.fail();
    by("asked").textContent = `Downloading ${format === "csv" ? "CSV" : "Parquet"} …`;
    try {
      const response = await statement(text, [], format);
      const blob = await response.blob();
      const link = element("a", { href: URL.createObjectURL(blob), download: `barograph.${format}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      by("asked").textContent = `${count(blob.size)} bytes downloaded.`;
    } catch (error) {
      by("asked").textContent = "";
      this.fail(error);
    }
  }
}

/** What a column holds, by its values. */
function kindOf(rows, name) {
  const value = rows.find((row) => row[name] !== null && row[name] !== undefined)?.[name];
  if (typeof value === "number") return "number";
  if (typeof value === "string") return TIME.test(value) ? "time" : "text";
  return "other";
}

/** Whether two columns of numbers can share an axis: the larger is not much larger. */
function alike(rows, first, other) {
  const size = (of) => Math.max(...rows.slice(0, 1000).map((row) => Math.abs(row[of.name] ?? 0)), 1e-9);
  const ratio = size(first) / size(other);
  return ratio < 50 && ratio > 1 / 50;
}

function lines(rows, across, names) {
  const isTime = across.kind === "time";
  const at = (row) => (isTime ? instant(row[across.name]) / 1000 : row[across.name]);
  const sorted = rows.filter((row) => Number.isFinite(at(row))).sort((a, b) => at(a) - at(b));
  const x = sorted.map(at);
  const isOrdered = x.every((value, index) => index === 0 || value > x[index - 1]);
  return {
    title: `${names.join(", ")} along ${across.name}`,
    xTitle: across.name,
    isTime,
    isDots: !isOrdered,
    height: 280,
    x,
    series: names.map((name, colour) => ({ label: name, colour, values: sorted.map((row) => row[name] ?? null) })),
  };
}

/** Bars of the first rows, by name. */
function bars(rows, across, name) {
  const shown = rows.slice(0, 40);
  const values = shown.map((row) => row[name] ?? 0);
  const [least, most] = [Math.min(0, ...values), Math.max(0, ...values)];
  const wide = most - least || 1;
  const lines = shown.map((row) => {
    const value = row[name] ?? 0;
    const fill = element("span", { className: "fill" });
    fill.style.left = `${((Math.min(value, 0) - least) / wide) * 100}%`;
    fill.style.width = `${(Math.abs(value) / wide) * 100}%`;
    return element("li", {}, element("span", { className: "name", title: row[across] ?? "" }, row[across] ?? "–"), element("span", { className: "track" }, fill), element("span", { className: "number" }, number(row[name])));
  });
  const note = rows.length > shown.length ? element("p", { className: "note" }, `The first ${shown.length} rows.`) : null;
  return element("div", {}, element("ul", { className: "bars", "aria-label": `${name} by ${across}` }, lines), note);
}

function listed(rows, columns) {
  const cells = columns.map(({ name, kind }) => ({
    title: name,
    isNumber: kind === "number",
    cell: (row) => {
      const value = row[name];
      if (value === null || value === undefined) return element("span", { className: "null" }, "null");
      if (kind === "time") return element("time", { title: value }, value.length > 10 ? value.replace("T", " ").replace(/Z$|\+00:00$/, "") : value);
      return typeof value === "object" ? JSON.stringify(value) : String(value);
    },
  }));
  const box = element("div", { className: "card" });
  const show = (most) => {
    const more = rows.length > most ? element("button", { type: "button", onclick: () => show(most * 5) }, `Show more of ${count(rows.length)} rows`) : null;
    box.replaceChildren(table("Answer", cells, rows.slice(0, most)), ...(more ? [more] : []));
  };
  show(SHOWN);
  return box;
}

