// One unit under the magnifying glass: its formula with the real numbers in it, its weights, and what made it.

const TERMS = 8;

function unitDetail(view, layer, unit) {
  const step = view.forward.step(layer.path);
  const title = h("h3", {}, `${step.outputShape.length === 3 ? "Map" : "Unit"} ${unit + 1} of ${layer.kind}`);
  const parts = layer.kind === "Dense" && step.outputShape.length === 1
    ? denseDetail(view, layer, step, unit)
    : layer.kind === "Conv2D" ? convDetail(layer, step, unit) : elementDetail(layer, step, unit);
  return [title, ...parts];
}

// A number in brackets where a formula needs them.
function inBrackets(value) {
  return value < 0 ? `(${number(value)})` : number(value);
}

function formula(...parts) {
  return h("p", { class: "formula-line" }, ...parts);
}

function denseDetail(view, layer, step, unit) {
  const inputs = step.input.length;
  const row = layer.weights.weight.data.subarray(unit * inputs, (unit + 1) * inputs);
  const bias = layer.weights.bias?.data[unit] ?? 0;
  const z = step.output[unit];
  const order = Array.from(row.keys());
  const product = (i) => row[i] * step.input[i];
  order.sort((i, j) => Math.abs(product(j)) - Math.abs(product(i)));
  const first = order.slice(0, inputs <= TERMS + 2 ? inputs : TERMS);
  let rest = 0;
  for (let k = first.length; k < inputs; k++) rest += product(order[k]);
  const terms = [...first].sort((i, j) => i - j).map((i) => h("tr", {}, [placeOf(view, layer, i), number(row[i]), number(step.input[i]), number(product(i))].map(cellText)));
  if (first.length < inputs) terms.push(h("tr", {}, cellText(`the other ${whole(inputs - first.length)}`), h("td"), h("td"), cellText(number(rest))));
  terms.push(h("tr", {}, cellText("b"), cellText(number(bias)), h("td"), cellText(number(bias))));
  terms.push(h("tr", { class: "total" }, cellText("z"), h("td"), h("td"), cellText(number(z))));
  const table = h("table", { class: "terms" },
    h("thead", {}, h("tr", {}, ["input", "weight w", "a", "w · a"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, terms));
  const shown = first.slice(0, 3).map((i) => `${inBrackets(row[i])} · ${inBrackets(step.input[i])}`).join(" + ");
  return [
    formula(h("i", {}, "z"), ` = Σ w a + b = ${shown}${inputs > 3 ? " + …" : ""} + ${inBrackets(bias)} = `, h("b", {}, number(z))),
    followedBy(view, layer, unit),
    h("div", { class: "detail-columns" }, h("div", { class: "scrolling" }, table), ...unitPictures(view, layer, row, step, unit)),
    ...influencesOf(view, layer, unit),
  ];
}

// The first layer sees the pixels of a photograph, row by row.
function placeOf(view, layer, i) {
  const [, width, channels] = view.engine.shape;
  if (!seesPhotograph(view, layer)) return String(i + 1);
  const colour = channels === 3 ? `, ${["red", "green", "blue"][i % 3]}` : "";
  const pixel = Math.floor(i / channels);
  return `row ${Math.floor(pixel / width) + 1}, column ${(pixel % width) + 1}${colour}`;
}

// Whether a Dense is the first layer with weights, and its inputs are the photograph's numbers.
function seesPhotograph(view, layer) {
  const { shape } = view.engine;
  const isFirst = layer === view.engine.layers.find((each) => each.weights.weight);
  return isFirst && shape.length === 3 && layer.weights.weight.shape[1] === shape.reduce((a, b) => a * b, 1);
}

function cellText(text) {
  return h("td", {}, String(text));
}

// What the next layer makes of the number, where that takes each for itself.
function followedBy(view, layer, unit) {
  const next = view.engine.top[view.engine.top.indexOf(layer) + 1];
  const step = next && view.forward.step(next.path);
  if (!step || step.output.length !== step.input.length || next.parameterCount) return [];
  return formula(...elementFormula(next, step.input[unit], step.output[unit]));
}

function elementFormula(layer, z, a) {
  const known = {
    ReLU: ["max(z, 0)", `max(${number(z)}, 0)`],
    Sigmoid: ["1 / (1 + e⁻ᶻ)", `1 / (1 + e^${inBrackets(-z)})`],
    Tanh: ["tanh z", `tanh ${inBrackets(z)}`],
  }[layer.kind];
  if (known) return [h("i", {}, "a"), ` = ${known[0]} = ${known[1]} = `, h("b", {}, number(a))];
  return [`${layer.kind}: ${number(z)} becomes `, h("b", {}, number(a))];
}

function elementDetail(layer, step, unit) {
  if (step.outputShape.length === 3) return mapDetail(step, unit);
  const line = step.input.length === step.output.length ? formula(...elementFormula(layer, step.input[unit], step.output[unit])) : formula(`${layer.kind}: `, h("b", {}, number(step.output[unit])));
  return [line, layer.formula ? quiet(layer.formula) : []];
}

function mapDetail(step, channel) {
  const [height, width, channels] = step.outputShape;
  const values = step.output.filter((_, i) => i % channels === channel);
  const [low, high] = rangeOf(values);
  return [
    formula(`${height} × ${width} numbers from ${number(low)} to ${number(high)}`),
    h("div", { class: "pictures large" }, named(heatMap(values, height, width), "the map, larger")),
  ];
}

// A convolution's number at the place where it is largest, and its kernel.
function convDetail(layer, step, channel) {
  const { weight, bias } = layer.weights;
  const [height, width, channels] = step.outputShape;
  let best = channel;
  for (let i = channel; i < step.output.length; i += channels) if (step.output[i] > step.output[best]) best = i;
  const place = Math.floor(best / channels);
  const [z, b] = [step.output[best], bias?.data[channel] ?? 0];
  const size = weight.data.length / weight.shape[0];
  const kernel = weight.data.subarray(channel * size, (channel + 1) * size);
  const [rows, columns, inputs] = weight.shape.slice(1);
  const picture = inputs === 3 ? colourMap(kernel, rows, columns) : heatMap(kernel, rows, columns * inputs);
  return [
    formula("Largest in row ", String(Math.floor(place / width) + 1), `, column ${(place % width) + 1} of ${height} × ${width}: `, h("i", {}, "z"),
      ` = Σ w a + b = ${number(z - b)} + ${inBrackets(b)} = `, h("b", {}, number(z)), `, a sum of ${whole(size)} products`),
    h("div", { class: "pictures large" }, captioned(named(picture, "the kernel"), "its kernel"),
      captioned(named(heatMap(step.output, height, width, channels, channel), "the map"), "its map")),
  ];
}

function captioned(picture, text) {
  return h("figure", {}, picture, h("figcaption", {}, text));
}

// The weights of a unit that sees the photograph itself, as a picture, and each weight times its pixel.
function unitPictures(view, layer, row, step, unit) {
  if (!seesPhotograph(view, layer)) return [];
  const { shape } = view.engine;
  const pictures = [captioned(named(mapOf(row, shape), "its weights"), "its weights W")];
  if (view.changes) pictures.push(captioned(named(view.changes.canvas(unit), "what training changed"), "what training changed, W − W(0)"));
  const products = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => {
    let sum = 0;
    for (let c = 0; c < shape[2]; c++) sum += row[i * shape[2] + c] * step.input[i * shape[2] + c];
    return sum;
  });
  pictures.push(captioned(named(heatMap(products, shape[0], shape[1]), "weights times pixels"), "w · a of each pixel"));
  return [h("div", { class: "pictures large" }, pictures)];
}

// The training photographs of which the unit's learned change is the weighted sum, the strongest first.
function influencesOf(view, layer, unit) {
  const { influences, path } = view.data.units ?? {};
  if (!influences || path !== layer.path || !influences.units[unit]) return [];
  const what = view.data.input.isPicture ? "photographs" : "samples";
  const { more, less, residual } = influences.units[unit];
  const row = (title, entries) => !entries.length ? [] : [h("h4", {}, title), h("div", { class: "pictures" }, entries.map(([place, weight]) =>
    captioned(named(view.influencing.canvas(place), `training photograph with the coefficient ${number(weight)}`), number(weight))))];
  return [
    h("h3", {}, `The ${what} that made it`),
    quiet(`Gradient descent adds multiples of training ${what} to a unit's weights, so that W − W(0) is a weighted sum of them. These have the largest coefficients. `,
      "It does not say what the unit would be without one of them. ", residual > 1e-3 ? `The sum leaves ${percent(residual)} of the change unexplained.` : ""),
    ...row("added", more), ...row("taken away", less),
  ];
}
