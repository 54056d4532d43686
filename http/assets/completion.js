// Completion of statements: names of tables, columns and functions that the server has, and words of SQL.

import { sql } from "./api.js";
import { element } from "./format.js";
import { close, walk } from "./popup.js";

const KEYWORDS =
  "SELECT FROM WHERE GROUP BY ORDER BY HAVING LIMIT OFFSET JOIN LEFT JOIN INNER JOIN CROSS JOIN LATERAL USING ON AS AND OR NOT IN BETWEEN LIKE ILIKE IS NULL IS NOT NULL DISTINCT UNION ALL EXCEPT INTERSECT CASE WHEN THEN ELSE END CAST INTERVAL ASC DESC NULLS LAST NULLS FIRST WITH OVER PARTITION BY WINDOW QUALIFY EXPLAIN VALUES TRUE FALSE EXISTS FILTER".split(
    " ",
  );
/** Functions that stand for tables, which the server does not list. */
const SOURCES = ["latest", "live", "as_of"];
const SHOWN_MAX = 9;
const WORD = /[\w.]*$/;

/** What can be completed, as `{text, kind, about}`. */
async function words() {
  const keywords = [...new Set(KEYWORDS)].map((text) => ({ text, kind: "word" }));
  const columns = sql("SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns WHERE table_schema <> 'information_schema'");
  const functions = sql("SELECT routine_name, min(data_type) AS data_type, min(function_type) AS kind FROM information_schema.routines GROUP BY 1");
  const [rows, routines] = await Promise.all([columns, functions.catch(() => [])]);
  const tables = new Map();
  for (const row of rows) {
    const name = row.table_schema === "public" ? row.table_name : `${row.table_schema}.${row.table_name}`;
    if (!tables.has(name)) tables.set(name, []);
    tables.get(name).push(row);
  }
  const found = [...tables].map(([text, of]) => ({ text, kind: "table", about: `${of.length} columns` }));
  const seen = new Set();
  for (const [name, of] of tables) {
    for (const { column_name: text, data_type: type } of of) {
      found.push({ text, kind: "column", about: `${type} of ${name}`, of: name, isAgain: seen.has(text) });
      seen.add(text);
    }
  }
  found.push(...routines.map((of) => ({ text: of.routine_name, kind: "function", about: of.data_type ?? "" })));
  found.push(...SOURCES.map((text) => ({ text, kind: "function", about: "rows of a table" })));
  return { all: [...found, ...keywords], tables };
}

/** Completes what is typed into a text area, in a list below the caret. */
export class Completion {
  constructor(input, popup) {
    this.input = input;
    this.popup = popup;
    this.found = [];
    this.at = 0;
    input.addEventListener("input", () => this.find(false));
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    input.addEventListener("click", () => this.close());
  }

  async load() {
    try {
      this.known = await words();
    } catch {
      this.known = undefined;
    }
  }

  /** The word before the caret. */
  word() {
    const before = this.input.value.slice(0, this.input.selectionStart);
    return WORD.exec(before)[0];
  }

  find(isAsked) {
    const word = this.word();
    if (!this.known || this.input.selectionStart !== this.input.selectionEnd || (!isAsked && word.length < 2)) return this.close();
    this.found = this.matches(word);
    // What is written out needs no list.
    if (!isAsked && this.found.length === 1 && this.found[0].text.toLowerCase() === word.toLowerCase()) return this.close();
    this.at = 0;
    if (this.found.length) this.list();
    else this.close();
  }

  matches(word) {
    const { all, tables } = this.known;
    const text = this.input.value;
    const dot = word.lastIndexOf(".");
    const typed = word.toLowerCase();
    if (dot > 0) {
      const of = this.named(word.slice(0, dot), text);
      const start = typed.slice(dot + 1);
      const columns = (tables.get(of) ?? []).map((row) => ({ text: row.column_name, kind: "column", about: row.data_type }));
      const found = columns.filter((one) => one.text.startsWith(start));
      if (found.length) return found.slice(0, SHOWN_MAX).map((one) => ({ ...one, insert: one.text, length: start.length }));
    }
    const isMentioned = (name) => name && new RegExp(`\\b${name.replace(".", "\\.")}\\b`, "i").test(text);
    const order = { column: 1, table: 0, function: 2, word: 3 };
    // Tables follow these words.
    const before = text.slice(0, this.input.selectionStart - word.length);
    const isSource = /\b(from|join)\s+$/i.test(before);
    const ranked = [];
    for (const one of all) {
      const name = one.text.toLowerCase();
      const starts = name.startsWith(typed);
      if (!starts && !(typed.length > 2 && name.includes(typed))) continue;
      const isNear = one.kind === "column" && isMentioned(one.of);
      if (one.kind === "column" && !isNear && one.isAgain) continue;
      ranked.push([(starts ? 0 : 10) + (isSource && (one.kind === "table" || SOURCES.includes(one.text)) ? -2 : isNear ? -1 : order[one.kind]), one]);
    }
    ranked.sort((a, b) => a[0] - b[0] || a[1].text.length - b[1].text.length || a[1].text.localeCompare(b[1].text));
    const unique = new Map();
    for (const [, one] of ranked) {
      const key = `${one.text}/${one.kind}`;
      if (!unique.has(key)) unique.set(key, one);
    }
    return [...unique.values()].slice(0, SHOWN_MAX).map((one) => ({ ...one, insert: one.kind === "function" ? `${one.text}(` : one.text, length: word.length }));
  }

  /** The table that a name or an alias stands for. */
  named(name, text) {
    if (this.known.tables.has(name)) return name;
    const alias = new RegExp(`([\\w.]+)(?:\\('(\\w+)'\\))?\\s+(?:AS\\s+)?${name}\\b`, "i").exec(text);
    return alias?.[2] ?? alias?.[1] ?? name;
  }

  list() {
    const options = this.found.map((one, at) =>
      element("li", { id: `word-${at}`, role: "option", "aria-selected": String(at === this.at), onmousedown: (event) => (event.preventDefault(), this.take(at)) }, element("span", { className: `kind ${one.kind}` }, one.kind), element("span", {}, one.text), element("small", {}, one.about ?? "")),
    );
    this.popup.replaceChildren(...options);
    this.popup.hidden = false;
    this.place();
    this.input.setAttribute("aria-expanded", "true");
    this.input.setAttribute("aria-activedescendant", `word-${this.at}`);
  }

  /** Puts the list below the caret. */
  place() {
    const { input } = this;
    const style = getComputedStyle(input);
    const before = input.value.slice(0, input.selectionStart).split("\n");
    this.ruler ??= document.createElement("canvas").getContext("2d");
    this.ruler.font = `${style.fontSize} ${style.fontFamily}`;
    const left = this.ruler.measureText(before[before.length - 1].slice(0, -this.word().length || undefined)).width;
    const height = Number.parseFloat(style.lineHeight);
    const top = before.length * height + Number.parseFloat(style.paddingTop) - input.scrollTop;
    this.popup.style.top = `${Math.min(top + 4, input.clientHeight)}px`;
    this.popup.style.left = `${Math.max(0, Math.min(left, input.clientWidth - 340))}px`;
  }

  close() {
    close(this);
  }

  take(at) {
    const one = this.found[at];
    if (!one) return;
    const { input } = this;
    const caret = input.selectionStart;
    input.setRangeText(one.insert, caret - one.length, caret, "end");
    this.close();
    input.focus();
  }

  key(event) {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      return this.find(true);
    }
    if (this.found.length && !event.ctrlKey && !event.metaKey) walk(this, event, ["Enter", "Tab"]);
  }
}
