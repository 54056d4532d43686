// The map: land and borders on one canvas, and over it the places as discs, which are drawn into the pixels of another,
// so that 15,000 of them move smoothly without a graphics processor.
//
//   degrees ─► Miller's cylindrical projection, 0…1 ─► view: centre and scale ─► pixels

import { LEVELS, level } from "./colours.js";

const ZOOM_MAX = 400;
/** Latitudes that the first view shows: people live there. */
const [NORTH, SOUTH] = [78, -57];
const TOP = miller(84);
const HEIGHT = miller(-62) - TOP;

function miller(latitude) {
  const phi = (latitude * Math.PI) / 180;
  return -1.25 * Math.log(Math.tan(Math.PI / 4 + 0.4 * phi)) / (2 * Math.PI);
}

export const project = (longitude, latitude) => [(longitude + 180) / 360, miller(latitude)];

/** Outlines as one path in units of the projection. */
function outline(lines, scale, isClosed) {
  const path = new Path2D();
  for (const line of lines) {
    let [x, y] = [0, 0];
    for (let at = 0; at < line.length; at += 2) {
      x += line[at];
      y += line[at + 1];
      const [px, py] = project(x / scale, Math.max(-84, Math.min(84, y / scale)));
      if (at) path.lineTo(px, py);
      else path.moveTo(px, py);
    }
    if (isClosed) path.closePath();
  }
  return path;
}

/** Which pixels a disc covers, and how much: rows of (dx, dy, alpha). */
const discs = new Map();
function disc(radius, rim) {
  const key = `${radius}/${rim}`;
  if (discs.has(key)) return discs.get(key);
  const pixels = [];
  const reach = Math.ceil(radius);
  for (let dy = -reach; dy <= reach; dy += 1) {
    for (let dx = -reach; dx <= reach; dx += 1) {
      const far = Math.hypot(dx, dy);
      const alpha = Math.min(1, Math.max(0, radius - far + 0.5));
      if (alpha > 0.05) pixels.push(dx, dy, Math.round(alpha * 255), rim && far > radius - 1.4 ? 1 : 0);
    }
  }
  const made = Int16Array.from(pixels);
  discs.set(key, made);
  return made;
}

export class PlaceMap extends EventTarget {
  /** Over two canvases in `frame`; sends `pick` and `hover` with the index of a place. */
  constructor(frame) {
    super();
    this.frame = frame;
    [this.base, this.dots] = frame.querySelectorAll("canvas");
    this.x = new Float64Array();
    this.y = new Float64Array();
    this.values = new Float64Array();
    this.chosen = [];
    this.hovered = -1;
    this.view = { x: 0.5, y: TOP + HEIGHT / 2, scale: 0 };
    this.pointers = new Map();
    this.isDirty = false;
    new ResizeObserver(() => this.resize()).observe(frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.listen();
  }

  setLand({ scale, land, borders }) {
    this.land = outline(land, scale, true);
    this.borders = outline(borders, scale, false);
    this.draw();
  }

  /** Places by longitude and latitude; later ones are drawn over earlier ones. */
  setPlaces(longitudes, latitudes) {
    const count = longitudes.length;
    this.x = new Float64Array(count);
    this.y = new Float64Array(count);
    for (let at = 0; at < count; at += 1) [this.x[at], this.y[at]] = project(longitudes[at], latitudes[at]);
    this.values = new Float64Array(count).fill(NaN);
    this.isOld = new Uint8Array(count);
    // A few places near to one another are shown from near.
    if (count && count < 500) this.fit(Array.from({ length: count }, (_, at) => at));
    else this.home();
  }

  /** A value of each place, NaN for none; those that are old are drawn faint. */
  setValues(values, scale, isOld) {
    this.values = values;
    this.scale = scale;
    this.isOld = isOld;
    this.draw();
  }

  /** Chosen places with the colours of their rings. */
  setChosen(chosen) {
    this.chosen = chosen;
    this.draw();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (!width || !height) return;
    const isFirst = !this.width;
    [this.width, this.height, this.ratio] = [Math.round(width * ratio), Math.round(height * ratio), ratio];
    for (const canvas of [this.base, this.dots]) [canvas.width, canvas.height] = [this.width, this.height];
    if (isFirst || !this.moved) this.home();
    this.limit();
    this.draw();
  }

  /** The least scale: all land is to be seen, or on narrow screens its height fills the frame. */
  least() {
    const whole = Math.min(this.width, this.height / (miller(SOUTH) - miller(NORTH)));
    return Math.max(whole, Math.min(this.height / HEIGHT, this.width * 2.2) * 0.75);
  }

  home() {
    if (!this.width) return;
    this.view = { x: 0.53, y: (miller(NORTH) + miller(SOUTH)) / 2, scale: this.least() };
    this.moved = false;
    this.limit();
    this.draw();
  }

  /** Shows these places. */
  fit(indices) {
    if (!this.width || !indices.length) return;
    const xs = indices.map((at) => this.x[at]);
    const ys = indices.map((at) => this.y[at]);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const scale = Math.min(this.width / (right - left + 0.02), this.height / (bottom - top + 0.02)) * 0.8;
    this.view = { x: (left + right) / 2, y: (top + bottom) / 2, scale: Math.min(scale, this.width * 12) };
    this.moved = true;
    this.limit();
    this.draw();
  }

  /** Moves so that a place is in sight. */
  show(index) {
    const [x, y] = this.at(index);
    const edge = 40 * this.ratio;
    if (x > edge && y > edge && x < this.width - edge && y < this.height - edge) return;
    Object.assign(this.view, { x: this.x[index], y: this.y[index] });
    this.moved = true;
    this.limit();
    this.draw();
  }

  limit() {
    const { view } = this;
    const least = this.least();
    view.scale = Math.min(Math.max(view.scale, least), least * ZOOM_MAX);
    const [halfX, halfY] = [this.width / view.scale / 2, this.height / view.scale / 2];
    view.x = halfX >= 0.5 ? 0.5 : Math.min(Math.max(view.x, halfX), 1 - halfX);
    const [top, bottom] = [TOP + halfY, TOP + HEIGHT - halfY];
    view.y = top > bottom ? (top + bottom) / 2 : Math.min(Math.max(view.y, top), bottom);
  }

  at(index) {
    const { x, y, scale } = this.view;
    return [(this.x[index] - x) * scale + this.width / 2, (this.y[index] - y) * scale + this.height / 2];
  }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const { view } = this;
    const before = view.scale;
    view.scale *= factor;
    const least = this.least();
    view.scale = Math.min(Math.max(view.scale, least), least * ZOOM_MAX);
    const shift = 1 / before - 1 / view.scale;
    view.x += (px - this.width / 2) * shift;
    view.y += (py - this.height / 2) * shift;
    this.moved = view.scale > least * 1.01;
    this.limit();
    this.draw();
  }

  pan(dx, dy) {
    this.view.x -= dx / this.view.scale;
    this.view.y -= dy / this.view.scale;
    this.moved = true;
    this.limit();
    this.draw();
  }

  draw() {
    if (this.isDirty) return;
    this.isDirty = true;
    requestAnimationFrame(() => {
      this.isDirty = false;
      if (!this.width) return;
      const begun = performance.now();
      this.drawBase();
      this.drawDots();
      this.tookMs = performance.now() - begun;
    });
  }

  drawBase() {
    const draw = this.base.getContext("2d", { alpha: false });
    const style = getComputedStyle(this.frame);
    const { x, y, scale } = this.view;
    draw.setTransform(1, 0, 0, 1, 0, 0);
    draw.fillStyle = style.getPropertyValue("--sea");
    draw.fillRect(0, 0, this.width, this.height);
    if (!this.land) return;
    draw.setTransform(scale, 0, 0, scale, this.width / 2 - x * scale, this.height / 2 - y * scale);
    draw.fillStyle = style.getPropertyValue("--land");
    draw.fill(this.land, "evenodd");
    draw.lineWidth = (0.6 * this.ratio) / scale;
    draw.strokeStyle = style.getPropertyValue("--border");
    draw.stroke(this.borders);
  }

  /** The radius of a place's disc, in pixels of the screen: larger from near. */
  radius() {
    const near = this.view.scale / this.least();
    const crowd = Math.sqrt(15_000 / Math.max(this.x.length, 60));
    const size = (1.05 + 0.55 * (this.width / this.ratio / 1000)) * Math.min(crowd, 3) * near ** 0.45;
    return Math.round(Math.min(size, 9) * this.ratio * 4) / 4;
  }

  drawDots() {
    const draw = this.dots.getContext("2d");
    const { width, height } = this;
    if (this.image?.width !== width || this.image?.height !== height) {
      this.image = draw.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else this.pixels.fill(0);
    if (this.scale) this.rasterize();
    draw.putImageData(this.image, 0, 0);
    for (const { index, colour } of this.chosen) this.ring(draw, index, colour, 2.5);
    if (this.hovered >= 0) this.ring(draw, this.hovered, getComputedStyle(this.frame).getPropertyValue("--text"), 1.5);
    if (this.hasCross) this.cross(draw);
  }

  rasterize() {
    const { width, height, pixels, scale: colours } = this;
    const radius = this.radius();
    const stamp = disc(radius, radius > 4 * this.ratio);
    const packed = (rgb, share) => ((rgb[2] * share) << 16) | ((rgb[1] * share) << 8) | (rgb[0] * share);
    const fills = Uint32Array.from({ length: LEVELS }, (_, at) => packed(colours.ramp[at], 1));
    const rims = Uint32Array.from({ length: LEVELS }, (_, at) => packed(colours.ramp[at], 0.6));
    const reach = Math.ceil(radius) + 1;
    const none = packed([128, 134, 145], 1);
    for (let index = 0; index < this.x.length; index += 1) {
      const [px, py] = this.at(index);
      if (px < -reach || py < -reach || px > width + reach || py > height + reach) continue;
      const value = this.values[index];
      const isNone = Number.isNaN(value);
      const of = isNone ? 0 : level(colours, value);
      const [fill, rim] = isNone ? [none, none] : [fills[of], rims[of]];
      const most = isNone || this.isOld[index] ? 90 : 255;
      const [cx, cy] = [Math.round(px), Math.round(py)];
      for (let at = 0; at < stamp.length; at += 4) {
        const [x, y] = [cx + stamp[at], cy + stamp[at + 1]];
        if (x < 0 || y < 0 || x >= width || y >= height) continue;
        const alpha = stamp[at + 2] < most ? stamp[at + 2] : most;
        const to = y * width + x;
        const before = pixels[to];
        if (alpha < 255 && before >>> 24 > alpha) continue;
        pixels[to] = ((alpha << 24) | (stamp[at + 3] ? rim : fill)) >>> 0;
      }
    }
  }

  ring(draw, index, colour, wide) {
    const [x, y] = this.at(index);
    const style = getComputedStyle(this.frame);
    for (const [extra, paint] of [[2, style.getPropertyValue("--land")], [0, colour]]) {
      draw.beginPath();
      draw.arc(x, y, this.radius() + 4 * this.ratio, 0, 2 * Math.PI);
      draw.lineWidth = (wide + extra) * this.ratio;
      draw.strokeStyle = paint;
      draw.stroke();
    }
  }

  /** Where the keyboard would choose. */
  cross(draw) {
    const [x, y, long] = [this.width / 2, this.height / 2, 9 * this.ratio];
    draw.beginPath();
    draw.moveTo(x - long, y);
    draw.lineTo(x + long, y);
    draw.moveTo(x, y - long);
    draw.lineTo(x, y + long);
    draw.lineWidth = 1.5 * this.ratio;
    draw.strokeStyle = getComputedStyle(this.frame).getPropertyValue("--text");
    draw.stroke();
  }

  /** The place nearest to a point, within a reach in pixels; −1 if there is none. */
  nearest(px, py, reach) {
    let [found, least] = [-1, reach * reach];
    for (let index = 0; index < this.x.length; index += 1) {
      const [x, y] = this.at(index);
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (far <= least) [found, least] = [index, far];
    }
    return found;
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.draw();
    this.dispatchEvent(new CustomEvent("hover", { detail: index }));
  }

  pick(index, isAdded) {
    if (index >= 0) this.dispatchEvent(new CustomEvent("pick", { detail: { index, isAdded } }));
  }

  listen() {
    const { frame } = this;
    const point = (event) => {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
    };
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...point(event));
    }, { passive: false });
    frame.addEventListener("pointerdown", (event) => {
      if (event.button || event.target.closest("button")) return;
      frame.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, point(event));
      this.travelled = this.pointers.size > 1 ? 1e9 : 0;
    });
    frame.addEventListener("pointermove", (event) => {
      const to = point(event);
      const from = this.pointers.get(event.pointerId);
      if (!from) {
        if (event.pointerType === "mouse") this.hover(this.nearest(...to, 12 * this.ratio));
        return;
      }
      this.pointers.set(event.pointerId, to);
      if (this.pointers.size === 2) this.pinch(event.pointerId, from, to);
      else {
        this.travelled += Math.hypot(to[0] - from[0], to[1] - from[1]);
        if (this.travelled > 4 * this.ratio) this.pan(to[0] - from[0], to[1] - from[1]);
      }
    });
    const end = (event) => {
      const at = this.pointers.get(event.pointerId);
      this.pointers.delete(event.pointerId);
      if (event.type !== "pointerup" || !at || this.travelled > 4 * this.ratio) return;
      const reach = (event.pointerType === "touch" ? 24 : 12) * this.ratio;
      this.pick(this.nearest(...at, reach), event.shiftKey || event.ctrlKey || event.metaKey);
    };
    frame.addEventListener("pointerup", end);
    frame.addEventListener("pointercancel", end);
    frame.addEventListener("pointerleave", () => this.hover(-1));
    frame.addEventListener("dblclick", (event) => this.zoom(2, ...point(event)));
    frame.addEventListener("keydown", (event) => this.key(event));
    frame.addEventListener("blur", () => this.cursor(false));
  }

  pinch(id, from, to) {
    const [other] = [...this.pointers].filter(([of]) => of !== id).map(([, at]) => at);
    const far = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]);
    this.zoom(far(to) / Math.max(far(from), 1), (to[0] + other[0]) / 2, (to[1] + other[1]) / 2);
    this.pan((to[0] - from[0]) / 2, (to[1] - from[1]) / 2);
  }

  cursor(isShown) {
    this.hasCross = isShown;
    this.hover(isShown ? this.nearest(this.width / 2, this.height / 2, 60 * this.ratio) : -1);
    this.draw();
  }

  key(event) {
    if (event.target !== this.frame || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60 * this.ratio;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) this.pan(...moves[event.key]);
    else if (["+", "="].includes(event.key)) this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0" || event.key === "Home") this.home();
    else if (event.key === "Enter" || event.key === " ") {
      this.pick(this.nearest(this.width / 2, this.height / 2, 60 * this.ratio), event.shiftKey);
    } else return;
    event.preventDefault();
    this.cursor(true);
  }
}
