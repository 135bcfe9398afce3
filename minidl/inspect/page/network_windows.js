// Windows that slide over pictures (height, width, channels), and over sequences (time, channels), pictures of one row.

// Where windows lie over an input: `size`, `stride` and `dilation` are [down, right]; `top` and `left` count padding.
function windowsOver(layer, x) {
  const { size, stride, dilation, padding } = layer.windows;
  const [height, width, channels] = asPicture(layer, x.shape);
  const extent = size.map((side, axis) => dilation[axis] * (side - 1) + 1);
  const isUpper = layer.arguments.padding === "same_upper";
  const borders = isUpper ? sameUpper([height, width], stride, extent) : padding;
  const [rows, columns] = [height, width].map((side, axis) =>
    Math.floor((side + borders[axis][0] + borders[axis][1] - extent[axis]) / stride[axis]) + 1);
  if (rows < 1 || columns < 1) refuse(layer, `room for a window of ${extent.join(" x ")}`, x.shape);
  const [[top], [left]] = borders;
  return { height, width, channels, rows, columns, size, stride, dilation, top, left, borders };
}

function asPicture(layer, shape) {
  const axes = layer.kind.endsWith("1D") ? 1 : 2;
  if (shape.length !== axes + 1) refuse(layer, axes === 1 ? "(time, channels)" : "(height, width, channels)", shape);
  return axes === 1 ? [1, ...shape] : shape;
}

// The shape of the layer's output, without the single row of a sequence.
function outputShapeOf(layer, rows, columns, channels) {
  return layer.kind.endsWith("1D") ? [columns, channels] : [rows, columns, channels];
}

// The padding that gives ceil(side / stride) windows along each side; an odd pixel goes below and right.
function sameUpper(sides, stride, extent) {
  return sides.map((side, axis) => {
    const missing = Math.max(0, (Math.ceil(side / stride[axis]) - 1) * stride[axis] + extent[axis] - side);
    return [Math.floor(missing / 2), missing - Math.floor(missing / 2)];
  });
}

// Call visit(row, column, number) for each window.
function forEachWindow({ rows, columns }, visit) {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) visit(row, column, row * columns + column);
  }
}

// Where the pixel (i, j) of the window (row, column) begins in the input's data, -1 in the padding.
function pixelOf(windows, row, column, i, j) {
  const y = row * windows.stride[0] + i * windows.dilation[0] - windows.top;
  const x = column * windows.stride[1] + j * windows.dilation[1] - windows.left;
  if (y < 0 || y >= windows.height || x < 0 || x >= windows.width) return -1;
  return (y * windows.width + x) * windows.channels;
}

// Call visit(pixel, place) for each pixel of a window that is not padding, with its place in the window.
function forEachPixel(windows, row, column, visit) {
  const [down, right] = windows.size;
  for (let i = 0; i < down; i++) {
    for (let j = 0; j < right; j++) {
      const pixel = pixelOf(windows, row, column, i, j);
      if (pixel >= 0) visit(pixel, i * right + j);
    }
  }
}
