// The map with its legend, the search for places, and what stands beside it: the highest and lowest values, or the
// chosen places.

import { request } from "./api.js";
import { colourOf, drawLegend, scaleOf, ticks } from "./colours.js";
import { ago, count, element, exactly, number, table } from "./format.js";
import { PlaceMap } from "./map.js";
import { label, plain } from "./model.js";
import { Chosen, PLACES_MAX } from "./places.js";
import { close, walk } from "./popup.js";

const by = (id) => document.getElementById(id);
const LISTED = 8;
const FOUND_MAX = 8;

export class Overview {
  constructor(model) {
    this.model = model;
    this.map = new PlaceMap(by("world"));
    this.chosen = new Chosen(model, (keys) => this.choose(keys));
    this.wanted = [];
    this.tip = by("tip");
    model.addEventListener("places", () => this.takePlaces());
    model.addEventListener("values", () => this.takeValues());
    this.map.addEventListener("pick", ({ detail }) => this.pick(this.model.places[detail.index].key, detail.isAdded));
    this.map.addEventListener("hover", ({ detail }) => this.hover(detail));
    by("nearer").addEventListener("click", () => this.map.zoom(1.6));
    by("farther").addEventListener("click", () => this.map.zoom(1 / 1.6));
    by("whole").addEventListener("click", () => this.map.home());
    by("column").addEventListener("change", () => this.colour(by("column").value));
    by("table").addEventListener("change", () => this.turn(by("table").value));
    new Search(model, (key) => this.pick(key, false, true));
    new ResizeObserver(() => this.scale && drawLegend(by("legend"), this.scale)).observe(by("legend"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.scale && drawLegend(by("legend"), this.scale));
    this.land();
  }

  async land() {
    const response = await request("page/land.json").catch(() => undefined);
    if (response) this.map.setLand(await response.json());
    else setTimeout(() => this.land(), 5000);
  }

  show() {
    this.map.resize();
    this.chosen.show();
  }

  hide() {
    this.chosen.hide();
  }

  renew() {
    this.chosen.renew();
  }

  /** What the address asks for. */
  follow(query) {
    const keys = (query.get("keys") ?? "").split(",").filter(Boolean).map(Number).filter(Number.isFinite);
    this.wanted = keys.slice(0, PLACES_MAX);
    if (this.model.places.length) this.takeChosen();
  }

  /** Writes the address of what is shown. */
  write() {
    const query = new URLSearchParams();
    const { table, column, tables } = this.model;
    if (table && tables.length > 1) query.set("table", table.name);
    if (column && column !== this.model.columns[0]) query.set("column", column.name);
    if (this.wanted.length) query.set("keys", this.wanted.join(","));
    const text = decodeURIComponent(query.toString());
    const hash = text ? `#map?${text}` : "#map";
    if (location.hash !== hash) history.replaceState(null, "", hash);
  }

  choose(keys) {
    this.wanted = keys;
    this.write();
    this.takeChosen();
  }

  pick(key, isAdded, isShown) {
    const has = this.wanted.includes(key);
    const others = this.wanted.filter((of) => of !== key);
    if (isAdded || this.chosen.isComparing) this.choose(has && isAdded ? others : [...others, key].slice(-PLACES_MAX));
    else this.choose([key]);
    const index = this.model.indexOf.get(key);
    // On a phone the places stand below the map.
    if (matchMedia("(max-width: 60rem)").matches) this.chosen.side.scrollIntoView({ block: "start" });
    if (isShown && index !== undefined && this.model.hasMap) this.map.show(index);
  }

  async colour(name) {
    await this.model.pick(name);
    this.write();
    this.chosen.renew();
  }

  async turn(name) {
    const { tables } = this.model;
    this.wanted = [];
    await this.model.choose(tables.find((of) => of.name === name) ?? tables[0]);
    this.write();
    this.takeChosen();
  }

  takePlaces() {
    const { model } = this;
    const option = (of) => element("option", { value: of.name, selected: of === model.column }, of.unit && !of.name.startsWith("~") ? `${of.title} (${of.unit})` : (of.title ?? of.name));
    const [read, computed] = [model.columns, model.offered().filter((of) => of.name.startsWith("~"))];
    by("column").replaceChildren(
      element("optgroup", { label: "Newest reading" }, read.map(option)),
      element("optgroup", { label: "Quality" }, computed.map(option)),
    );
    by("table").replaceChildren(...model.tables.map((of) => element("option", { value: of.name, selected: of === model.table }, of.name)));
    by("table-field").hidden = model.tables.length < 2;
    by("no-map").hidden = model.hasMap;
    this.map.setPlaces(
      model.places.map((of) => of.longitude ?? NaN),
      model.places.map((of) => of.latitude ?? NaN),
    );
    this.takeChosen();
  }

  takeValues() {
    const { model } = this;
    this.scale = scaleOf(model.column, model.values);
    by("column").value = model.column.name;
    this.map.setValues(model.values, this.scale, model.isOld);
    this.drawLegend();
    if (this.chosen.isEmpty) this.list();
    else this.chosen.now();
    if (this.map.hovered >= 0) this.hover(this.map.hovered);
  }

  takeChosen() {
    const { model } = this;
    const keys = this.wanted.filter((key) => model.indexOf.has(key));
    this.map.setChosen(this.chosen.set(keys).map(({ key, colour }) => ({ index: model.indexOf.get(key), colour })));
    if (this.chosen.isEmpty) this.list();
  }

  drawLegend() {
    const { column, failure, values, old, isReading } = this.model;
    const { scale } = this;
    by("legend-title").textContent = column.unit && !column.isShare ? `${column.title}, ${column.unit}` : column.title;
    drawLegend(by("legend"), scale);
    const marks = ticks(scale).map((value) => {
      const mark = element("span", {}, column.isShare ? `${Math.round(value * 100)}\u2009%` : number(value));
      mark.style.left = `${((value - scale.low) / (scale.high - scale.low)) * 100}%`;
      return mark;
    });
    by("ticks").replaceChildren(...marks);
    const without = values.length - scale.sorted.length;
    const notes = [`${count(scale.sorted.length)} places`];
    if (isReading) notes.splice(0, 1, "Reading …");
    else if (without) notes.push(`${count(without)} without a value`);
    if (old) notes.push(`${count(old)} with an old reading (faint)`);
    by("legend-note").textContent = failure ? failure.message : notes.join(" · ");
    by("legend-note").classList.toggle("failed", Boolean(failure));
  }

  /** A value of the coloured column for people. */
  written(value) {
    const { column } = this.model;
    return column.isShare ? (Number.isNaN(value) ? "–" : `${(value * 100).toFixed(value > 0.99 && value < 1 ? 1 : 0)}\u2009%`) : number(value, column.unit);
  }

  hover(index) {
    this.tip.hidden = index < 0;
    if (index < 0) return;
    const { model } = this;
    const place = model.places[index];
    const dot = element("span", { className: "dot" });
    dot.style.background = colourOf(this.scale, model.values[index]);
    this.tip.replaceChildren(
      element("strong", {}, label(place)),
      element("span", {}, dot, this.written(model.values[index])),
      element("small", {}, Number.isFinite(model.times[index]) ? `${ago(model.times[index])}` : "no reading"),
    );
    const [x, y] = this.map.at(index).map((at) => at / this.map.ratio);
    const { clientWidth: width } = this.map.frame;
    this.tip.style.left = `${Math.min(Math.max(x, 80), width - 80)}px`;
    this.tip.style.top = `${y}px`;
    this.tip.classList.toggle("below", y < 90);
    if (this.map.hasCross) by("spoken").textContent = `${label(place)}: ${this.written(model.values[index])}`;
  }

  /** The highest and lowest values, which say in words what the colours say. */
  list() {
    const { model } = this;
    if (!model.column || !model.values) return;
    const known = [...model.values.keys()].filter((index) => !Number.isNaN(model.values[index]));
    known.sort((a, b) => model.values[b] - model.values[a]);
    const value = (index) => {
      const dot = element("span", { className: "dot" });
      dot.style.background = colourOf(this.scale, model.values[index]);
      return element("span", {}, this.written(model.values[index]), dot);
    };
    const columns = [
      { title: "Place", cell: (index) => element("button", { type: "button", className: "link", onclick: () => this.pick(model.places[index].key, false, true) }, label(model.places[index])) },
      { title: model.column.title, cell: value, isNumber: true },
    ];
    const middle = known.length ? model.values[known[Math.floor(known.length / 2)]] : NaN;
    const figures = [
      ["Places", count(model.places.length)],
      ["With a reading", count(model.received ?? 0)],
      ["Old", count(model.old ?? 0)],
      ["Median", this.written(middle)],
    ];
    const box = this.chosen.side;
    // What has the focus is not taken away from under it.
    if (box.contains(document.activeElement)) return;
    box.replaceChildren(
      element("h3", {}, "Now"),
      element("dl", { className: "figures" }, figures.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)))),
      element("p", { className: "note" }, Number.isFinite(model.newest) ? `Newest reading: ${exactly(model.newest)}. Choose a place on the map or by name for its last day and year; with Shift, places are compared.` : "There are no readings yet. They appear here as they come."),
      ...(known.length
        ? [element("h3", {}, "Highest"), table("Highest values", columns, known.slice(0, LISTED)), element("h3", {}, "Lowest"), table("Lowest values", columns, known.slice(-LISTED).reverse())]
        : []),
    );
  }
}

/** The search for places by name, or by key. */
class Search {
  constructor(model, onPick) {
    this.model = model;
    this.onPick = onPick;
    this.input = by("search");
    this.popup = by("found");
    this.found = [];
    this.at = -1;
    this.input.addEventListener("input", () => this.find());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    model.addEventListener("places", () => (this.names = undefined));
  }

  find() {
    const text = plain(this.input.value.trim());
    if (!text) return this.close();
    this.names ??= this.model.places.map((place) => plain(label(place)));
    const ranked = [];
    for (let index = this.names.length - 1; index >= 0; index -= 1) {
      const at = this.names[index].indexOf(text);
      if (at < 0 && String(this.model.places[index].key) !== text) continue;
      ranked.push([at === 0 ? 0 : 1, ranked.length, index]);
    }
    // Places come by population, the largest first.
    ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    this.found = ranked.slice(0, FOUND_MAX).map(([, , index]) => this.model.places[index]);
    this.at = 0;
    this.list();
  }

  list() {
    const options = this.found.map((place, at) =>
      element("li", { id: `found-${at}`, role: "option", "aria-selected": String(at === this.at), onmousedown: (event) => (event.preventDefault(), this.take(at)) }, element("span", {}, label(place)), element("small", {}, place.key)),
    );
    this.popup.replaceChildren(...(options.length ? options : [element("li", { className: "none" }, "No place of that name")]));
    this.popup.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    if (options.length) this.input.setAttribute("aria-activedescendant", `found-${this.at}`);
  }

  close() {
    close(this);
  }

  take(at) {
    const place = this.found[at];
    if (!place) return;
    this.input.value = "";
    this.close();
    this.onPick(place.key);
  }

  key(event) {
    walk(this, event, ["Enter"]);
  }
}
