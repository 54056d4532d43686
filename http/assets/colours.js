// Scales of colour: which colour has a value, and a legend of them. Scales are ordered by lightness or have a neutral
// middle, so that they can be told apart by people who see few colours.

const STOPS = {
  // Warm and cold, after the usual maps of temperature.
  temperature: ["#6a4fd0", "#3f66d8", "#2f93da", "#5cc3c9", "#a6d98a", "#f0d755", "#f29b38", "#e2562f", "#c4264c"],
  // From "viridis" (matplotlib, CC0).
  sequential: ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"],
  amount: ["#8a94a6", "#6fa8dc", "#3d85c6", "#2a5fb0", "#5b3fa0", "#8e24aa", "#c2185b"],
  // The same colour at both ends: directions.
  cyclic: ["#3056c4", "#2fa3c9", "#55b97a", "#c9c24a", "#ef8f3a", "#d6456b", "#8b4fc0", "#3056c4"],
  // Bad is dark red, good is calm.
  share: ["#b01d3e", "#e2562f", "#f2a53a", "#cfd35a", "#6dbb7a", "#2f9e8f"],
  lateness: ["#2f9e8f", "#6dbb7a", "#cfd35a", "#f2a53a", "#e2562f", "#b01d3e"],
};
/** How many colours a scale has. */
export const LEVELS = 64;

function parts(hex) {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

function ramp(stops) {
  const colours = stops.map(parts);
  return Array.from({ length: LEVELS }, (_, level) => {
    const at = (level / (LEVELS - 1)) * (colours.length - 1);
    const left = Math.min(Math.floor(at), colours.length - 2);
    return colours[left].map((value, part) => Math.round(value + (colours[left + 1][part] - value) * (at - left)));
  });
}

const RAMPS = Object.fromEntries(Object.entries(STOPS).map(([name, stops]) => [name, ramp(stops)]));

/** The kind of scale for a column. */
export function kindOf({ name, unit, scale }) {
  if (scale) return scale;
  if (unit === "°C" || unit === "K" || unit === "°F" || name.includes("temperature") || name === "dew_point") return "temperature";
  if (unit === "°" || unit === "deg" || name.endsWith("direction")) return "cyclic";
  if (unit === "mm" || name.includes("precipitation") || name.includes("rain")) return "amount";
  return "sequential";
}

/** The scale of a column over its values: nearly all of them lie within its ends. */
export function scaleOf(column, values) {
  const kind = kindOf(column);
  const sorted = Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort();
  let [low, high] = [0, 1];
  if (sorted.length) {
    low = sorted[Math.floor(sorted.length * 0.01)];
    high = sorted[Math.ceil(sorted.length * 0.99) - 1];
  }
  if (kind === "cyclic") [low, high] = [0, 360];
  else if (kind === "share") [low, high] = [Math.min(low, 0.9), 1];
  else {
    if (kind === "amount" || kind === "lateness") low = 0;
    if (!(high > low)) high = low + 1;
    const step = nice((high - low) / 5);
    [low, high] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  }
  return { kind, low, high, ramp: RAMPS[kind], sorted };
}

/** A round step of about this size. */
export function nice(size) {
  const power = 10 ** Math.floor(Math.log10(size));
  const lead = size / power;
  return (lead < 1.5 ? 1 : lead < 3 ? 2 : lead < 7 ? 5 : 10) * power;
}

/** The level of a value in a scale. */
export function level({ low, high }, value) {
  const at = Math.round(((value - low) / (high - low)) * (LEVELS - 1));
  return at < 0 ? 0 : at >= LEVELS ? LEVELS - 1 : at;
}

export const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

export const colourOf = (scale, value) => (Number.isNaN(value) ? "var(--none)" : css(scale.ramp[level(scale, value)]));

/** Draws the colours, and over them how many values have each. */
export function drawLegend(canvas, scale) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const draw = canvas.getContext("2d");
  draw.scale(ratio, ratio);
  const counts = new Uint32Array(LEVELS);
  for (const value of scale.sorted) counts[level(scale, value)] += 1;
  const most = Math.max(1, ...counts);
  const [bar, step] = [10, width / LEVELS];
  for (let of = 0; of < LEVELS; of += 1) {
    draw.fillStyle = css(scale.ramp[of]);
    draw.fillRect(of * step, height - bar, step + 0.6, bar);
    const tall = Math.sqrt(counts[of] / most) * (height - bar - 3);
    draw.globalAlpha = 0.75;
    draw.fillRect(of * step, height - bar - 2 - tall, Math.max(step - 1, 1), tall);
    draw.globalAlpha = 1;
  }
}

/** Round values along a scale. */
export function ticks({ kind, low, high }) {
  if (kind === "cyclic") return [0, 90, 180, 270, 360];
  const step = nice((high - low) / 4);
  const values = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-6; value += step) values.push(Number(value.toPrecision(10)));
  return values;
}
