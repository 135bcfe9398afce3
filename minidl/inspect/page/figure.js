// The network drawn: a column for each layer with weights, circles for units, squares for pictures, and, between
// columns of units, the weights themselves as lines.

const CIRCLES = 20; // units drawn of a column; of more, the first ones and three dots
const SQUARES = 5;

function networkSection(engine) {
  const total = engine.layers.filter((layer) => engine.top.includes(layer)).reduce((sum, l) => sum + l.parameterCount, 0);
  const columns = columnsOf(engine);
  const drawing = h("div", { class: "drawing", tabindex: 0, role: "group", "aria-label": "The network, drawn" });
  const text = columns.map(({ shape, names }) => `${names.join(", ")}: ${shapeText(shape)}`).join("; ");
  return section(
    "network", "The network",
    quiet(`${whole(total)} parameters. The input enters on the left; each column is what a layer makes of it. `,
      "Lines are weights: ", h("b", { class: "positive" }, "orange"), " above 0, ",
      h("b", { class: "negative" }, "blue"), " below, the stronger the larger."),
    drawnToWidth(drawing, (width) => figureOf(columns, width, text)),
    layerTable(engine),
  );
}

// Layers as columns: one with weights begins a column, those without join the one before them.
function columnsOf(engine) {
  const columns = [{ names: ["input"], shape: engine.shape, count: 0 }];
  for (const layer of engine.top) {
    if (layer.parameterCount > 0 && layer.kind !== "BatchNorm") {
      columns.push({ names: [], shape: layer.outputShape, count: 0, layer });
    }
    const column = columns.at(-1);
    column.names.push(layer.kind);
    column.count += layer.parameterCount;
    if (columns.length > 1) column.shape = layer.outputShape;
  }
  return columns;
}

function figureOf(columns, width, text) {
  const longest = Math.max(...columns.map(({ shape }) => shapeText(shape).length));
  const gap = Math.max(58, 7 * longest + 12, (width - 60) / Math.max(1, columns.length - 1));
  const full = Math.max(width, 60 + gap * (columns.length - 1));
  const height = 250;
  const places = columns.map((column, i) => placesOf(column.shape, 30 + i * gap, height / 2 - 14));
  const lines = columns.flatMap((column, i) => (i ? weightLines(column, places[i - 1], places[i]) : []));
  const marks = columns.map((column, i) => marksOf(column, places[i]));
  const labels = columns.map((column, i) => {
    const anchor = i === 0 ? "start" : i === columns.length - 1 ? "end" : "middle";
    const x = { start: 2, middle: 30 + i * gap, end: full - 2 }[anchor];
    return svg("g", { "text-anchor": anchor },
      svg("text", { x, y: height - 16 }, shapeText(column.shape)),
      svg("text", { x, y: height - 2, class: "faint" }, column.count ? compact(column.count) : ""));
  });
  return svg("svg", { width: full, height, viewBox: `0 0 ${full} ${height}`, role: "img", "aria-label": text },
    lines, marks, labels);
}

function compact(count) {
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)} M`;
  return count >= 10000 ? `${Math.round(count / 1000)} k` : whole(count);
}

function placesOf(shape, x, middle) {
  if (shape.length > 1) {
    const side = Math.min(54, 12 + 7 * Math.log2(Math.max(...shape.slice(0, 2))) * 0.8);
    const count = shape.length === 3 && shape[2] !== 3 ? Math.min(SQUARES, shape[2]) : 1;
    return { x, middle, squares: count, side };
  }
  const units = shape[0] ?? 1;
  const count = Math.min(units, CIRCLES);
  const step = Math.min(16, 200 / Math.max(count, 1));
  const ys = Array.from({ length: count }, (_, i) => middle + (i - (count - 1) / 2) * step);
  return { x, middle, ys, radius: Math.min(5.5, step * 0.4), more: units > count };
}

function marksOf(column, { x, middle, ys, radius, more, squares, side }) {
  if (squares) {
    return Array.from({ length: squares }, (_, i) => {
      const shift = (i - (squares - 1) / 2) * 4;
      const [left, top] = [x - side / 2 + shift, middle - side / 2 + shift];
      return svg("rect", { x: left, y: top, width: side, height: side, rx: 3, class: "unit" });
    });
  }
  const circles = ys.map((y) => svg("circle", { cx: x, cy: y, r: radius, class: "unit" }));
  return more ? [...circles, svg("text", { x, y: ys.at(-1) + 15, "text-anchor": "middle", class: "faint" }, "⋮")] : circles;
}

// The weights between drawn units; from a picture, which has too many, a fan of plain lines.
function weightLines(column, from, to) {
  if (!to.ys) return [plainLine(from, to.x - to.side / 2, to.middle)];
  const weight = column.layer?.kind === "Dense" ? column.layer.weights.weight : undefined;
  if (!weight || !from.ys || from.more) return to.ys.map((y) => plainLine(from, to.x - to.radius, y));
  const [, inputs] = weight.shape;
  const largest = largestOf(weight.data) || 1;
  return to.ys.flatMap((y2, unit) =>
    from.ys.map((y1, i) => {
      const share = weight.data[unit * inputs + i] / largest;
      const kind = share < 0 ? "negative" : "positive";
      return svg("line", { x1: from.x, y1, x2: to.x, y2, class: `weight ${kind}`, "stroke-opacity": Math.abs(share).toFixed(3) });
    }),
  );
}

function plainLine(from, x2, y2) {
  const x1 = from.ys ? from.x + from.radius : from.x + from.side / 2 + 2 * (from.squares - 1);
  return svg("line", { x1, y1: from.middle, x2, y2, class: "weight plain" });
}

function layerTable(engine) {
  const depth = (layer) => (layer.path.match(/\./g) ?? []).length;
  const order = inReadingOrder(engine.top);
  const rows = order.map((layer) =>
    h("tr", {},
      h("th", { scope: "row", style: { "padding-left": `${depth(layer)}em` } }, layer.kind),
      h("td", { class: "formula" }, layer.formula.split("\n")[0]),
      h("td", { class: "figure" }, shapeText(layer.outputShape)),
      h("td", { class: "figure" }, layer.parameterCount ? whole(layer.parameterCount) : "–")));
  const head = ["layer", "what it computes", "output", "parameters"];
  const classes = ["", "formula", "figure", "figure"];
  return h("details", { open: order.length <= 14 }, h("summary", {}, "All layers"),
    h("div", { class: "scrolling" }, h("table", {},
      h("thead", {}, h("tr", {}, head.map((name, i) => h("th", { scope: "col", class: classes[i] }, name)))),
      h("tbody", {}, rows))));
}

function inReadingOrder(layers) {
  return layers.flatMap((layer) => [layer, ...inReadingOrder(layer.children ?? [])]);
}
