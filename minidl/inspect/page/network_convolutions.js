// Convolutions and transposed convolutions, in groups of channels, and enlargement.

// Each group of `ins` input channels makes `outs` output channels; a window has `count` numbers of a group.
function groupsOf(layer, windows, outputs) {
  const { groups } = layer.arguments;
  const ins = windows.channels / groups;
  return { groups, ins, outs: outputs / groups, count: windows.size[0] * windows.size[1] * ins };
}

// Copy what a window shows of `ins` channels from `first` on, zeros for padding.
function copyWindow(windows, data, row, column, first, ins, window) {
  window.fill(0);
  forEachPixel(windows, row, column, (pixel, place) => {
    for (let k = 0; k < ins; k++) window[place * ins + k] = data[pixel + first + k];
  });
}

function checkChannels(layer, x) {
  const { in_channels: channels } = layer.arguments;
  if (lastOf(x.shape) !== channels) refuse(layer, `${channels} channels`, x.shape);
}

// Every window, laid out as one vector, goes through a small Dense layer.
const CONVOLUTION = {
  forward(layer, given, pass) {
    checkChannels(layer, given);
    const { weight, bias } = layer.weights;
    const mask = layer.kind === "Conv1D" ? pass.maskOf(layer, given) : undefined;
    const x = mask ? onRealSteps(given, mask) : given;
    const windows = windowsOver(layer, x);
    if (mask && windows.columns !== mask.length) refuse(layer, "as many windows as steps, some being padding", x.shape);
    const { groups, ins, outs, count } = groupsOf(layer, windows, weight.shape[0]);
    const output = tensor(outputShapeOf(layer, windows.rows, windows.columns, groups * outs));
    const window = new Float32Array(count);
    forEachWindow(windows, (row, column, number) => {
      for (let group = 0; group < groups; group++) {
        copyWindow(windows, x.data, row, column, group * ins, ins, window);
        for (let unit = group * outs; unit < (group + 1) * outs; unit++) {
          const sum = dot(window, 0, weight.data, unit * count, count);
          output.data[number * groups * outs + unit] = bias ? sum + bias.data[unit] : sum;
        }
      }
    });
    return { output, saved: { x, windows, mask } };
  },
  // As of Dense for each window, whose input's gradient is added to the pixels that it shows.
  backward(layer, gradOutput, { saved: { x, windows, mask } }) {
    const { weight, bias } = layer.weights;
    const { groups, ins, outs, count } = groupsOf(layer, windows, weight.shape[0]);
    const gradWeights = new Float64Array(weight.data.length);
    const gradInput = new Float64Array(x.data.length);
    const [window, gradWindow] = [new Float32Array(count), new Float64Array(count)];
    forEachWindow(windows, (row, column, number) => {
      for (let group = 0; group < groups; group++) {
        copyWindow(windows, x.data, row, column, group * ins, ins, window);
        gradWindow.fill(0);
        for (let unit = group * outs; unit < (group + 1) * outs; unit++) {
          const g = gradOutput.data[number * groups * outs + unit];
          if (g === 0) continue; // behind a ReLU or a pooling most are
          for (let k = 0; k < count; k++) {
            gradWeights[unit * count + k] += g * window[k];
            gradWindow[k] += g * weight.data[unit * count + k];
          }
        }
        forEachPixel(windows, row, column, (pixel, place) => {
          for (let k = 0; k < ins; k++) gradInput[pixel + group * ins + k] += gradWindow[place * ins + k];
        });
      }
    });
    const gradWeight = { weight: Float32Array.from(gradWeights) };
    if (bias) gradWeight.bias = columnSums(gradOutput.data, bias.data.length);
    const grad = tensor(x.shape, Float32Array.from(gradInput));
    return { gradInput: mask ? onRealSteps(grad, mask) : grad, gradWeight };
  },
};

OPERATIONS.Conv1D = CONVOLUTION;
OPERATIONS.Conv2D = CONVOLUTION;

// Each pixel adds its multiple of the kernel to a window of the output.
OPERATIONS.ConvTranspose2D = {
  forward(layer, x) {
    checkChannels(layer, x);
    const { weight, bias } = layer.weights;
    const windows = windowsOfOutput(layer, x);
    const { groups, ins: outs, outs: ins } = groupsOf(layer, windows, layer.arguments.in_channels);
    const area = windows.size[0] * windows.size[1];
    const sums = new Float64Array(windows.height * windows.width * windows.channels);
    forEachWindow(windows, (row, column, number) => {
      forEachPixel(windows, row, column, (pixel, place) => {
        for (let channel = 0; channel < groups * ins; channel++) {
          const first = pixel + Math.floor(channel / ins) * outs;
          const kernel = (channel * area + place) * outs;
          const factor = x.data[number * groups * ins + channel];
          for (let k = 0; k < outs; k++) sums[first + k] += factor * weight.data[kernel + k];
        }
      });
    });
    const z = Float32Array.from(sums, (sum, i) => (bias ? sum + bias.data[i % bias.data.length] : sum));
    return { output: tensor([windows.height, windows.width, windows.channels], z) };
  },
};

// The windows of the output, one for each pixel of the input.
function windowsOfOutput(layer, x) {
  const { size, stride, dilation, padding } = layer.windows;
  const [rows, columns] = asPicture(layer, x.shape);
  const more = [layer.arguments.output_padding].flat();
  const [height, width] = [rows, columns].map((count, axis) => {
    const extent = dilation[axis] * (size[axis] - 1) + 1;
    const border = padding[axis][0] + padding[axis][1];
    return (count - 1) * stride[axis] + extent - border + (more[axis] ?? more[0]);
  });
  if (height < 1 || width < 1) refuse(layer, "pictures of which the padding leaves a pixel", x.shape);
  const [[top], [left]] = padding;
  const channels = layer.arguments.out_channels;
  return { height, width, channels, rows, columns, size, stride, dilation, top, left };
}

// Each pixel becomes a square of equal pixels.
OPERATIONS.UpSample2D = {
  forward(layer, x) {
    const { factor } = layer.arguments;
    const [height, width, channels] = asPicture(layer, x.shape);
    const output = tensor([factor * height, factor * width, channels]);
    forEachCopy(factor, height, width, (copy, pixel) => {
      const numbers = x.data.subarray(pixel * channels, (pixel + 1) * channels);
      output.data.set(numbers, copy * channels);
    });
    return { output };
  },
  backward(layer, gradOutput, { x }) {
    const [height, width, channels] = x.shape;
    const sums = new Float64Array(x.data.length);
    forEachCopy(layer.arguments.factor, height, width, (copy, pixel) => {
      for (let k = 0; k < channels; k++) sums[pixel * channels + k] += gradOutput.data[copy * channels + k];
    });
    return { gradInput: tensor(x.shape, Float32Array.from(sums)) };
  },
};

// Call visit(copy, pixel) for each pixel of the enlarged picture, with the pixel that it is a copy of.
function forEachCopy(factor, height, width, visit) {
  for (let row = 0; row < factor * height; row++) {
    for (let column = 0; column < factor * width; column++) {
      const pixel = Math.floor(row / factor) * width + Math.floor(column / factor);
      visit(row * factor * width + column, pixel);
    }
  }
}
