// A network in the browser: the forward pass of every built-in layer, and the backward pass of most, in float32.
//
//   const network = await Network.load(description);      // what `network_data(model, input_shape)` returns in Python
//
//   network.layers        modules in the order in which they compute, containers after what is in them; where the
//                         network itself is a row of layers it is left out:
//                           {path, kind, formula, inputShape, outputShape, parameterCount, weights, arguments,
//                            children}
//                         shapes are those of one sample, of the input shape that the description was made for;
//                         weights[name] is {data: Float32Array, shape}; children are objects of this list, too
//   network.top           those of them that are not inside another one: the layers of a Sequential
//   network.inputShape    that of the description
//   network.hasBackward   whether every layer has a backward pass here
//
//   const result = network.forward(x, shape);             // x: Float32Array, shape: of one sample, without the batch
//     result.output       Float32Array; result.outputShape
//     result.steps        [{path, input, inputShape, output, outputShape}], one for each of `layers`, in their order
//     result.step(path)   the step of one layer
//
//   const back = network.backward(result, gradOutput);    // gradOutput: Float32Array like result.output
//     back.gradInput      Float32Array like x
//     back.steps          [{path, gradOutput, gradInput, gradWeight?}], from the last layer to the first
//     back.step(path)     the step of one layer
//       gradWeight        {weight, bias} and so on, by the names of `weights`: Float32Arrays laid out as these; but the
//                         one of Dense's weight is {dz, a, rows}, the sum over the rows i of the outer products of
//                         dz[i] and a[i]: dz is (rows, out_features), a is (rows, in_features)
//
// A network of several inputs takes arrays of Float32Arrays and of shapes, and returns such arrays as gradInput.
// Evaluation mode: Dropout passes its input on, BatchNorm uses the running statistics. What does not fit is an Error
// that names the layer. Nothing that is returned is written to by a later call. One sample at a time.

const FORMAT = "minidl network 1";

class Network {
  // The network of a description; `load` reads it.
  constructor(description) {
    if (description?.format !== FORMAT) throw new Error(`expected a description of the format "${FORMAT}"`);
    this.layers = [];
    this.root = this.#layerOf(description.network);
    const isRow = description.network.kind === "Sequential";
    if (isRow) this.layers.pop(); // the last one, since a container comes after what is in it
    this.top = isRow ? this.root.children : [this.root];
    this.inputShape = description.network.inputShape;
    this.hasBackward = this.layers.every(({ kind }) => OPERATIONS[kind].backward !== undefined);
  }

  static async load(description) {
    return new Network(description);
  }

  forward(x, shape) {
    const pass = new ForwardPass();
    const output = pass.run(this.root, each(copyOf, x, shape));
    const steps = this.layers.map((layer) => {
      const { x: given, y } = pass.records.get(layer.path);
      const [inputs, inputShape] = [each((part) => part.data, given), each((part) => part.shape, given)];
      return { path: layer.path, input: inputs, inputShape, output: y.data, outputShape: y.shape };
    });
    return { output: output.data, outputShape: output.shape, records: pass.records, ...withLookup(steps) };
  }

  backward(result, gradOutput) {
    const without = this.layers.find(({ kind }) => OPERATIONS[kind].backward === undefined);
    if (without) throw new Error(`${titleOf(without)}: expected a layer that has a backward pass in the browser`);
    const pass = new BackwardPass(result.records);
    const gradInput = pass.run(this.root, copyOf(gradOutput, result.outputShape));
    const isLayer = new Set(this.layers.map(({ path }) => path));
    const steps = pass.steps.filter(({ path }) => isLayer.has(path));
    return { gradInput: each((part) => part.data, gradInput), ...withLookup(steps) };
  }

  // A layer of its description, and those inside it; each joins `layers` after what it contains.
  #layerOf(node) {
    if (!Object.hasOwn(OPERATIONS, node.kind)) {
      throw new Error(`${titleOf(node)}: expected a layer that is known in the browser`);
    }
    const { children, weights, ...rest } = node;
    const layer = { ...rest, weights: {} };
    for (const [name, { shape, data }] of Object.entries(weights)) {
      layer.weights[name] = { shape, data: typeof data === "string" ? float32FromBase64(data) : data };
    }
    layer.children = children.map((child) => this.#layerOf(child));
    this.layers.push(layer);
    return layer;
  }
}

// Runs layers and keeps what each was given, returned and saved; `mask` holds which steps of a sequence are real, while
// the layers inside a Masked compute and some are not.
class ForwardPass {
  records = new Map();
  mask = undefined;

  run(layer, x) {
    if (Array.isArray(x) && !CONTAINERS.has(layer.kind)) refuse(layer, "one input", `${x.length} inputs`);
    const { output, saved } = OPERATIONS[layer.kind].forward(layer, x, this);
    this.records.set(layer.path, { x, y: output, saved });
    return output;
  }

  maskOf(layer, x) {
    if (this.mask && this.mask.length !== x.shape[0]) refuse(layer, `${this.mask.length} steps`, x.shape);
    return this.mask;
  }
}

// The containers that may be given several inputs.
const CONTAINERS = new Set(["Sequential", "Residual", "Parallel"]);

class BackwardPass {
  steps = [];

  constructor(records) {
    this.records = records;
  }

  run(layer, gradOutput) {
    const record = this.records.get(layer.path);
    const { gradInput, gradWeight } = OPERATIONS[layer.kind].backward(layer, gradOutput, record, this);
    const step = { path: layer.path, gradOutput: gradOutput.data, gradInput: each((part) => part.data, gradInput) };
    this.steps.push(gradWeight ? { ...step, gradWeight } : step);
    return gradInput;
  }
}

function withLookup(steps) {
  const byPath = new Map(steps.map((step) => [step.path, step]));
  return { steps, step: (path) => byPath.get(path) };
}

// A copy, which the caller cannot change, as a tensor of this shape.
function copyOf(data, shape) {
  if (data.length !== countOf(shape)) {
    throw new Error(`expected ${countOf(shape)} numbers for the shape (${shape.join(", ")}), received ${data.length}`);
  }
  return tensor([...shape], Float32Array.from(data));
}

// Numbers as Python writes them: float32, the least significant byte first, as all browsers' machines have it.
function float32FromBase64(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}
