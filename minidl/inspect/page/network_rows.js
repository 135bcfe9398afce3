// Layers that treat each row along the last axis by itself: Dense, the embeddings, and changes of scale and shape.

// The number of rows along the last axis, which has to have this length.
function rowsOf(layer, x, features) {
  if (x.shape.length === 0 || lastOf(x.shape) !== features) refuse(layer, `${features} features`, x.shape);
  return x.data.length / features;
}

OPERATIONS.Dense = {
  forward(layer, x) {
    const { weight, bias } = layer.weights;
    const rows = rowsOf(layer, x, weight.shape[1]);
    const shape = [...x.shape.slice(0, -1), weight.shape[0]];
    return { output: tensor(shape, rowsTimesWeight(x.data, rows, weight, bias)) };
  },
  // dL/dW = dz.T a, which is left as its factors; dL/db is the sum of dz's rows; dL/dx = dz W.
  backward(layer, gradOutput, { x }) {
    const { weight, bias } = layer.weights;
    const [outputs, inputs] = weight.shape;
    const rows = x.data.length / inputs;
    const dz = gradOutput.data;
    const gradInput = new Float64Array(x.data.length);
    for (let row = 0; row < rows; row++) {
      for (let unit = 0; unit < outputs; unit++) {
        const g = dz[row * outputs + unit];
        if (g === 0) continue; // behind a ReLU many are
        for (let i = 0; i < inputs; i++) gradInput[row * inputs + i] += g * weight.data[unit * inputs + i];
      }
    }
    const gradWeight = { weight: { dz, a: x.data, rows } };
    if (bias) gradWeight.bias = columnSums(dz, outputs);
    return { gradInput: tensor(x.shape, Float32Array.from(gradInput)), gradWeight };
  },
};

OPERATIONS.Embedding = {
  forward(layer, x) {
    const { weight } = layer.weights;
    const [tokens, features] = weight.shape;
    const output = tensor([...x.shape, features]);
    x.data.forEach((token, i) => {
      if (!Number.isInteger(token) || token < 0 || token >= tokens) {
        refuse(layer, `token numbers from 0 to ${tokens - 1}, not ${token}`, x.shape);
      }
      output.data.set(weight.data.subarray(token * features, (token + 1) * features), i * features);
    });
    return { output };
  },
};

OPERATIONS.PositionalEmbedding = {
  forward(layer, x) {
    const { length, features } = layer.arguments;
    const { weight } = layer.weights;
    rowsOf(layer, x, features);
    if (x.shape.length !== 2 || x.shape[0] > length) refuse(layer, `(time, features) of ${length} steps`, x.shape);
    const position = weight
      ? (i) => weight.data[i]
      : (i) => Math.fround(sinusoid(Math.floor(i / features), i % features, features));
    return { output: tensor(x.shape, x.data.map((number, i) => number + position(i))) };
  },
};

function sinusoid(step, feature, features) {
  const angle = step / 10000 ** ((2 * Math.floor(feature / 2)) / features);
  return feature % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
}

OPERATIONS.Flatten = {
  forward: (layer, x) => ({ output: tensor([x.data.length], x.data) }),
  backward: (layer, gradOutput, { x }) => ({ gradInput: tensor(x.shape, gradOutput.data) }),
};

OPERATIONS.Dropout = {
  forward: (layer, x) => ({ output: x }),
  backward: (layer, gradOutput) => ({ gradInput: gradOutput }),
};

OPERATIONS.Rescale = {
  forward(layer, x) {
    const { scale, offset } = layer.arguments;
    return { output: tensor(x.shape, x.data.map((number) => scale * number + offset)) };
  },
  backward(layer, gradOutput, { x }) {
    return { gradInput: tensor(x.shape, gradOutput.data.map((g) => layer.arguments.scale * g)) };
  },
};

OPERATIONS.Normalize = {
  forward(layer, x) {
    const [mean, scale] = [layer.weights.mean.data, layer.weights.scale.data];
    rowsOf(layer, x, mean.length);
    const normalized = x.data.map((number, i) => (number - mean[i % mean.length]) / scale[i % mean.length]);
    return { output: tensor(x.shape, normalized) };
  },
  backward(layer, gradOutput, { x }) {
    const scale = layer.weights.scale.data;
    return { gradInput: tensor(x.shape, gradOutput.data.map((g, i) => g / scale[i % scale.length])) };
  },
};
