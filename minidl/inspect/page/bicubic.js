// Pillow's bicubic filter with antialiasing, in whole numbers from 0 to 255 after each of its two passes; versions of
// Pillow differ in which pass is the first, and so by some units where hard edges are clipped.

function cubic(x) {
  const a = -0.5;
  const size = Math.abs(x);
  if (size < 1) return ((a + 2) * size - (a + 3)) * size * size + 1;
  return size < 2 ? (((size - 5) * size + 8) * size - 4) * a : 0;
}

// For each of `outputs` pixels along `length` of the `inputs` ones: where its neighbours begin, and their weights.
function filterOf(inputs, length, outputs) {
  const scale = length / outputs;
  const stretch = Math.max(scale, 1); // when it becomes smaller, the filter spans all the pixels that become one
  const support = 2 * stretch;
  return Array.from({ length: outputs }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(inputs, Math.trunc(centre + support + 0.5));
    const weights = new Float64Array(end - start);
    for (let j = start; j < end; j++) weights[j - start] = cubic((j - centre + 0.5) / stretch);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { start, weights: weights.map((weight) => weight / sum) };
  });
}

// Pixels {data, height, width, channels} resized along their rows to `outputs` a row.
function alongRows({ data, height, width, channels }, length, outputs) {
  const filter = filterOf(width, length, outputs);
  const result = new Uint8ClampedArray(height * outputs * 3);
  for (let row = 0; row < height; row++) {
    for (let i = 0; i < outputs; i++) {
      const { start, weights } = filter[i];
      let [red, green, blue] = [0, 0, 0];
      let at = (row * width + start) * channels;
      for (let j = 0; j < weights.length; j++, at += channels) {
        const weight = weights[j];
        red += weight * data[at];
        green += weight * data[at + 1];
        blue += weight * data[at + 2];
      }
      const to = 3 * (row * outputs + i);
      result[to] = Math.floor(red + 0.5); // the array clamps, and would round halves to even
      result[to + 1] = Math.floor(green + 0.5);
      result[to + 2] = Math.floor(blue + 0.5);
    }
  }
  return { data: result, height, width: outputs, channels: 3 };
}

function alongColumns({ data, height, width, channels }, length, outputs) {
  const filter = filterOf(height, length, outputs);
  const row = width * channels;
  const result = new Uint8ClampedArray(outputs * row);
  const sums = new Float64Array(row);
  for (let i = 0; i < outputs; i++) {
    const { start, weights } = filter[i];
    sums.fill(0.5);
    for (let j = 0; j < weights.length; j++) {
      const from = (start + j) * row;
      for (let k = 0; k < row; k++) sums[k] += weights[j] * data[from + k];
    }
    for (let k = 0; k < row; k++) result[i * row + k] = Math.floor(sums[k]);
  }
  return { data: result, height: outputs, width, channels };
}

// Pixels of three or four channels, of which the first three count, as RGB of this size; `box` is how much of them,
// [height, width], if the last row or column is not to count fully.
function resized(pixels, height, width, box = [pixels.height, pixels.width]) {
  if (width > pixels.width && height < pixels.height) {
    return alongRows(alongColumns(pixels, box[0], height), box[1], width); // the smaller picture in between
  }
  const narrow = alongRows(pixels, box[1], width);
  return height === pixels.height && box[0] === height ? narrow : alongColumns(narrow, box[0], height);
}
