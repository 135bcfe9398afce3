// The network in two parts, that up to the logits and the layer that makes probabilities of them: the cost's gradient
// with respect to the logits is p - t, which stays exact where the network is so sure that p rounds to 0 or 1.

class Engine {
  static async of(data) {
    const engine = new Engine();
    await inflated(data.network.network);
    const { body, head } = split(data.network, data.head);
    engine.body = await Network.load(body);
    engine.head = head && (await Network.load(head));
    engine.shape = data.input.shape;
    engine.layers = [...engine.body.layers, ...(engine.head?.layers ?? [])];
    engine.top = [...engine.body.top, ...(engine.head?.top ?? [])];
    engine.headKind = data.head;
    engine.hasBackward = engine.body.hasBackward;
    return engine;
  }

  // Numbers through all layers: {steps, logits, output, probabilities}.
  forward(x) {
    const body = this.body.forward(x, this.shape);
    const head = this.head?.forward(body.output, body.outputShape);
    const output = (head ?? body).output;
    const steps = [...body.steps, ...(head?.steps ?? [])];
    const result = { body, head, steps, logits: body.output, output, probabilities: this.#probabilities(output) };
    return { ...result, step: (path) => steps.find((step) => step.path === path) };
  }

  #probabilities(output) {
    if (output.length === 1) {
      const p = this.headKind === "Sigmoid" ? output[0] : 1 / (1 + Math.exp(-output[0]));
      return [1 - p, p];
    }
    if (this.headKind === "LogSoftmax") return Array.from(output, Math.exp);
    if (this.headKind) return [...output];
    const largest = Math.max(...output);
    const powers = Array.from(output, (z) => Math.exp(z - largest));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  }

  // dL/dz of the logits, for the cost -log p of the true class.
  costGradient(forward, label) {
    if (forward.logits.length === 1) return Float32Array.of(forward.probabilities[1] - label);
    return Float32Array.from(forward.probabilities, (p, k) => p - (k === label ? 1 : 0));
  }

  cost(forward, label) {
    const z = forward.logits;
    if (z.length === 1) {
      const signed = label === 1 ? -z[0] : z[0];
      return Math.max(signed, 0) + Math.log1p(Math.exp(-Math.abs(signed)));
    }
    if (this.headKind === "LogSoftmax") return -forward.output[label];
    if (this.headKind === "Sigmoid") return -Math.log(Math.max(forward.probabilities[label], 1e-38));
    const largest = Math.max(...z);
    return largest + Math.log(z.reduce((sum, each) => sum + Math.exp(each - largest), 0)) - z[label];
  }

  // How the logit of a class changes with each number of the input, as `saliency` in Python.
  saliency(forward, label) {
    const seed = new Float32Array(forward.logits.length);
    if (seed.length === 1) seed[0] = label === 1 ? 1 : -1;
    else seed[label] = 1;
    return this.body.backward(forward.body, seed).gradInput;
  }

  // What one step of gradient descent on this sample alone does: the forward pass with the new weights, which are
  // forgotten again, and how long the step of each layer is beside its weights.
  oneStep(x, back, rate) {
    const kept = [];
    const changes = [];
    for (const { path, gradWeight } of back.steps) {
      const layer = this.layers.find((each) => each.path === path);
      for (const [name, gradient] of Object.entries(gradWeight ?? {})) {
        const weight = layer.weights[name];
        kept.push([weight, weight.data]);
        const { data, change, size } = stepped(weight, gradient, rate);
        weight.data = data;
        changes.push({ layer, name, change, size });
      }
    }
    try {
      return { forward: this.forward(x), changes: changes.reverse() };
    } finally {
      for (const [weight, data] of kept) weight.data = data;
    }
  }
}

// weight - rate * gradient, with the lengths of the step and of the weight; see network.js for a Dense's gradient.
function stepped(weight, gradient, rate) {
  const data = Float32Array.from(weight.data);
  let [change, size] = [0, 0];
  const move = (i, slope) => {
    change += (rate * slope) ** 2;
    data[i] -= rate * slope;
  };
  if (gradient.dz) {
    const { dz, a, rows = 1 } = gradient;
    const [outputs, inputs] = weight.shape;
    for (let unit = 0; unit < outputs; unit++) {
      for (let i = 0; i < inputs; i++) {
        let slope = 0;
        for (let row = 0; row < rows; row++) slope += dz[row * outputs + unit] * a[row * inputs + i];
        move(unit * inputs + i, slope);
      }
    }
  } else gradient.forEach((slope, i) => move(i, slope));
  for (const value of weight.data) size += value ** 2;
  return { data, change: Math.sqrt(change), size: Math.sqrt(size) };
}

function split(description, headKind) {
  const { network } = description;
  if (network.kind !== "Sequential" || !headKind) return { body: description };
  let children = network.children;
  while (children.at(-1)?.kind === "Sequential") children = [...children.slice(0, -1), ...children.at(-1).children];
  const last = children.at(-1);
  if (last?.kind !== headKind) return { body: description };
  const row = (part, inputShape, outputShape) => {
    return { ...description, network: { ...network, children: part, inputShape, outputShape } };
  };
  return {
    body: row(children.slice(0, -1), network.inputShape, last.inputShape),
    head: row([last], last.inputShape, last.outputShape),
  };
}
