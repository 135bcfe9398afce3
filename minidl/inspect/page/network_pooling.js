// Pooling: pictures and sequences made smaller by the maxima or means of windows, or made one row of features.

const MAX_POOL = {
  forward(layer, x, pass) {
    if (layer.kind === "MaxPool1D") refusePadding(layer, x, pass);
    const windows = windowsOver(layer, x);
    const { channels } = windows;
    const output = tensor(outputShapeOf(layer, windows.rows, windows.columns, channels));
    const winners = new Int32Array(output.data.length).fill(-1);
    forEachWindow(windows, (row, column, number) => {
      const start = number * channels;
      forEachPixel(windows, row, column, (pixel) => {
        for (let k = 0; k < channels; k++) {
          const winner = winners[start + k];
          if (winner < 0 || x.data[pixel + k] > x.data[winner]) winners[start + k] = pixel + k;
        }
      });
      for (let k = 0; k < channels; k++) output.data[start + k] = x.data[winners[start + k]];
    });
    return { output, saved: winners };
  },
  backward: (layer, gradOutput, { x, saved }) => ({ gradInput: gradientOfWinners(x, gradOutput, saved) }),
};

// Each output's gradient goes to the one number that it was taken from.
function gradientOfWinners(x, gradOutput, winners) {
  const gradInput = tensor(x.shape);
  gradOutput.data.forEach((g, i) => (gradInput.data[winners[i]] += g));
  return gradInput;
}

const AVERAGE_POOL = {
  forward(layer, x, pass) {
    if (layer.kind === "AveragePool1D") refusePadding(layer, x, pass);
    const windows = windowsOver(layer, x);
    const { channels } = windows;
    const output = tensor(outputShapeOf(layer, windows.rows, windows.columns, channels));
    const sums = new Float64Array(channels);
    forEachWindow(windows, (row, column, number) => {
      sums.fill(0);
      forEachPixel(windows, row, column, (pixel) => {
        for (let k = 0; k < channels; k++) sums[k] += x.data[pixel + k];
      });
      const count = countIn(layer, windows, row, column);
      for (let k = 0; k < channels; k++) output.data[number * channels + k] = sums[k] / count;
    });
    return { output, saved: windows };
  },
  backward(layer, gradOutput, { x, saved: windows }) {
    const { channels } = windows;
    const sums = new Float64Array(x.data.length);
    forEachWindow(windows, (row, column, number) => {
      const count = countIn(layer, windows, row, column);
      forEachPixel(windows, row, column, (pixel) => {
        for (let k = 0; k < channels; k++) sums[pixel + k] += gradOutput.data[number * channels + k] / count;
      });
    });
    return { gradInput: tensor(x.shape, Float32Array.from(sums)) };
  },
};

// How many pixels a window's mean is of: padding counts as zeros, unless the layer leaves it out.
function countIn(layer, windows, row, column) {
  if (layer.arguments.count_padding) return windows.size[0] * windows.size[1];
  let count = 0;
  forEachPixel(windows, row, column, () => count++);
  return count;
}

OPERATIONS.MaxPool1D = MAX_POOL;
OPERATIONS.MaxPool2D = MAX_POOL;
OPERATIONS.AveragePool1D = AVERAGE_POOL;
OPERATIONS.AveragePool2D = AVERAGE_POOL;

// The places that a global pooling takes into account: all pixels, or the real steps of a sequence.
function realPlaces(layer, x, pass) {
  const [height, width, channels] = asPicture(layer, x.shape);
  const mask = layer.kind.endsWith("1D") ? pass.maskOf(layer, x) : undefined;
  const places = Array.from({ length: height * width }, (_, place) => place).filter((place) => !mask || mask[place]);
  return { places, channels };
}

const GLOBAL_AVERAGE = {
  forward(layer, x, pass) {
    const { places, channels } = realPlaces(layer, x, pass);
    const sums = new Float64Array(channels);
    for (const place of places) {
      for (let k = 0; k < channels; k++) sums[k] += x.data[place * channels + k];
    }
    return { output: tensor([channels], Float32Array.from(sums, (sum) => sum / places.length)), saved: places };
  },
  backward(layer, gradOutput, { x, saved: places }) {
    const gradInput = tensor(x.shape);
    const channels = lastOf(x.shape);
    const share = gradOutput.data.map((g) => g / places.length);
    for (const place of places) gradInput.data.set(share, place * channels);
    return { gradInput };
  },
};

const GLOBAL_MAX = {
  forward(layer, x, pass) {
    const { places, channels } = realPlaces(layer, x, pass);
    const winners = Int32Array.from({ length: channels }, (_, k) =>
      places.map((place) => place * channels + k).reduce((best, i) => (x.data[i] > x.data[best] ? i : best)));
    return { output: tensor([channels], Float32Array.from(winners, (winner) => x.data[winner])), saved: winners };
  },
  backward: (layer, gradOutput, { x, saved }) => ({ gradInput: gradientOfWinners(x, gradOutput, saved) }),
};

OPERATIONS.GlobalAveragePool1D = GLOBAL_AVERAGE;
OPERATIONS.GlobalAveragePool2D = GLOBAL_AVERAGE;
OPERATIONS.GlobalMaxPool1D = GLOBAL_MAX;
OPERATIONS.GlobalMaxPool2D = GLOBAL_MAX;
