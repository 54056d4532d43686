// Writes assets/land.json, the outlines of land and the borders of the page's map, from Natural Earth 1:50m:
//
//   npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz && node outlines.mjs package assets/land.json
//
// A line is a list of differences of longitude and latitude in hundredths of degrees, the first from 0, 0.

import { readFileSync, writeFileSync } from "node:fs";

const SCALE = 100;
/** Square degrees: triangles of three points that are smaller go (Visvalingam), and so do islands. */
const [TRIANGLE_MIN, ISLAND_MIN] = [0.01, 0.05];
const [source, target] = process.argv.slice(2);

const read = (name) => JSON.parse(readFileSync(`${source}/${name}`));

/** The arcs of a TopoJSON file in degrees. */
function arcsOf({ transform: { scale, translate }, arcs }) {
  return arcs.map((arc) => {
    let [x, y] = [0, 0];
    return arc.map(([dx, dy]) => {
      [x, y] = [x + dx, y + dy];
      return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
    });
  });
}

function simplified(line) {
  const points = line.map((at, i) => ({ at, before: i - 1, after: i + 1, isGone: false }));
  const last = line.length - 1;
  const area = (i) => {
    const [a, b, c] = [points[points[i].before].at, points[i].at, points[points[i].after].at];
    const shrink = Math.cos((b[1] * Math.PI) / 180);
    return (Math.abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])) * shrink) / 2;
  };
  const areas = points.map((_, i) => (i === 0 || i === last ? Infinity : area(i)));
  for (;;) {
    let least = 0;
    for (let i = 1; i < last; i += 1) if (areas[i] < areas[least]) least = i;
    const size = areas[least];
    if (!(size < TRIANGLE_MIN)) break;
    const { before, after } = points[least];
    areas[least] = Infinity;
    points[least].isGone = true;
    points[before].after = after;
    points[after].before = before;
    for (const i of [before, after]) if (i > 0 && i < last) areas[i] = Math.max(area(i), size);
  }
  return points.filter((of) => !of.isGone).map((of) => of.at);
}

function packed(line) {
  const out = [];
  let [px, py] = [0, 0];
  for (const [x, y] of line.map((at) => at.map((of) => Math.round(of * SCALE)))) {
    if (out.length && x === px && y === py) continue;
    out.push(x - px, y - py);
    [px, py] = [x, y];
  }
  return out;
}

const size = (ring) => Math.abs(ring.reduce((sum, [x, y], i) => sum + (x - ring.at(i - 1)[0]) * (y + ring.at(i - 1)[1]), 0) / 2);

/** A ring without jumps from one edge of the map to the other; one around a pole is closed along it. */
function unwrapped(ring) {
  let shift = 0;
  const out = ring.map(([x, y], i) => {
    const step = i ? x - ring[i - 1][0] : 0;
    shift += step > 180 ? -360 : step < -180 ? 360 : 0;
    return [x + shift, y];
  });
  if (shift) {
    const pole = out[0][1] < 0 ? -90 : 90;
    out.push([out.at(-1)[0], pole], [out[0][0], pole]);
  }
  return out;
}

/** What of a ring is east (1) or west (−1) of a meridian (Sutherland and Hodgman). */
function clipped(ring, edge, side) {
  const isIn = ([x]) => (x - edge) * side >= 0;
  return ring.flatMap((b, i) => {
    const a = ring.at(i - 1);
    const crossing = isIn(a) === isIn(b) ? [] : [[edge, a[1] + ((edge - a[0]) / (b[0] - a[0])) * (b[1] - a[1])]];
    return isIn(b) ? [...crossing, b] : crossing;
  });
}

const land = read("land-50m.json");
const coast = arcsOf(land);
const lines = [];
for (const ids of land.objects.land.geometries.flatMap((of) => of.arcs.flat())) {
  const ring = unwrapped(ids.flatMap((id, at) => (id < 0 ? coast[~id].toReversed() : coast[id]).slice(at ? 1 : 0)));
  const line = size(ring) < ISLAND_MIN ? [] : simplified(ring);
  if (line.length < 4) continue;
  lines.push(packed(line));
  // What goes over an edge of the map comes in at the other.
  const xs = line.map(([x]) => x);
  if (Math.max(...xs) > 180.01) lines.push(packed(clipped(line.map(([x, y]) => [x - 360, y]), -180, 1)));
  if (Math.min(...xs) < -180.01) lines.push(packed(clipped(line.map(([x, y]) => [x + 360, y]), 180, -1)));
}

// A border is an arc of two countries.
const countries = read("countries-50m.json");
const arcs = arcsOf(countries);
const owners = arcs.map(() => new Set());
for (const [at, { type, arcs: of }] of countries.objects.countries.geometries.entries()) {
  for (const id of (type === "Polygon" ? [of] : (of ?? [])).flat(2)) owners[id < 0 ? ~id : id].add(at);
}
const borders = arcs.filter((_, at) => owners[at].size > 1).map((arc) => packed(simplified(arc)));
writeFileSync(target, JSON.stringify({ scale: SCALE, land: lines, borders }));
