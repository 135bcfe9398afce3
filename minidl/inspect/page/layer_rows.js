// The numbers of a layer, drawn: a strip of cells for units, small pictures for maps, one picture for a photograph.

const CELLS = 40; // units that are cells with numbers or buttons; more are a plain strip
const MAPS = 12;

// A strip that is looked at.
function stripOf(values) {
  const largest = largestOf(values) || 1;
  if (values.length > CELLS) return stripCanvas(values);
  return h("div", { class: "strip" }, Array.from(values, (value) => cellOf("span", value, largest)));
}

function stripCanvas(values) {
  const canvas = heatMap(values, 1, values.length);
  canvas.className = "strip-canvas";
  return named(canvas, `${whole(values.length)} numbers`);
}

function cellOf(tag, value, largest, attributes = {}) {
  const share = value / largest;
  const style = { "background-color": `rgb(${colourOf(share).join(" ")})`, color: inkOn(share) };
  return h(tag, { class: "cell", style, ...attributes }, short(value));
}

function named(canvas, label) {
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

// A row of the way through: the layer, and its output with a button for each unit; `choose(layer, unit)` opens one.
function layerRow(layer, step, choose) {
  const name = h("div", { class: "layer-name" }, h("b", {}, layer.kind), h("span", {}, shapeText(step.outputShape)));
  return h("div", { class: "layer" }, name, outputOf(layer, step.output, step.outputShape, choose));
}

function outputOf(layer, output, shape, choose) {
  if (shape.length === 3) return mapsOf(layer, output, shape, choose);
  if (shape.length === 2) return named(heatMap(output, shape[0], shape[1]), `${shapeText(shape)} numbers`);
  if (output.length > CELLS) return stripCanvas(output);
  const largest = largestOf(output) || 1;
  const cells = Array.from(output, (value, unit) =>
    cellOf("button", value, largest, {
      type: "button", "aria-pressed": "false", "aria-label": `unit ${unit + 1} of ${layer.kind}: ${number(value)}`,
      "data-unit": `${layer.path}/${unit}`, onclick: () => choose(layer, unit),
    }));
  return asOneStop(h("div", { class: "strip", role: "group", "aria-label": `units of ${layer.kind}` }, cells));
}

function mapsOf(layer, output, shape, choose) {
  const [height, width, channels] = shape;
  if (layer.parameterCount === 0 && channels === 3) {
    const [low, high] = rangeOf(output);
    const pixels = Uint8ClampedArray.from(output, (value) => (255 * (value - low)) / (high - low || 1));
    return h("div", { class: "maps" }, named(canvasOf(pixels, height, width), `the photograph, from ${number(low)} to ${number(high)}`),
      h("span", { class: "faint" }, `from ${number(low)} to ${number(high)}`));
  }
  const maps = Array.from({ length: Math.min(channels, MAPS) }, (_, channel) =>
    h("button", { type: "button", class: "map", "aria-pressed": "false", "aria-label": `map ${channel + 1} of ${layer.kind}`,
      "data-unit": `${layer.path}/${channel}`, onclick: () => choose(layer, channel) },
      heatMap(output, height, width, channels, channel)));
  const rest = channels > MAPS ? h("span", { class: "faint" }, `and ${channels - MAPS} more`) : [];
  return h("div", { class: "maps" }, asOneStop(h("div", { class: "maps", role: "group", "aria-label": `maps of ${layer.kind}` }, maps)), rest);
}

function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}
