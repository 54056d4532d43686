// Charts over uPlot: lines with bands between least and most, in the colours of the page, and as a table for those who
// read rather than look.

import { dateTime, element, number, table } from "./format.js";

/** Colours of places and series, in order; told apart in light and dark. */
export const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6", "--series-7", "--series-8"];

const charts = new Set();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of charts) chart.paint();
});

const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A colour of six digits with less cover. */
const faint = (colour, share) => colour + Math.round(share * 255).toString(16).padStart(2, "0");

export class Chart {
  /**
   * In `host`. `spec` has `title`, `unit`, `x` (numbers; seconds if `isTime`), and `series`, each with `label`, `colour` (a
   * number), `values`, and perhaps `low` and `high`.
   */
  constructor(host, spec) {
    this.host = host;
    this.frame = element("div", { className: "plot", role: "img" });
    this.rows = element("div");
    const summary = element("summary", {}, "As a table");
    const details = element("details", { ontoggle: () => details.open && this.list() }, summary, this.rows);
    this.details = details;
    host.replaceChildren(this.frame, details);
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.frame);
    charts.add(this);
    this.set(spec);
  }

  set(spec) {
    this.spec = spec;
    this.frame.setAttribute("aria-label", described(spec));
    this.paint();
    if (this.details.open) this.list();
  }

  end() {
    charts.delete(this);
    this.resized.disconnect();
    this.plot?.destroy();
  }

  resize() {
    const width = this.frame.clientWidth;
    if (!width) return;
    if (this.plot) this.plot.setSize({ width, height: this.spec.height ?? 220 });
    else this.paint();
  }

  paint() {
    this.plot?.destroy();
    this.plot = undefined;
    const width = this.frame.clientWidth;
    if (!width) return;
    const { spec } = this;
    const text = themed("--muted");
    const grid = { stroke: themed("--line"), width: 1 };
    const axis = { stroke: text, grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const series = [{ label: spec.isTime ? "Time" : (spec.xTitle ?? "x"), value: (_, at) => (at === null ? "–" : spec.isTime ? dateTime(at * 1000) : number(at)) }];
    const data = [spec.x];
    const bands = [];
    for (const of of spec.series) {
      const stroke = themed(SERIES[of.colour % SERIES.length]);
      const { low, high, values } = of;
      const value = (plot, mean, _, index) => {
        if (index === null || index === undefined || mean === null) return "–";
        const edges = low ? ` (${number(low[index])} … ${number(high[index])})` : "";
        return `${number(mean, spec.unit)}${edges}`;
      };
      const width = spec.isDots ? 0 : 1.6;
      series.push({ label: of.label, stroke, width, value, points: { size: 4, fill: stroke, ...(spec.isDots ? { show: true } : {}) } });
      data.push(values);
      if (low) {
        const edge = { width: 0, stroke: "transparent", points: { show: false }, class: "edge" };
        series.push({ ...edge, label: `${of.label}, most` }, { ...edge, label: `${of.label}, least` });
        data.push(high, low);
        bands.push({ series: [series.length - 2, series.length - 1], fill: faint(stroke, spec.series.length > 2 ? 0.12 : 0.22) });
      }
    }
    const options = {
      width,
      height: spec.height ?? 220,
      series,
      bands,
      padding: [10, 34, 0, 0],
      scales: { x: { time: Boolean(spec.isTime) }, y: spec.range ? { range: spec.range } : {} },
      axes: [
        { ...axis, size: 34, space: 60, values: spec.isTime ? times : undefined },
        { ...axis, size: 52, values: (_, all) => all.map((of) => (of === null ? "" : Number(of.toPrecision(6)).toLocaleString(undefined, { maximumFractionDigits: 6 }))) },
      ],
      cursor: { points: { size: 7 }, drag: { x: true, y: false } },
      legend: { live: true },
    };
    this.plot = new window.uPlot(options, data, this.frame);
  }

  list() {
    const { spec } = this;
    const columns = [{ title: spec.isTime ? "Time" : (spec.xTitle ?? "x"), cell: (at) => (spec.isTime ? dateTime(spec.x[at] * 1000) : number(spec.x[at])) }];
    for (const of of spec.series) {
      columns.push({ title: spec.unit ? `${of.label}, ${spec.unit}` : of.label, cell: (at) => number(of.values[at]), isNumber: true });
      if (of.low) {
        columns.push({ title: "Least", cell: (at) => number(of.low[at]), isNumber: true });
        columns.push({ title: "Most", cell: (at) => number(of.high[at]), isNumber: true });
      }
    }
    const has = (at) => spec.series.some((of) => of.values[at] !== null);
    const rows = spec.x.map((_, at) => at).filter(has).reverse();
    this.rows.replaceChildren(table(spec.title, columns, rows.slice(0, 1000)));
  }
}

/** Labels of a time axis: hours where it is short, days and months where it is long. */
function times(plot, all, _, __, step) {
  const form =
    step < 86_400
      ? { hour: "2-digit", minute: "2-digit" }
      : step < 86_400 * 28
        ? { day: "numeric", month: "short" }
        : { month: "short", year: "2-digit" };
  const write = new Intl.DateTimeFormat(undefined, form);
  return all.map((at) => write.format(at * 1000));
}

/** A chart in words: how far each line goes. */
function described(spec) {
  const parts = spec.series.map((of) => {
    const known = of.values.filter((value) => value !== null && value !== undefined);
    if (!known.length) return `${of.label}: no values`;
    const [least, most] = [Math.min(...(of.low ?? known).filter((v) => v !== null)), Math.max(...(of.high ?? known).filter((v) => v !== null))];
    return `${of.label}: from ${number(least, spec.unit)} to ${number(most, spec.unit)}, last ${number(known[known.length - 1], spec.unit)}`;
  });
  return `${spec.title}. ${parts.join(". ")}.`;
}
