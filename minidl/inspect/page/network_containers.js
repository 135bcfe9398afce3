// Containers: layers in a row, side by side, and with a shortcut past them.

const ROW = {
  forward: (layer, x, pass) => ({ output: layer.children.reduce((value, child) => pass.run(child, value), x) }),
  backward: (layer, gradOutput, record, pass) => ({
    gradInput: layer.children.reduceRight((gradient, child) => pass.run(child, gradient), gradOutput),
  }),
};

OPERATIONS.Sequential = ROW;
OPERATIONS.TransformerBlock = ROW;

// Layers in a row that leave out padding: the steps all of whose numbers are the padding number.
OPERATIONS.Masked = {
  forward(layer, x, pass) {
    if (x.shape.length !== 1 && x.shape.length !== 2) refuse(layer, "(time) or (time, features)", x.shape);
    const padding = Math.fround(layer.arguments.padding);
    const features = x.data.length / x.shape[0];
    const isReal = (_, step) => x.data.subarray(step * features, (step + 1) * features).some((n) => n !== padding);
    const own = Array.from({ length: x.shape[0] }, isReal);
    if (!own.includes(true)) refuse(layer, `a step that is not the padding ${layer.arguments.padding}`, x.shape);
    const outer = pass.mask;
    const mask = outer && outer.length === own.length ? own.map((real, step) => real && outer[step]) : own;
    pass.mask = mask.includes(false) ? mask : undefined;
    try {
      return ROW.forward(layer, x, pass);
    } finally {
      pass.mask = outer;
    }
  },
  backward: ROW.backward,
};

// The layers that a Residual has in a row, and its shortcut.
function partsOf(layer) {
  const isShortcut = (child) => lastOf(child.path.split(".")) === "shortcut";
  return [layer.children.filter((child) => !isShortcut(child)), layer.children.find(isShortcut)];
}

OPERATIONS.Residual = {
  forward(layer, x, pass) {
    const [row, shortcut] = partsOf(layer);
    const past = shortcut ? pass.run(shortcut, x) : x;
    const output = row.reduce((value, child) => pass.run(child, value), x);
    return { output: sumOf(output, sameShape(layer, [past, output])[0]) };
  },
  backward(layer, gradOutput, record, pass) {
    const [row, shortcut] = partsOf(layer);
    const through = row.reduceRight((gradient, child) => pass.run(child, gradient), gradOutput);
    return { gradInput: each(sumOf, through, shortcut ? pass.run(shortcut, gradOutput) : gradOutput) };
  },
};

function sameShape(layer, outputs, axes = undefined) {
  const [first, ...others] = outputs.map(({ shape }) => shape.slice(0, axes).join(", "));
  if (others.some((other) => other !== first)) refuse(layer, `outputs of one shape (${first})`, outputs.at(-1).shape);
  return outputs;
}

// How outputs are merged, and what of the merged output's gradient g belongs to output i.
const MERGES = {
  sum: { value: (outputs) => outputs.reduce(sumOf), gradient: (g) => g },
  mean: {
    value: (outputs) => scaled(outputs.reduce(sumOf), 1 / outputs.length),
    gradient: (g, i, outputs) => scaled(g, 1 / outputs.length),
  },
  multiply: {
    value: (outputs) => outputs.reduce(product),
    gradient: (g, i, outputs) => outputs.filter((_, other) => other !== i).reduce(product, g),
  },
  concatenate: { value: concatenated, gradient: (g, i, outputs) => sliceOf(g, i, outputs) },
};

function scaled(x, factor) {
  return tensor(x.shape, x.data.map((number) => factor * number));
}

function product(a, b) {
  return tensor(a.shape, a.data.map((number, i) => number * b.data[i]));
}

// Outputs side by side along the last axis.
function concatenated(outputs) {
  const widths = outputs.map(({ shape }) => lastOf(shape));
  const width = widths.reduce((sum, one) => sum + one, 0);
  const y = tensor([...outputs[0].shape.slice(0, -1), width]);
  const rows = y.data.length / width;
  for (let row = 0; row < rows; row++) {
    let start = row * width;
    outputs.forEach(({ data }, i) => {
      y.data.set(data.subarray(row * widths[i], (row + 1) * widths[i]), start);
      start += widths[i];
    });
  }
  return y;
}

// The part of g along the last axis that belongs to output i of a concatenation.
function sliceOf(g, i, outputs) {
  const width = lastOf(outputs[i].shape);
  const before = outputs.slice(0, i).reduce((sum, { shape }) => sum + lastOf(shape), 0);
  const part = tensor(outputs[i].shape);
  for (let row = 0; row * width < part.data.length; row++) {
    const start = row * lastOf(g.shape) + before;
    part.data.set(g.data.subarray(start, start + width), row * width);
  }
  return part;
}

OPERATIONS.Parallel = {
  forward(layer, x, pass) {
    const { merge } = layer.arguments;
    const inputs = Array.isArray(x) ? x : layer.children.map(() => x);
    const count = layer.children.length;
    if (inputs.length !== count) refuse(layer, `one input or ${count}`, `${inputs.length} inputs`);
    const outputs = layer.children.map((child, i) => pass.run(child, inputs[i]));
    sameShape(layer, outputs, merge === "concatenate" ? -1 : undefined);
    return { output: MERGES[merge].value(outputs), saved: outputs };
  },
  backward(layer, gradOutput, { x, saved: outputs }, pass) {
    const { gradient } = MERGES[layer.arguments.merge];
    const gradients = layer.children.map((child, i) => pass.run(child, gradient(gradOutput, i, outputs)));
    return { gradInput: Array.isArray(x) ? gradients : gradients.reduce((a, b) => each(sumOf, a, b)) };
  },
};
