// The chosen places: what they report now, as it comes; their last day and year as lines with bands between least and
// most; how complete their readings are, and which of them were flagged as doubtful.

import { follow, json, sql } from "./api.js";
import { Chart, SERIES } from "./chart.js";
import { kindOf } from "./colours.js";
import { ago, count, dateTime, element, exactly, instant, number, table, words } from "./format.js";
import { columnsOf, label, quoted } from "./model.js";

export const PLACES_MAX = 6;
const [HOUR, DAY] = [3600, 86_400];
/** Days that a chart of days has at least. */
const FEWEST_DAYS = 14;
const FLAGS = ["step", "persistence", "neighbour"];
/** How often what is past is read again. */
const AGAIN_MS = 60_000;

export class Chosen {
  /** Beside the map; `onChoose` is told of the keys that are to be chosen instead. */
  constructor(model, onChoose) {
    this.model = model;
    this.onChoose = onChoose;
    this.side = document.getElementById("side");
    this.keys = [];
    this.isComparing = false;
    this.charts = new Map();
    this.colours = new Map();
    this.latest = new Map();
  }

  get isEmpty() {
    return !this.keys.length;
  }

  /** The column of the charts: that of the map, or the first if that is computed. */
  get column() {
    const { column, columns } = this.model;
    return column.name.startsWith("~") ? columns[0] : column;
  }

  /** Turns to these keys; gives them with their colours. */
  set(keys) {
    const isSame = keys.length === this.keys.length && keys.every((key, at) => key === this.keys[at]) && this.of === this.model.table;
    for (const key of [...this.colours.keys()]) if (!keys.includes(key)) this.colours.delete(key);
    for (const key of keys) {
      if (this.colours.has(key)) continue;
      const taken = new Set(this.colours.values());
      this.colours.set(key, SERIES.findIndex((_, at) => !taken.has(at)));
    }
    if (!isSame) {
      this.keys = keys;
      this.of = this.model.table;
      this.build();
    }
    const style = getComputedStyle(document.documentElement);
    return keys.map((key) => ({ key, colour: style.getPropertyValue(SERIES[this.colours.get(key)]).trim() }));
  }

  place(key) {
    return this.model.places[this.model.indexOf.get(key)];
  }

  show() {
    if (!this.isEmpty && !this.live) this.build();
  }

  hide() {
    this.end();
  }

  end() {
    this.live?.abort();
    this.live = undefined;
    clearInterval(this.timer);
    for (const chart of this.charts.values()) chart.end();
    this.charts.clear();
  }

  build() {
    this.end();
    this.latest.clear();
    if (this.isEmpty) {
      this.isComparing = false;
      this.side.replaceChildren();
      return;
    }
    const only = this.keys.length === 1 ? this.place(this.keys[0]) : undefined;
    const about = element("p", { className: "note", hidden: !only });
    if (only) this.describe(only, about);
    this.values = element("div");
    this.parts = Object.fromEntries(["day", "year", "complete", "flags"].map((name) => [name, element("div", { className: "part" }, element("p", { className: "note" }, "Reading …"))]));
    const compare = element("button", { type: "button", "aria-pressed": String(this.isComparing), onclick: () => this.compare(compare) }, "Compare");
    this.side.replaceChildren(
      element("div", { className: "bar" }, element("button", { type: "button", onclick: () => this.onChoose([]) }, "← Overview"), compare),
      element("h3", { id: "chosen", tabIndex: -1 }, only ? label(only) : `${this.keys.length} places`),
      about,
      element("ul", { className: "chips", "aria-label": "Chosen places" }, this.keys.map((key) => this.chip(key))),
      this.values,
      element("h4", { className: "chart-title" }, ""),
      this.parts.day,
      this.parts.year,
      this.parts.complete,
      this.parts.flags,
    );
    this.now();
    this.live = new AbortController();
    const path = `api/v1/tables/${encodeURIComponent(this.model.table.name)}/live`;
    follow(path, { keys: this.keys.join(",") }, this.live.signal, (rows) => this.take(rows));
    this.renew();
    this.timer = setInterval(() => document.hidden || this.renew(), AGAIN_MS);
  }

  /** Where a place is, and what else is known of it. */
  async describe(place, host) {
    const { latitude, longitude } = place;
    const parts = Number.isFinite(latitude) ? [`${number(Math.abs(latitude))}° ${latitude < 0 ? "S" : "N"}, ${number(Math.abs(longitude))}° ${longitude < 0 ? "W" : "E"}`] : [];
    host.textContent = parts.join("");
    if (!place.about) return;
    const [more] = await sql(place.about, [place.key]).catch(() => []);
    if (more?.elevation > 0) parts.push(`${count(more.elevation)}\u202fm`);
    if (more?.population > 0) parts.push(`${count(more.population)} people`);
    if (more?.timezone) parts.push(more.timezone);
    host.textContent = parts.join(" · ");
  }

  compare(button) {
    this.isComparing = !this.isComparing;
    button.setAttribute("aria-pressed", String(this.isComparing));
    if (this.isComparing) document.getElementById("search").focus();
  }

  chip(key) {
    const dot = element("span", { className: "dot" });
    dot.style.background = `var(${SERIES[this.colours.get(key)]})`;
    const name = label(this.place(key));
    const remove = element("button", { type: "button", "aria-label": `Remove ${name}`, onclick: () => this.onChoose(this.keys.filter((of) => of !== key)) }, "×");
    return element("li", {}, dot, name, remove);
  }

  /** Takes live readings. */
  take(rows) {
    const { table, column } = this.model;
    for (const row of rows) {
      const key = row[table.key];
      this.latest.set(key, row);
      this.model.put(key, instant(row[table.time]), row[column.name]);
    }
    this.now();
  }

  /** What the places report now. */
  now() {
    if (this.isEmpty || !this.values) return;
    const { table: of, columns } = this.model;
    const rows = [{ title: "Reading", cell: (row) => element("time", { title: exactly(instant(row[of.time])) }, ago(instant(row[of.time]))) }];
    for (const column of columns) rows.push({ title: column.title, cell: (row) => number(row[column.name], column.unit) });
    const heads = [{ title: "Now", cell: (row) => row.title }];
    for (const key of this.keys) {
      const row = this.latest.get(key);
      heads.push({ title: this.keys.length > 1 ? this.place(key).name : "Value", cell: (line) => (row ? line.cell(row) : "–"), isNumber: true });
    }
    if (this.values.contains(document.activeElement)) return;
    this.values.replaceChildren(table("What the places report now", heads, rows));
  }

  /** Reads day, year, completeness and flags anew. */
  async renew() {
    if (this.isEmpty || !this.live) return;
    const { signal } = this.live;
    const parts = [this.drawRange("day", DAY), this.drawRange("year", 366 * DAY), this.drawComplete(), this.drawFlags()];
    for (const [at, part] of parts.entries()) {
      part.catch((error) => {
        if (signal.aborted || error.status === 0) return;
        const host = Object.values(this.parts)[at];
        const why = error.status === 403 ? "You may not see this." : error.message;
        host.replaceChildren(element("p", { className: "note" }, why));
      });
    }
  }

  async drawRange(name, seconds) {
    const { model, column, live } = this;
    const kind = kindOf(column);
    const isDay = name === "day";
    const every = kind === "amount" ? (isDay ? HOUR : DAY) : isDay ? 300 : DAY;
    const end = Math.floor(Date.now() / 1000 / every + 1) * every;
    const begin = end - Math.ceil(seconds / every) * every;
    const functions = kind === "amount" ? ["sum"] : kind === "cyclic" ? ["last"] : ["mean", "min", "max"];
    const rows = await json(
      `api/v1/tables/${encodeURIComponent(model.table.name)}/range`,
      {
        keys: this.keys.join(","),
        from: new Date(begin * 1000).toISOString(),
        to: new Date(end * 1000).toISOString(),
        every: every === DAY ? "1d" : every === HOUR ? "1h" : `${every}s`,
        aggregates: functions.map((of) => `${column.name}:${of}`).join(","),
      },
      { signal: live.signal },
    );
    const x = Array.from({ length: (end - begin) / every }, (_, at) => begin + at * every);
    const lines = new Map(this.keys.map((key) => [key, functions.map(() => x.map(() => null))]));
    for (const row of rows) {
      const at = Math.round((instant(row[model.table.time] ?? row.window_start ?? row.window) / 1000 - begin) / every);
      const line = lines.get(row[model.table.key]);
      if (line && at >= 0 && at < x.length) functions.forEach((of, to) => (line[to][at] = row[`${column.name}_${of}`] ?? null));
    }
    // A year of which little is known begins where it is.
    const known = x.findIndex((_, at) => this.keys.some((key) => lines.get(key)[0][at] !== null));
    const cut = isDay ? 0 : Math.max(0, Math.min(known, x.length - FEWEST_DAYS));
    const what = kind === "amount" ? `sums of ${isDay ? "hours" : "days"}` : kind === "cyclic" ? `last of ${isDay ? "five minutes" : "each day"}` : `means of ${isDay ? "five minutes" : "days"}, with least and most`;
    const spec = {
      title: `${isDay ? "Last day" : "Last year"}: ${what}`,
      unit: column.unit,
      isTime: true,
      isDots: kind === "cyclic",
      range: kind === "cyclic" ? [0, 360] : undefined,
      height: 190,
      x: x.slice(cut),
      series: this.keys.map((key) => {
        const [values, low, high] = lines.get(key).map((of) => of.slice(cut));
        return { label: this.place(key).name, colour: this.colours.get(key), values, low, high };
      }),
    };
    this.side.querySelector(".chart-title").textContent = column.unit ? `${column.title}, ${column.unit}` : column.title;
    this.draw(name, spec);
  }

  draw(name, spec) {
    const host = this.parts[name];
    const chart = this.charts.get(name);
    if (chart) {
      host.querySelector("figcaption").textContent = spec.title;
      chart.set(spec);
      return;
    }
    const inner = element("div");
    host.replaceChildren(element("figure", {}, element("figcaption", {}, spec.title), inner));
    this.charts.set(name, new Chart(inner, spec));
  }

  async drawComplete() {
    const { model, live } = this;
    const rows = await sql(
      `SELECT key, hour, received, expected, late, silent_since FROM system.completeness WHERE table_name = $1 AND hour >= date_trunc('hour', now()) - INTERVAL '23 hours' AND key IN (${this.keys.map(Number).join(",")}) ORDER BY key, hour`,
      [model.table.name],
      { signal: live.signal },
    );
    const first = Math.floor(Date.now() / 3_600_000) - 23;
    const lines = this.keys.map((key) => {
      const hours = rows.filter((row) => row.key === key);
      const sum = (name) => hours.reduce((all, row) => all + row[name], 0);
      const cells = Array.from({ length: 24 }, (_, at) => {
        const row = hours.find((of) => instant(of.hour) / 3_600_000 === first + at);
        const share = row?.expected ? row.received / row.expected : 0;
        const cell = element("span", { className: "cell", title: `${dateTime((first + at) * 3_600_000)}: ${row ? `${row.received} of ${row.expected}, ${row.late} late` : "no readings"}` });
        cell.style.setProperty("--share", `${Math.round(Math.min(share, 1) * 100)}%`);
        return cell;
      });
      const silent = hours.map((row) => row.silent_since).filter(Boolean).pop();
      const text = `${count(sum("received"))} of ${count(sum("expected"))} readings${sum("late") ? `, ${count(sum("late"))} late` : ""}${silent ? `; silent since ${dateTime(instant(silent))}` : ""}`;
      return element("div", { className: "hours" }, element("p", { className: "note" }, this.keys.length > 1 ? `${this.place(key).name}: ${text}` : text), element("div", { className: "cells", role: "img", "aria-label": text }, cells));
    });
    this.parts.complete.replaceChildren(element("h4", {}, "Completeness, last 24 hours"), ...lines);
  }

  async drawFlags() {
    const { model, live } = this;
    if (!model.hasFlags) {
      this.parts.flags.replaceChildren();
      return;
    }
    const flags = model.all.find((of) => of.name === "quality_flags");
    const names = columnsOf(flags).map((of) => of.name);
    const where = `${quoted(flags.key)} IN (${this.keys.map(Number).join(",")}) AND (${names.map((name) => `${quoted(name)} <> 0`).join(" OR ")})`;
    const rows = await sql(`SELECT * FROM quality_flags WHERE ${where} AND ${quoted(flags.time)} >= now() - INTERVAL '7 days' ORDER BY ${quoted(flags.time)} DESC LIMIT 50`, [], { signal: live.signal });
    const why = (row) =>
      names
        .filter((name) => row[name])
        .map((name) => `${words(name)}: ${FLAGS.filter((_, bit) => row[name] & (1 << bit)).join(", ")}`)
        .join("; ");
    const columns = [
      { title: "Reading", cell: (row) => dateTime(instant(row[flags.time])) },
      ...(this.keys.length > 1 ? [{ title: "Place", cell: (row) => this.place(row[flags.key])?.name }] : []),
      { title: "Doubtful by", cell: why },
    ];
    const none = element("p", { className: "note" }, "No reading of the last 7 days was flagged as doubtful.");
    this.parts.flags.replaceChildren(element("h4", {}, "Quality flags, last 7 days"), rows.length ? table("Quality flags", columns, rows) : none);
  }
}
