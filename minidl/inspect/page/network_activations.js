// Activations: a function of each number, and its derivative from the number z and the result a.

const SELU_ALPHA = 1.6732632423543772;
const SELU_SCALE = 1.0507009873554805;
const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

const ACTIVATIONS = {
  ReLU: () => ({ value: (z) => Math.max(z, 0), slope: (z) => (z > 0 ? 1 : 0) }),
  ReLU6: () => ({ value: (z) => Math.min(Math.max(z, 0), 6), slope: (z) => (z > 0 && z < 6 ? 1 : 0) }),
  LeakyReLU: ({ negative_slope: slope }) => ({
    value: (z) => (z > 0 ? z : slope * z),
    slope: (z) => (z > 0 ? 1 : slope),
  }),
  ELU: ({ alpha }) => exponentialUnit(alpha, 1),
  SELU: () => exponentialUnit(SELU_ALPHA, SELU_SCALE),
  Sigmoid: () => ({ value: sigmoid, slope: (z, a) => a * (1 - a) }),
  Tanh: () => ({ value: Math.tanh, slope: (z, a) => 1 - a * a }),
  Softplus: () => ({ value: softplus, slope: sigmoid }),
  SiLU: () => ({
    value: (z) => z * sigmoid(z),
    slope: (z, a) => sigmoid(z) + a * (1 - sigmoid(z)),
  }),
  HardSwish: () => ({
    value: (z) => z * Math.min(Math.max((z + 3) / 6, 0), 1),
    slope: (z) => (z <= -3 ? 0 : z >= 3 ? 1 : (2 * z + 3) / 6),
  }),
  GELU: ({ approximate }) => (approximate === "tanh" ? GELU_OF_TANH : GELU_EXACT),
};

function exponentialUnit(alpha, scale) {
  return {
    value: (z) => scale * (z > 0 ? z : alpha * Math.expm1(z)),
    slope: (z) => scale * (z > 0 ? 1 : alpha * Math.exp(z)),
  };
}

const GELU_EXACT = {
  value: (z) => z * (0.5 + 0.5 * erf(z * Math.SQRT1_2)),
  slope: (z) => 0.5 + 0.5 * erf(z * Math.SQRT1_2) + ((z * GELU_SCALE) / 2) * Math.exp(-0.5 * z * z),
};

const GELU_OF_TANH = {
  value: (z) => z * (0.5 + 0.5 * Math.tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z))),
  slope: (z) => {
    const t = Math.tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z));
    return 0.5 + 0.5 * t + 0.5 * z * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBIC * z * z);
  },
};

for (const [kind, make] of Object.entries(ACTIVATIONS)) {
  OPERATIONS[kind] = {
    forward: (layer, x) => ({ output: tensor(x.shape, x.data.map(make(layer.arguments).value)) }),
    backward(layer, gradOutput, { x, y }) {
      const { slope } = make(layer.arguments);
      return { gradInput: tensor(x.shape, gradOutput.data.map((g, i) => g * slope(x.data[i], y.data[i]))) };
    },
  };
}

// A ReLU whose slope for negative numbers is learned, one for all or one for each feature.
OPERATIONS.PReLU = {
  forward(layer, x) {
    const slopes = layer.weights.weight.data;
    if (slopes.length > 1 && lastOf(x.shape) !== slopes.length) refuse(layer, `${slopes.length} features`, x.shape);
    return { output: tensor(x.shape, x.data.map((z, i) => (z > 0 ? z : z * slopes[i % slopes.length]))) };
  },
  backward(layer, gradOutput, { x }) {
    const slopes = layer.weights.weight.data;
    const ofSlopes = gradOutput.data.map((g, i) => g * Math.min(x.data[i], 0));
    const ofInput = gradOutput.data.map((g, i) => (x.data[i] > 0 ? g : g * slopes[i % slopes.length]));
    return { gradInput: tensor(x.shape, ofInput), gradWeight: { weight: columnSums(ofSlopes, slopes.length) } };
  },
};

for (const [kind, ofRow] of [["Softmax", softmaxOfRow], ["LogSoftmax", logSoftmaxOfRow]]) {
  OPERATIONS[kind] = {
    forward(layer, x) {
      const output = tensor(x.shape);
      const classes = lastOf(x.shape);
      for (let start = 0; start < x.data.length; start += classes) ofRow(x.data, start, classes, output.data);
      return { output };
    },
    backward(layer, gradOutput, { y }) {
      const [g, a, classes] = [gradOutput.data, y.data, lastOf(y.shape)];
      const gradInput = tensor(y.shape);
      for (let start = 0; start < a.length; start += classes) {
        let sum = 0;
        for (let i = start; i < start + classes; i++) sum += kind === "Softmax" ? g[i] * a[i] : g[i];
        for (let i = start; i < start + classes; i++) {
          gradInput.data[i] = kind === "Softmax" ? a[i] * (g[i] - sum) : g[i] - Math.exp(a[i]) * sum;
        }
      }
      return { gradInput };
    },
  };
}
