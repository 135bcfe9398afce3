// Layers that combine the steps of a sequence (time, features): the recurrent ones, and attention.

// A mask has a truth value for each step: whether it is real, or padding of which a Masked knows.

// x with zeros for padding.
function onRealSteps(x, mask) {
  const features = lastOf(x.shape);
  return tensor(x.shape, x.data.map((number, i) => (mask[Math.floor(i / features)] ? number : 0)));
}

function refusePadding(layer, x, pass) {
  if (pass.maskOf(layer, x)) refuse(layer, "a sequence without padding, which windows divide", x.shape);
}

function checkSequence(layer, x, features) {
  if (x.shape.length !== 2 || x.shape[1] !== features) refuse(layer, `(time, ${features})`, x.shape);
}

// One step of an LSTM: the gates' arguments z are those of i, f, g and o; the state is h, then c.
function lstmStep(state, units, z) {
  for (let k = 0; k < units; k++) {
    const [i, f] = [sigmoid(z[k]), sigmoid(z[units + k])];
    const [g, o] = [Math.tanh(z[2 * units + k]), sigmoid(z[3 * units + k])];
    state[units + k] = f * state[units + k] + i * g;
    state[k] = o * Math.tanh(state[units + k]);
  }
}

// One step of a GRU: the arguments that the input and the state make are those of r, z and n.
function gruStep(state, units, ofInput, ofState) {
  for (let k = 0; k < units; k++) {
    const r = sigmoid(ofInput[k] + ofState[k]);
    const z = sigmoid(ofInput[units + k] + ofState[units + k]);
    const n = Math.tanh(ofInput[2 * units + k] + r * ofState[2 * units + k]);
    state[k] = (1 - z) * n + z * state[k];
  }
}

// W v + b of a vector that starts at `start`.
function gatesOf(v, start, weight, bias) {
  const [gates, count] = weight.shape;
  return Float64Array.from({ length: gates }, (_, gate) =>
    dot(v, start, weight.data, gate * count, count) + bias.data[gate]);
}

// The states h after each step of one direction, whose parameters' names end in `direction`, and the last one.
function statesOf(layer, x, mask, direction) {
  const [time, features] = x.shape;
  const { units } = layer.arguments;
  const [inputWeight, stateWeight, inputBias, stateBias] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(
    (name) => layer.weights[`${name}_l0${direction}`]);
  const states = tensor([time, units]);
  const state = new Float64Array(2 * units);
  for (let count = 0; count < time; count++) {
    const step = direction === "_reverse" ? time - 1 - count : count;
    if (mask && !mask[step]) continue; // the state stays, and the output of a padded step is 0
    const ofInput = gatesOf(x.data, step * features, inputWeight, inputBias);
    const ofState = gatesOf(state, 0, stateWeight, stateBias);
    if (layer.kind === "GRU") gruStep(state, units, ofInput, ofState);
    else lstmStep(state, units, ofInput.map((number, i) => number + ofState[i]));
    states.data.set(state.subarray(0, units), step * units);
  }
  return { states, last: state.subarray(0, units) };
}

const RECURRENT = {
  forward(layer, x, pass) {
    const { in_features: features, units, return_sequence: isSequence, bidirectional } = layer.arguments;
    checkSequence(layer, x, features);
    const mask = pass.maskOf(layer, x);
    const directions = bidirectional ? ["", "_reverse"] : [""];
    const width = directions.length * units;
    const output = tensor(isSequence ? [x.shape[0], width] : [width]);
    directions.forEach((direction, number) => {
      const { states, last } = statesOf(layer, x, mask, direction);
      if (!isSequence) output.data.set(last, number * units);
      else {
        for (let step = 0; step < x.shape[0]; step++) {
          const state = states.data.subarray(step * units, (step + 1) * units);
          output.data.set(state, step * width + number * units);
        }
      }
    });
    return { output };
  },
};

OPERATIONS.LSTM = RECURRENT;
OPERATIONS.GRU = RECURRENT;

// softmax(q k.T / sqrt(d)) v of each head, projected by the layer out_proj; [q, k, v] is one projection of x.
OPERATIONS.SelfAttention = {
  forward(layer, x, pass) {
    const { features, heads, causal } = layer.arguments;
    checkSequence(layer, x, features);
    const mask = pass.maskOf(layer, x);
    const time = x.shape[0];
    const { in_proj_weight: weight, in_proj_bias: bias } = layer.weights;
    const qkv = rowsTimesWeight(x.data, time, weight, bias);
    const gathered = tensor(x.shape);
    for (let head = 0; head < heads; head++) {
      for (let step = 0; step < time; step++) {
        const seen = Array.from({ length: causal ? step + 1 : time }, (_, other) => other);
        gather(qkv, gathered, step, seen.filter((other) => !mask || mask[other]), head, features / heads);
      }
    }
    return { output: pass.run(layer.children[0], gathered) };
  },
};

// Write what one head of a step gathers from the steps that it sees; where it sees none that is 0.
function gather(qkv, gathered, step, seen, head, width) {
  const features = lastOf(gathered.shape);
  const place = (other, part) => (other * 3 + part) * features + head * width;
  const scores = seen.map((other) => dot(qkv, place(step, 0), qkv, place(other, 1), width) / Math.sqrt(width));
  const weights = new Float64Array(scores.length);
  softmaxOfRow(scores, 0, scores.length, weights);
  for (let k = 0; k < width; k++) {
    const sum = seen.reduce((total, other, i) => total + weights[i] * qkv[place(other, 2) + k], 0);
    gathered.data[step * features + head * width + k] = sum;
  }
}
