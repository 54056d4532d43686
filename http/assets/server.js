// The server itself: log, memory, landing, jobs and dead letters, each by a statement of its own, so that what somebody
// may not see hides nothing else.

import { request, sql } from "./api.js";
import { ago, bytes, count, dateTime, duration, element, instant, number, table } from "./format.js";

const AGAIN_MS = 10_000;

const when = (name) => (row) => (row[name] ? element("time", { title: dateTime(instant(row[name])) }, ago(instant(row[name]))) : "–");
const cell = (name, write = (value) => value ?? "–") => (row) => write(row[name]);
const numeric = (title, name, write = count) => ({ title, cell: cell(name, write), isNumber: true });
const text = (title, name) => ({ title, cell: cell(name) });
const state = (name) => (row) => (row[name] ? element("span", { className: `mark ${row[name]}` }, row[name]) : "–");
const long = (title, name) => ({ title, cell: (row) => element("span", { title: row[name] ?? "" }, row[name] ?? ""), className: "long" });

/** Figures as names with values. */
const figures = (pairs) => element("dl", { className: "figures" }, pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value ?? "–"))));
const none = (said) => element("p", { className: "note" }, said);

const CARDS = [
  {
    title: "Faults",
    query: "SELECT table_name, tier, period_start, since, tries, next_at, error, cure FROM system.faults ORDER BY since",
    show: (rows) =>
      rows.length
        ? table("Faults", [text("Table", "table_name"), { title: "Period", cell: (row) => dateTime(instant(row.period_start)) }, { title: "Since", cell: when("since") }, long("Error", "error"), long("Cure", "cure")], rows)
        : none("None: everything lands."),
  },
  {
    title: "Log",
    query: "SELECT * FROM system.log",
    show: ([log]) =>
      log
        ? figures([
            ["Size", bytes(log.bytes)],
            ["End", count(log.end_position)],
            ["Records appended", count(log.records_appended)],
            ["Rows appended", count(log.rows_appended)],
            ["Rows recovered", count(log.rows_recovered)],
          ])
        : none("There is no log."),
  },
  {
    title: "Memory",
    isRead: memory,
    show: ({ budgets, process }) =>
      element(
        "div",
        {},
        process ? figures([["Process", bytes(process)]]) : "",
        element("ul", { className: "bars", "aria-label": "Memory in use under limits" }, budgets.map(budget)),
      ),
  },
  {
    title: "Landing",
    query:
      "SELECT table_name, count(*) AS hours, sum(tail_rows) AS rows, sum(tail_bytes) AS bytes, min(hour) AS first, max(hour) AS last FROM system.hours WHERE tail_rows > 0 GROUP BY 1 ORDER BY 1",
    show: (rows) =>
      rows.length
        ? table("Hours in the tail", [text("Table", "table_name"), numeric("Open hours", "hours"), numeric("Rows in the tail", "rows"), numeric("Memory", "bytes", bytes), { title: "From", cell: (row) => dateTime(instant(row.first)) }, { title: "To", cell: (row) => dateTime(instant(row.last)) }], rows)
        : none("The tail is empty: everything is in the lake."),
  },
  {
    title: "Lake",
    query: "SELECT table_name, tier, count(*) AS files, sum(rows) AS rows, sum(bytes) AS bytes, max(time_max) AS newest FROM system.files GROUP BY 1, 2 ORDER BY 1, 2",
    show: (rows) =>
      rows.length
        ? table("Files of the lake", [text("Table", "table_name"), text("Tier", "tier"), numeric("Files", "files"), numeric("Rows", "rows"), numeric("Size", "bytes", bytes), { title: "Newest row", cell: (row) => dateTime(instant(row.newest)) }], rows)
        : none("No file has landed yet."),
  },
  {
    title: "Jobs",
    query: "SELECT job, last_state, last_started_at, last_finished_at, next_at, last_findings, last_error, about FROM system.jobs ORDER BY job",
    show: (rows) =>
      table(
        "Jobs",
        [
          { title: "Job", cell: (row) => element("span", { title: row.about ?? "" }, row.job) },
          { title: "Last run", cell: state("last_state") },
          { title: "Began", cell: when("last_started_at") },
          { title: "Took", cell: (row) => (row.last_finished_at ? duration(instant(row.last_finished_at) - instant(row.last_started_at)) : "–"), isNumber: true },
          { title: "Next", cell: when("next_at") },
          numeric("Findings", "last_findings"),
          long("Error", "last_error"),
        ],
        rows,
      ),
  },
  {
    title: "Dead letters of the last day",
    query: "SELECT table_name, reason, source, count(*) AS rows, max(rejected_at) AS last FROM dead_letters WHERE rejected_at >= now() - INTERVAL '1 day' GROUP BY 1, 2, 3 ORDER BY last DESC LIMIT 20",
    show: (rows) =>
      rows.length
        ? table("Dead letters by reason", [text("Table", "table_name"), long("Reason", "reason"), text("From", "source"), numeric("Rows", "rows"), { title: "Last", cell: when("last") }], rows)
        : none("No row was rejected."),
  },
  {
    title: "Newest dead letters",
    query: "SELECT rejected_at, table_name, reason, source, row, redriven_at FROM dead_letters WHERE rejected_at >= now() - INTERVAL '7 days' ORDER BY rejected_at DESC LIMIT 20",
    show: (rows) =>
      rows.length
        ? table("Newest dead letters", [{ title: "Rejected", cell: when("rejected_at") }, text("Table", "table_name"), long("Reason", "reason"), long("Row", "row"), { title: "Put again", cell: when("redriven_at") }], rows)
        : none("No row was rejected in the last seven days."),
  },
  {
    title: "Queries",
    query: "SELECT user_name, state, duration_ms, rows_read, memory_bytes_peak, text, error FROM system.queries ORDER BY id DESC LIMIT 12",
    show: (rows) =>
      table("Newest queries", [text("Who", "user_name"), { title: "State", cell: state("state") }, numeric("Took", "duration_ms", duration), numeric("Rows read", "rows_read"), numeric("Memory, most", "memory_bytes_peak", bytes), long("Statement", "text")], rows),
  },
  {
    title: "Servers",
    query: "SELECT address, role, position, behind_ms, age_ms, is_self FROM system.members ORDER BY role, address",
    show: (rows) =>
      rows.length
        ? table("Servers of the log", [{ title: "Address", cell: (row) => (row.is_self ? `${row.address} (this one)` : row.address) }, text("Role", "role"), numeric("Position", "position"), numeric("Behind", "behind_ms", duration)], rows)
        : none("This server has its log alone."),
  },
];

/** Memory under limits, from the figures for monitoring. */
async function memory(signal) {
  const response = await request("metrics", { signal });
  const lines = (await response.text()).split("\n");
  const read = (name) => {
    const pairs = lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    return pairs.map((line) => [/budget="([^"]*)"/.exec(line)?.[1] ?? "", Number(line.slice(line.lastIndexOf(" ") + 1))]);
  };
  const limits = new Map(read("barograph_memory_limit_bytes"));
  const budgets = read("barograph_memory_bytes").map(([name, used]) => ({ name, used, limit: limits.get(name) }));
  budgets.sort((a, b) => b.used - a.used);
  return { budgets: budgets.slice(0, 12), process: read("process_resident_memory_bytes")[0]?.[1] };
}

function budget({ name, used, limit }) {
  const fill = element("span", { className: "fill" });
  fill.style.width = `${Math.min(100, limit > 0 ? (used / limit) * 100 : 0)}%`;
  const share = limit > 0 ? `${number((used / limit) * 100)}\u2009%` : "no limit";
  return element("li", {}, element("span", { className: "name", title: name }, name), element("span", { className: "track" }, fill), element("span", { className: "number", title: share }, limit > 0 ? `${bytes(used)} of ${bytes(limit)}` : bytes(used)));
}

export class ServerView {
  show() {
    if (!this.hosts) {
      this.hosts = CARDS.map((card) => element("div", {}, none("Reading …")));
      const cards = CARDS.map((card, at) => element("section", { className: `card${["Log", "Memory", "Faults", "Servers"].includes(card.title) ? "" : " wide"}` }, element("h3", {}, card.title), this.hosts[at]));
      document.getElementById("cards").replaceChildren(...cards);
    }
    this.renew();
    this.timer = setInterval(() => document.hidden || this.renew(), AGAIN_MS);
  }

  hide() {
    clearInterval(this.timer);
    this.asking?.abort();
  }

  renew() {
    if (!this.hosts) return;
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    for (const [at, card] of CARDS.entries()) this.card(card, this.hosts[at], signal);
  }

  async card(card, host, signal) {
    try {
      const read = card.isRead ? await card.isRead(signal) : await sql(card.query, [], { signal });
      // A table that is being scrolled by keyboard is left alone.
      if (!host.contains(document.activeElement)) host.replaceChildren(card.show(read));
    } catch (error) {
      if (signal.aborted || error.status === 0) return;
      host.replaceChildren(none(error.status === 403 ? "You may not see this." : error.status === 401 ? "Sign in to see this." : error.message));
    }
  }
}
