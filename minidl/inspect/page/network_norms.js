// Norms: BatchNorm with its running statistics, and those that take mean and variance of the sample itself.

// weight * h + bias, each of them left out where the layer has none; the last axis of h is that of the features.
function scaledAndShifted(layer, h, shape) {
  const { weight, bias } = layer.weights;
  const features = lastOf(shape);
  const y = tensor(shape);
  for (let i = 0; i < h.length; i++) {
    const scaled = weight ? h[i] * weight.data[i % features] : h[i];
    y.data[i] = bias ? scaled + bias.data[i % features] : scaled;
  }
  return y;
}

// dL/dweight = sum(g h) and dL/dbias = sum(g), of what the layer has.
function normWeightGradients(layer, g, h) {
  const gradWeight = {};
  const { weight, bias } = layer.weights;
  if (weight) gradWeight.weight = columnSums(g.map((number, i) => number * h[i]), weight.data.length);
  if (bias) gradWeight.bias = columnSums(g, bias.data.length);
  return gradWeight;
}

// dL/dh = g weight.
function gradientOfNormalized(layer, g) {
  const { weight } = layer.weights;
  return weight ? g.map((number, i) => number * weight.data[i % weight.data.length]) : g;
}

// In evaluation h = (x - mean) / sqrt(variance + epsilon) with numbers that do not depend on x.
OPERATIONS.BatchNorm = {
  forward(layer, x) {
    const [mean, variance] = [layer.weights.running_mean.data, layer.weights.running_variance.data];
    rowsOf(layer, x, mean.length);
    const scale = Float64Array.from(variance, (number) => 1 / Math.sqrt(number + layer.arguments.epsilon));
    const h = new Float64Array(x.data.length);
    for (let i = 0; i < h.length; i++) h[i] = (x.data[i] - mean[i % mean.length]) * scale[i % mean.length];
    return { output: scaledAndShifted(layer, h, x.shape), saved: { h, scale } };
  },
  backward(layer, gradOutput, { x, saved }) {
    const g = Float64Array.from(gradOutput.data);
    const gradH = gradientOfNormalized(layer, g);
    const gradInput = tensor(x.shape);
    for (let i = 0; i < gradH.length; i++) gradInput.data[i] = gradH[i] * saved.scale[i % saved.scale.length];
    return { gradInput, gradWeight: normWeightGradients(layer, g, saved.h) };
  },
};

// Where the numbers stand that are normalized together: `runs` of `width` neighbours, `step` apart, from `start` on.
function rowParts(layer, x) {
  const features = layer.arguments.features;
  const rows = rowsOf(layer, x, features);
  return Array.from({ length: rows }, (_, row) => ({ start: row * features, runs: 1, step: 0, width: features }));
}

function groupParts(layer, x) {
  const { groups, channels } = layer.arguments;
  const runs = rowsOf(layer, x, channels);
  const width = channels / groups;
  return Array.from({ length: groups }, (_, group) => ({ start: group * width, runs, step: channels, width }));
}

// The mean of `number(i)` over the places i of a part.
function meanOver({ start, runs, step, width }, number) {
  let sum = 0;
  for (let run = 0; run < runs; run++) {
    for (let k = 0; k < width; k++) sum += number(start + run * step + k);
  }
  return sum / (runs * width);
}

function forEachPlace({ start, runs, step, width }, visit) {
  for (let run = 0; run < runs; run++) {
    for (let k = 0; k < width; k++) visit(start + run * step + k);
  }
}

// h = (x - mean) s with s = 1 / sqrt(mean((x - mean)^2) + epsilon); RMSNorm takes 0 for the mean.
function normOver(partsOf, hasMean) {
  return {
    forward(layer, x) {
      const h = new Float64Array(x.data.length);
      const parts = partsOf(layer, x);
      const scales = parts.map((part) => {
        const mean = hasMean ? meanOver(part, (i) => x.data[i]) : 0;
        const scale = 1 / Math.sqrt(meanOver(part, (i) => (x.data[i] - mean) ** 2) + layer.arguments.epsilon);
        forEachPlace(part, (i) => (h[i] = (x.data[i] - mean) * scale));
        return scale;
      });
      return { output: scaledAndShifted(layer, h, x.shape), saved: { h, parts, scales } };
    },
    // dL/dx = s (dL/dh - mean(dL/dh) - h mean(dL/dh h)), without the first mean where the formula has none.
    backward(layer, gradOutput, { x, saved: { h, parts, scales } }) {
      const g = Float64Array.from(gradOutput.data);
      const gradH = gradientOfNormalized(layer, g);
      const gradInput = tensor(x.shape);
      parts.forEach((part, number) => {
        const mean = hasMean ? meanOver(part, (i) => gradH[i]) : 0;
        const product = meanOver(part, (i) => gradH[i] * h[i]);
        forEachPlace(part, (i) => (gradInput.data[i] = scales[number] * (gradH[i] - mean - h[i] * product)));
      });
      return { gradInput, gradWeight: normWeightGradients(layer, g, h) };
    },
  };
}

OPERATIONS.LayerNorm = normOver(rowParts, true);
OPERATIONS.RMSNorm = normOver(rowParts, false);
OPERATIONS.GroupNorm = normOver(groupParts, true);
