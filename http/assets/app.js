// The page as a whole: which view is shown, who is signed in, and whether the server answers.

import { events, isReachable, request, signIn, token } from "./api.js";
import { ZONE, ago, count, exactly } from "./format.js";
import { Model } from "./model.js";
import { Overview } from "./overview.js";
import { ServerView } from "./server.js";
import { SqlView } from "./sql.js";

const by = (id) => document.getElementById(id);
/** From this age on the newest reading is an old one. */
const OLD_MS = 15 * 60_000;
const VIEWS = ["map", "sql", "server"];

const model = new Model();
const overview = new Overview(model);
const views = { map: overview, sql: new SqlView(), server: new ServerView() };
let shown;

/** The address: `#map?table=…&column=…&keys=…`. */
function address() {
  const [view, query] = location.hash.slice(1).split("?");
  return { view: VIEWS.includes(view) ? view : "map", query: new URLSearchParams(query) };
}

function route() {
  const { view, query } = address();
  for (const name of VIEWS) by(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view === "map" ? "Barograph" : `Barograph: ${view === "sql" ? "SQL" : "Server"}`;
  if (shown !== view) {
    views[shown]?.hide?.();
    shown = view;
    views[view].show?.();
  }
  if (view === "map") overview.follow(query);
}

function tell() {
  const lamp = document.querySelector(".lamp");
  const isUp = isReachable();
  const isOld = !(Date.now() - model.newest < OLD_MS);
  lamp.dataset.state = !isUp || model.failure ? "bad" : isOld ? "old" : "good";
  const text = !isUp
    ? "The server does not answer"
    : model.failure
      ? "Not up to date"
      : Number.isFinite(model.newest)
        ? `Newest reading ${ago(model.newest)}`
        : model.table
          ? "No readings yet"
          : "Reading …";
  if (by("state-text").textContent !== text) by("state-text").textContent = text;
  by("state").title = Number.isFinite(model.newest)
    ? `${exactly(model.newest)}; ${count(model.received)} of ${count(model.places.length)} places have readings, ${count(model.old)} of them old ones`
    : "";
}

function banner(text) {
  by("banner").textContent = text ?? "";
  by("banner").hidden = !text;
}

async function open() {
  by("account").textContent = token() ? "Sign out" : "Sign in";
  try {
    const query = address().query;
    await model.open({ table: query.get("table"), column: query.get("column") });
    banner();
  } catch (error) {
    if (error.status === 401) banner("Sign in to see what is there.");
    else if (error.status !== 0) banner(error.message);
  }
  views[shown]?.renew?.();
  tell();
}

function askToken(why) {
  by("sign-in-why").textContent = why ?? "Paste your token; it is kept until this tab is closed.";
  by("token").value = "";
  if (!by("sign-in").open) by("sign-in").showModal();
}

by("account").addEventListener("click", () => (token() ? signIn("") : askToken()));
by("not-now").addEventListener("click", () => by("sign-in").close());
by("credentials").addEventListener("submit", () => signIn(by("token").value.trim()));

events.addEventListener("signed", open);
events.addEventListener("refused", () => {
  askToken(token() ? "The server does not know this token, or it has expired. Paste another one." : "This server asks who calls. Paste your token; it is kept until this tab is closed.");
});
events.addEventListener("unreachable", () => {
  banner("The server does not answer. What you see is what it said last; the page goes on when it is back.");
  tell();
});
events.addEventListener("reachable", () => {
  banner();
  if (model.table) model.refresh();
  else open();
  views[shown]?.renew?.();
  version();
});
model.addEventListener("values", tell);
addEventListener("hashchange", route);
setInterval(tell, 1000);

async function version() {
  const response = await request("version").catch(() => undefined);
  const said = response && (await response.json().catch(() => undefined));
  if (said?.version) by("version").textContent = `Barograph ${said.version}`;
}

by("zone").textContent = `Times in ${ZONE}`;
route();
open();
version();
// For tests and for who looks from the console.
window.barograph = { model, map: overview.map };
