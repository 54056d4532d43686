// What the server has: tables, the places that their keys are, and the newest reading of each. Read anew when the next
// reading is due, which the server says.

import { ApiError, csv, json, sql } from "./api.js";
import { instant, words } from "./format.js";

const [POLL_MS_MIN, POLL_MS_MAX, POLL_MS] = [5_000, 60_000, 10_000];
/** How long a computed column is kept. */
const COMPUTED_MS = 5 * 60_000;
const NUMBERS = /^(U?Int\d+|Float\d+)/;
/** A reading that is this many intervals old is old. */
const OLD_INTERVALS = 5;

/** Columns that are computed of a key's readings rather than read. */
export const COMPUTED = [
  { name: "~age", title: "Age of the reading", unit: "min", scale: "lateness" },
  { name: "~completeness", title: "Completeness, last day", unit: "%", scale: "share", isShare: true },
  { name: "~flags", title: "Quality flags, last day", unit: "", scale: "lateness" },
];

export class Model extends EventTarget {
  constructor() {
    super();
    this.tables = [];
    this.places = [];
    this.indexOf = new Map();
  }

  /** Reads tables and places. */
  async open(wanted = {}) {
    this.named = columnsByTable();
    this.named.catch(() => {});
    const { tables } = await json("api/v1/tables");
    this.all = tables;
    this.tables = tables.filter((of) => of.name !== "dead_letters" && of.name !== "quality_flags" && columnsOf(of).length);
    if (!this.tables.length) throw new ApiError(404, "There is no table with readings that you may see.");
    const named = this.tables.find((of) => of.name === wanted.table);
    await this.choose(named ?? this.tables.find((of) => of.name === "readings") ?? this.tables[0], wanted.column);
  }

  /** Turns to a table, and to one of its columns. */
  async choose(table, column) {
    this.table = table;
    this.columns = columnsOf(table);
    this.hasFlags = this.all.some((of) => of.name === "quality_flags" && of.key === table.key);
    const offered = this.offered();
    this.column = offered.find((of) => of.name === column) ?? this.columns[0];
    const named = (reading) =>
      reading.catch((error) => {
        if (error.status === 0 || error.status === 401) throw error;
        return [];
      });
    // The newest are on their way while the places are.
    const read = this.column.name.startsWith("~") ? this.columns[0].name : this.column.name;
    this.early = { table, read, reading: csv(latest(table), { columns: read }) };
    this.early.reading.catch(() => {});
    const places = await named(placesOf(table, await named(this.named)));
    this.places = places.length ? places : await this.keysAlone();
    this.hasMap = places.length > 0;
    this.indexOf = new Map(this.places.map((place, index) => [place.key, index]));
    this.clear();
    this.dispatchEvent(new Event("places"));
    await this.refresh();
  }

  offered() {
    return [...this.columns, ...COMPUTED.filter((of) => of.name !== "~flags" || this.hasFlags)];
  }

  async pick(name) {
    this.column = this.offered().find((of) => of.name === name) ?? this.columns[0];
    this.clear();
    this.isReading = true;
    this.dispatchEvent(new Event("values"));
    await this.refresh();
  }

  clear() {
    this.values = new Float64Array(this.places.length).fill(NaN);
    this.times = new Float64Array(this.places.length).fill(NaN);
    this.isOld = new Uint8Array(this.places.length);
  }

  /** Keys that are no places have numbers for names. */
  async keysAlone() {
    const { lines } = await csv(latest(this.table), { columns: this.columns[0].name });
    return lines.map(([key]) => ({ key: Number(key), name: key }));
  }

  /** Reads the newest of all keys, and comes back when more is due. */
  async refresh() {
    clearTimeout(this.timer);
    const [table, column] = [this.table, this.column];
    let after = POLL_MS;
    try {
      after = await this.read(table, column);
      this.failure = undefined;
    } catch (error) {
      if (column !== this.column || table !== this.table) return;
      this.failure = error;
    }
    if (column !== this.column || table !== this.table) return;
    this.isReading = false;
    this.dispatchEvent(new Event("values"));
    this.timer = setTimeout(() => this.refreshIfSeen(), after);
  }

  refreshIfSeen() {
    if (document.hidden) document.addEventListener("visibilitychange", () => this.refresh(), { once: true });
    else this.refresh();
  }

  async read(table, column) {
    const isComputed = column.name.startsWith("~");
    const read = isComputed ? this.columns[0].name : column.name;
    const early = this.early?.table === table && this.early.read === read ? this.early.reading : undefined;
    this.early = undefined;
    const [{ lines, headers }, computed] = await Promise.all([
      early ?? csv(latest(table), { columns: read }),
      isComputed ? this.computed(table, column) : undefined,
    ]);
    if (table !== this.table || column !== this.column) return POLL_MS;
    this.clear();
    const now = Date.now();
    for (const [key, at, value] of lines) {
      const index = this.indexOf.get(Number(key));
      if (index === undefined) continue;
      this.times[index] = instant(at);
      if (computed) this.values[index] = computed(Number(key), this.times[index], now);
      else if (value !== "") this.values[index] = Number(value);
    }
    this.age();
    const said = /max-age=(\d+)/.exec(headers.get("cache-control") ?? "");
    const due = said ? Number(said[1]) * 1000 + 1_500 : POLL_MS;
    return Math.min(Math.max(due, POLL_MS_MIN), POLL_MS_MAX);
  }

  /** Which readings are old: by the newest of all and by how far apart most are. */
  age() {
    const known = this.times.filter(Number.isFinite).sort();
    this.newest = known.length ? known[known.length - 1] : NaN;
    this.received = known.length;
    const middle = known.length ? this.newest - known[Math.floor(known.length / 2)] : 0;
    const limit = this.newest - Math.max(middle * OLD_INTERVALS, 10 * 60_000);
    this.old = 0;
    for (let index = 0; index < this.times.length; index += 1) {
      const isOld = this.times[index] < limit;
      this.isOld[index] = isOld ? 1 : 0;
      this.old += isOld ? 1 : 0;
    }
  }

  /** A computed column, which is kept for a while if it costs the server much. */
  computed(table, column) {
    const name = `${table.name} ${column.name}`;
    if (this.kept?.name !== name || performance.now() > this.kept.until) {
      const reading = this.compute(table, column);
      this.kept = { name, reading, until: performance.now() + COMPUTED_MS };
      reading.catch(() => (this.kept = undefined));
    }
    return this.kept.reading;
  }

  /** What a computed column is, of a key and its time. */
  async compute(table, column) {
    if (column.name === "~age") return (_, at, now) => Math.max(0, (now - at) / 60_000);
    if (column.name === "~completeness") {
      const rows = await sql(
        "SELECT key, sum(received) AS received, sum(expected) AS expected FROM system.completeness WHERE table_name = $1 AND hour >= date_trunc('hour', now()) - INTERVAL '24 hours' GROUP BY key",
        [table.name],
      );
      const shares = new Map(rows.map((row) => [row.key, row.expected ? Math.min(1, row.received / row.expected) : NaN]));
      return (key) => shares.get(key) ?? 0;
    }
    const rows = await sql(`SELECT ${quoted(table.key)} AS key, count(*) AS flags FROM quality_flags WHERE ${await this.flagged()} AND ${quoted(table.time)} >= now() - INTERVAL '1 day' GROUP BY 1`);
    const flags = new Map(rows.map((row) => [row.key, row.flags]));
    return (key) => flags.get(key) ?? 0;
  }

  /** The condition that a row of `quality_flags` has a flag. */
  flagged() {
    const flags = this.all.find((of) => of.name === "quality_flags");
    return `(${columnsOf(flags).map((of) => `${quoted(of.name)} <> 0`).join(" OR ")})`;
  }

  /** A column's value that came alone, such as by a live event. */
  put(key, at, value) {
    const index = this.indexOf.get(key);
    if (index === undefined || !(at >= (this.times[index] || 0))) return;
    this.times[index] = at;
    if (!this.column.name.startsWith("~")) this.values[index] = value ?? NaN;
    this.isOld[index] = 0;
  }
}

export const quoted = (name) => `"${name.replaceAll('"', '""')}"`;

/** The columns of a table that hold numbers. */
export function columnsOf(table) {
  const values = table.columns.filter((of) => of.name !== table.key && of.name !== table.time && NUMBERS.test(of.type));
  return values.map((of) => ({ ...of, unit: of.unit ?? "", title: words(of.name) }));
}

const latest = (table) => `api/v1/tables/${encodeURIComponent(table.name)}/latest`;

/** The columns of each table of SQL. */
const columnsByTable = () => sql("SELECT table_name, string_agg(column_name, ',') AS columns FROM information_schema.columns WHERE table_schema = 'public' GROUP BY table_name");

/** The places of a table's keys: those of a table of SQL that has its key, and where each key is. */
async function placesOf(table, found) {
  const has = (row, name) => row.columns.split(",").includes(name);
  const row = found.find((of) => [table.key, "name", "latitude", "longitude"].every((name) => has(of, name)));
  if (!row) return [];
  const names = ["name", "country", "latitude", "longitude"].filter((name) => has(row, name));
  const order = has(row, "population") ? " ORDER BY population" : "";
  // A thousandth of a degree is a hundred metres.
  const read = names.map((name) => (isAngle(name) ? `round(${name}, 3) AS ${name}` : quoted(name)));
  const statement = `SELECT ${[quoted(table.key), ...read].join(", ")} FROM ${quoted(row.table_name)}${order}`;
  const { names: heads, lines } = await csv("api/v1/sql", { q: statement });
  // What is more of a place is asked for when it is chosen.
  const more = ["population", "elevation", "timezone"].filter((name) => has(row, name)).map(quoted);
  const about = more.length ? `SELECT ${more.join(", ")} FROM ${quoted(row.table_name)} WHERE ${quoted(table.key)} = $1` : undefined;
  return lines.map((line) => {
    const place = { key: Number(line[0]), about };
    for (let at = 1; at < heads.length; at += 1) place[heads[at]] = isAngle(heads[at]) ? (line[at] === "" ? NaN : Number(line[at])) : line[at];
    return place;
  });
}

const isAngle = (name) => name === "latitude" || name === "longitude";

/** The name of a place with its country. */
export const label = (place) => (place.country ? `${place.name}, ${place.country}` : place.name);

/** Names without accents, to be found by. */
export const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

