// The table of layers, arrays with shapes, sums in double precision, and elementary functions that do not overflow.

// What each kind of layer computes: forward(layer, x, pass) returns {output, saved}, where `saved` is what its backward
// pass needs beside input and output; backward(layer, gradOutput, record, pass), with the record {x, y, saved} of the
// forward pass, returns {gradInput, gradWeight}. `pass` runs the layers inside a container.
const OPERATIONS = {};

// A tensor is {shape, data}: the shape of one sample, and its numbers row by row, the channels last.
function tensor(shape, data = new Float32Array(countOf(shape))) {
  return { shape, data };
}

function countOf(shape) {
  return shape.reduce((count, side) => count * side, 1);
}

function lastOf(list) {
  return list[list.length - 1];
}

// An input is a tensor, or an array of inputs where a network takes several: `change` is applied to each tensor.
function each(change, x, ...others) {
  if (!Array.isArray(x)) return change(x, ...others);
  return x.map((item, i) => each(change, item, ...others.map((other) => other[i])));
}

function sumOf(a, b) {
  return tensor(a.shape, a.data.map((number, i) => number + b.data[i]));
}

// Throw an error that names the layer, what it takes, and the shape or whatever else it was given.
function refuse(layer, expected, given) {
  const received = Array.isArray(given) ? `shape (${given.join(", ")})` : given;
  throw new Error(`${titleOf(layer)}: expected ${expected}, received ${received}`);
}

function titleOf({ kind, path }) {
  return path === "" ? kind : `${kind} (layer ${path})`;
}

// The sum of a[i] b[i] of two rows. JavaScript's numbers are doubles, so that nothing is lost on the way.
function dot(a, aStart, b, bStart, count) {
  let even = 0;
  let odd = 0;
  const pairs = count - (count % 2);
  for (let i = 0; i < pairs; i += 2) {
    even += a[aStart + i] * b[bStart + i];
    odd += a[aStart + i + 1] * b[bStart + i + 1];
  }
  return pairs < count ? even + odd + a[aStart + pairs] * b[bStart + pairs] : even + odd;
}

// z = x W.T + b for the rows of x; `weight` is a tensor (outputs, inputs), `bias` one (outputs), or undefined.
function rowsTimesWeight(data, rows, weight, bias) {
  const [outputs, inputs] = weight.shape;
  const z = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let unit = 0; unit < outputs; unit++) {
      const sum = dot(data, row * inputs, weight.data, unit * inputs, inputs);
      z[row * outputs + unit] = bias ? sum + bias.data[unit] : sum;
    }
  }
  return z;
}

// The sums of the columns of a matrix.
function columnSums(data, columns) {
  const sums = new Float64Array(columns);
  for (let i = 0; i < data.length; i++) sums[i % columns] += data[i];
  return Float32Array.from(sums);
}

function sigmoid(z) {
  const e = Math.exp(-Math.abs(z));
  return (z >= 0 ? 1 : e) / (1 + e);
}

function softplus(z) {
  return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
}

// softmax of `count` numbers from `start` on, written to the same places of `result`.
function softmaxOfRow(z, start, count, result) {
  let largest = -Infinity;
  for (let i = start; i < start + count; i++) largest = Math.max(largest, z[i]);
  let sum = 0;
  for (let i = start; i < start + count; i++) sum += Math.exp(z[i] - largest);
  for (let i = start; i < start + count; i++) result[i] = Math.exp(z[i] - largest) / sum;
}

function logSoftmaxOfRow(z, start, count, result) {
  let largest = -Infinity;
  for (let i = start; i < start + count; i++) largest = Math.max(largest, z[i]);
  let sum = 0;
  for (let i = start; i < start + count; i++) sum += Math.exp(z[i] - largest);
  const logarithm = Math.log(sum);
  for (let i = start; i < start + count; i++) result[i] = z[i] - largest - logarithm;
}

// erf(z) = tanh(z r(z^2)) with a rational function r, as in minidl/functional.py.
function erf(z) {
  const bounded = Math.min(Math.max(z, -6.5), 6.5);
  const square = bounded * bounded;
  const polynomial = (coefficients) => coefficients.reduceRight((total, c) => total * square + c, 0);
  return Math.tanh((bounded * polynomial(ERF_NUMERATOR)) / polynomial(ERF_DENOMINATOR));
}

const ERF_NUMERATOR = [
  1.1283791670955126, 0.5355134123869282, 0.16108330084160094, 0.03072246778079954, 0.004273520001098629,
  0.00042453798436768866, 3.134292591418665e-5, 1.6788921436795448e-6, 6.318741366088644e-8, 1.2866836474859831e-9,
  5.988878841040767e-12,
];
const ERF_DENOMINATOR = [
  1.0, 0.38350655675332823, 0.1080120333794592, 0.017983441290438072, 0.0023127936573125317, 0.0002003906493963242,
  1.3484020190913177e-5, 6.157798419533151e-7, 1.955912450150079e-8, 2.2388579818416285e-10, 2.882566028336121e-13,
];
